"""From a picture to a sound: a log spectrogram that belongs to no recording, made audible.

:mod:`mer_lib.rendering` lends an attacked spectrogram the phase of its clean recording. A clip that was found in noise
has no recording to borrow from, so its phase is sought as well:

1. the pseudo-inverse of the filterbank spreads 149 bands over 1024 bins; what would be negative is set to almost
   nothing, and a few multiplicative updates (Lee and Seung 2001) make the bands right again without leaving the
   positive numbers;
2. Griffin and Lim (1984) seek a phase: make the sound, take its frames, keep their phase, put the wanted magnitudes
   back, again and again; with the momentum of Perraudin, Balazs and Sondergaard (2013).

The frames are those of the front end, at its hop of 22 050 / 31.3 samples, which library versions of Griffin-Lim cannot
have: no picture is resampled in time. What comes out is near the picture and not the picture: measure it, and ask
the network again.

Notebook: 12_invert_and_generate
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from mer_lib.audio import EXCERPT_SAMPLES
from mer_lib.models import Network
from mer_lib.rendering import BINS, _filters, overlap_add, spectra
from mer_lib.spectrogram import number_of_frames

UPDATES = 15  # multiplicative ones: the bands then fit within 1 %, and the search for a phase costs far more than that
ITERATIONS, MOMENTUM = 16, 0.99


def bin_magnitudes(spectrogram: ArrayLike) -> np.ndarray:
    """Magnitudes of the bins that give a log spectrogram through the filterbank, as nearly as magnitudes can.

    Parameters
    ----------
    spectrogram
        (frames, 149), values log10(1 + x); below 0 counts as 0.

    Returns
    -------
    numpy.ndarray
        (frames, 1024), not negative.
    """
    filters, inverse = (matrix.astype(np.float32) for matrix in _filters())
    wanted = np.maximum(10.0 ** np.asarray(spectrogram, dtype=np.float32) - 1, 0)
    asked = wanted @ filters.T
    magnitudes = np.maximum(wanted @ inverse, 1e-3 * asked)
    for _ in range(UPDATES):
        magnitudes *= asked / np.maximum((magnitudes @ filters) @ filters.T, 1e-12)
    return magnitudes


def griffin_lim(
    spectrogram: ArrayLike, samples: int = EXCERPT_SAMPLES, *, iterations: int = ITERATIONS, seed: int = 0
) -> np.ndarray:
    """A sound whose log spectrogram comes near the wanted one.

    Parameters
    ----------
    spectrogram
        (frames, 149), values log10(1 + x), not z-scored.
    samples
        Length of the sound; it must have as many frames.
    iterations, seed
        Rounds of the search for a phase; seed of the random phase it starts from.

    Returns
    -------
    numpy.ndarray
        float32 (samples,), at the level that the picture says: it may exceed full scale.

    Raises
    ------
    ValueError
        If the length does not have as many frames as the picture.

    Notebook: 12_invert_and_generate
    """
    if number_of_frames(samples) != len(spectrogram):
        raise ValueError(f"{samples} samples have {number_of_frames(samples)} frames, the picture {len(spectrogram)}")
    magnitudes = np.zeros((len(spectrogram), BINS + 1))  # the front end does not see the Nyquist bin
    magnitudes[:, :BINS] = bin_magnitudes(spectrogram)
    phase = np.exp(2j * np.pi * np.random.default_rng(seed).random(magnitudes.shape))
    before = None
    for _ in range(iterations):
        heard = spectra(overlap_add(magnitudes * phase, samples))
        ahead = heard if before is None else heard + MOMENTUM * (heard - before)
        before, phase = heard, ahead / np.maximum(np.abs(ahead), 1e-16)
    return overlap_add(magnitudes * phase, samples).astype(np.float32)


def within_full_scale(waveform: np.ndarray) -> tuple[np.ndarray, float]:
    """A sound that can be played, and the gain in dB that this took: 0 unless its peak exceeds full scale."""
    peak = float(np.abs(waveform).max())
    if peak <= 1:
        return waveform, 0.0
    return (waveform / peak * (1 - 1e-6)).astype(np.float32), float(-20 * np.log10(peak))


def render_pictures(model: Network, pictures: Tensor, seed: int = 0) -> tuple[Tensor, np.ndarray]:
    """Sounds of z-scored spectrograms, by :func:`griffin_lim`.

    Parameters
    ----------
    model
        It knows the mean and standard deviation of its z-scores.
    pictures
        (clips, 313, 149), z-scored.
    seed
        Of the phases that the search starts from.

    Returns
    -------
    torch.Tensor, numpy.ndarray
        float32 (clips, 220500) within full scale, and the gain of each in dB, 0 where none was needed.

    Notebook: 12_invert_and_generate
    """
    logs = (pictures.double() * float(model.std) + float(model.mean)).clamp(min=0).numpy()
    played = [within_full_scale(griffin_lim(log, seed=seed)) for log in logs]
    return torch.from_numpy(np.stack([sound for sound, _ in played])), np.array([gain for _, gain in played])
