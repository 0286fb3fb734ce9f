"""How far a set of sounds lies from a set of recordings: a Frechet distance on an embedding that needs no download.

The Frechet audio distance (Kilgour et al. 2019, arXiv 1812.08466) embeds short windows, fits one Gaussian to each set
and takes the distance |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). Published ones embed with a trained network (VGGish,
CLAP), which has to be downloaded. Here a window of two seconds becomes 58 textbook features of librosa: means and
spreads of 13 mel cepstra, 7 spectral contrasts, brightness, flatness and onset strength, and means of 12 pitch classes.

What it is: fixed, the same everywhere, and sensitive to timbre, harmony and rhythm as these features see them. What it
is not: a trained ear, or comparable with any published figure. It says how far a set of sounds lies from recordings
*compared with* real clips (floor) and noise (ceiling), which is why :func:`distance_table` always gives both. The level
is left out.

Notebook: 12_invert_and_generate
"""

from __future__ import annotations

from dataclasses import dataclass

import librosa
import numpy as np
from numpy.typing import ArrayLike
from sklearn.covariance import ledoit_wolf

from mer_lib.audio import SAMPLE_RATE

FRAME, HOP = 2048, 512
WINDOW_SECONDS, WINDOW_HOP_SECONDS = 2.0, 1.0
DIMENSIONS = 12  # principal components kept: a covariance of 78 numbers, which a dozen clips of 9 windows can carry
SILENT = 1e-4  # rms below which a clip has no features


def window_features(waveform: ArrayLike) -> np.ndarray:
    """Features of a clip's windows.

    Parameters
    ----------
    waveform
        (samples,) at 22 050 Hz, at least two seconds, at any level: its rms is set to a fixed one first.

    Returns
    -------
    numpy.ndarray
        (windows, 58); 10 s give 9 windows of two seconds.

    Raises
    ------
    ValueError
        If the clip is silent, too short, or not finite.
    """
    waveform = np.asarray(waveform, dtype=np.float32)
    if waveform.ndim != 1 or len(waveform) < WINDOW_SECONDS * SAMPLE_RATE or not np.isfinite(waveform).all():
        raise ValueError(f"a finite clip (samples,) of at least {WINDOW_SECONDS:g} s is needed, got {waveform.shape}")
    rms = float(np.sqrt(np.mean(waveform**2)))
    if rms < SILENT:
        raise ValueError("the clip is silent: it has no features")
    magnitudes = np.abs(librosa.stft(waveform * (0.1 / rms), n_fft=FRAME, hop_length=HOP))
    power = magnitudes**2
    levels = librosa.power_to_db(librosa.feature.melspectrogram(S=power, sr=SAMPLE_RATE), amin=1e-5, top_db=None)
    onsets = librosa.onset.onset_strength(S=levels, sr=SAMPLE_RATE)
    bright = librosa.feature.spectral_centroid(S=magnitudes + 1e-6, sr=SAMPLE_RATE)
    spread = np.concatenate(
        [
            librosa.feature.mfcc(S=levels, n_mfcc=13),
            librosa.feature.spectral_contrast(S=magnitudes, sr=SAMPLE_RATE),
            np.log2(bright),
            np.log10(librosa.feature.spectral_flatness(S=magnitudes)),
            np.log1p(onsets)[None],
        ]
    )
    chroma = librosa.feature.chroma_stft(S=power, sr=SAMPLE_RATE, tuning=0.0)
    length, step = (round(seconds * SAMPLE_RATE / HOP) for seconds in (WINDOW_SECONDS, WINDOW_HOP_SECONDS))
    starts = range(0, spread.shape[1] - length + 1, step)
    windows = [slice(start, start + length) for start in starts]
    return np.stack(
        [np.concatenate([spread[:, w].mean(1), spread[:, w].std(1), chroma[:, w].mean(1)]) for w in windows]
    )


def features(waveforms: ArrayLike) -> np.ndarray:
    """Windows of several clips, (clips, windows, 58)."""
    return np.stack([window_features(waveform) for waveform in waveforms])


@dataclass(frozen=True)
class Embedding:
    """Standardised features, turned to the principal axes of the recordings it was fitted to; made by :meth:`fit`.

    Attributes
    ----------
    mean, scale
        (58,) of the features.
    axes
        (58, dimensions); the components keep their variances.
    """

    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(cls, reference: np.ndarray, dimensions: int = DIMENSIONS) -> Embedding:
        """Fit to the features (clips, windows, 58) of real recordings, which stay the yardstick for everything else."""
        flat = reference.reshape(-1, reference.shape[-1])
        if len(flat) <= dimensions:
            raise ValueError(f"{len(flat)} windows cannot span {dimensions} dimensions")
        mean, scale = flat.mean(axis=0), np.maximum(flat.std(axis=0), 1e-6)
        axes = np.linalg.svd((flat - mean) / scale, full_matrices=False)[2][:dimensions].T
        return cls(mean, scale, axes)

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """Features (..., 58) to components (..., dimensions)."""
        return (windows - self.mean) / self.scale @ self.axes


def gaussian_frechet(mean: ArrayLike, covariance: ArrayLike, other_mean: ArrayLike, other: ArrayLike) -> float:
    """Squared Frechet distance of two Gaussians (Dowson and Landau 1982), from means and covariances."""
    mean, covariance, other_mean, other = (
        np.asarray(x, dtype=np.float64) for x in (mean, covariance, other_mean, other)
    )
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    # The trace of (C1 C2)^(1/2), through a symmetric matrix of the same eigenvalues
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other @ root), 0)).sum()
    distance = ((mean - other_mean) ** 2).sum() + np.trace(covariance) + np.trace(other) - 2 * cross
    return float(max(distance, 0.0))


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Squared Frechet distance of two sets of embedded windows (clips, windows, dimensions).

    The covariances are shrunk (Ledoit and Wolf 2004), because sets are small. What remains is a bias: small sets lie
    farther from everything. Compare only sets of one size, and with a floor of that size.
    """
    sets = [values.reshape(-1, values.shape[-1]) for values in (first, second)]
    (mean, covariance), (other_mean, other) = ((values.mean(axis=0), ledoit_wolf(values)[0]) for values in sets)
    return gaussian_frechet(mean, covariance, other_mean, other)
