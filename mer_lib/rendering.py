"""Attacked spectrograms as sound: a rendering of the attack, not the attack.

A spectrogram attack changes a picture. There need not be any sound with such a picture: frames overlap by two thirds,
so neighbouring columns cannot be chosen freely, and 149 bands say nothing of phase. But there are sounds near it:

1. every band wants a gain, attacked over clean magnitude; the pseudo-inverse of the filterbank turns what the bands
   want into the smallest change of the 1024 bins' magnitudes that gives it;
2. the bins keep the clean recording's phase;
3. the frames are put together by overlap-add with the analysis window, divided by the sum of its squares: the waveform
   whose frames come nearest to the wanted ones in the least-squares sense (Griffin and Lim 1984, equation 6), here with
   a hop that is no whole number.

So what the network says to a rendering differs from what it said to the attacked spectrogram; it is always given, too.

Notebook: 06_attack, 07_listen
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from mer_lib.models import Network
from mer_lib.spectrogram import FRAME_SIZE, LogSpectrogram, frame_starts, number_of_frames

BINS = FRAME_SIZE // 2
# Magnitudes that would fall below 0 are held there, and what is then missing is asked of the other bins once more.
# More than a few rounds gain nothing that is heard: the overlap of the frames decides how near a rendering comes.
ROUNDS = 5
# 60 dB: without it a near-silent bin would be raised at any gain, and digital silence has no phase to raise it with.
LARGEST_GAIN = 1000.0
# Only the first samples lie under less window than this: dividing by it would turn rounding and ringing into a click.
LEAST_COVER = 0.25


@lru_cache(maxsize=1)
def _filters() -> tuple[np.ndarray, np.ndarray]:
    """The filterbank (1024, 149) and its pseudo-inverse (149, 1024)."""
    filters = LogSpectrogram().filters.double().numpy()
    return filters, np.linalg.pinv(filters)


def _window() -> np.ndarray:
    return LogSpectrogram().transform.window.double().numpy()


def spectra(waveform: ArrayLike) -> np.ndarray:
    """Complex spectra (frames, 1025) of the front end's own frames of a waveform (samples,), in float64."""
    waveform = np.asarray(waveform, dtype=np.float64)
    starts = frame_starts(number_of_frames(len(waveform)))
    padded = np.pad(waveform, (0, max(0, starts[-1] + FRAME_SIZE - len(waveform))))
    return np.fft.rfft(np.stack([padded[start : start + FRAME_SIZE] for start in starts]) * _window(), axis=1)


def overlap_add(frames: np.ndarray, samples: int) -> np.ndarray:
    """The waveform (samples,) whose frames come nearest to these spectra (frames, 1025); inverse of :func:`spectra`.

    It is exact but for the first 512 samples, which lie under one frame's rising window alone and are faded in instead.
    """
    window, starts = _window(), frame_starts(len(frames))
    total, cover = np.zeros((2, max(samples, starts[-1] + FRAME_SIZE)))
    for start, piece in zip(starts, np.fft.irfft(frames, FRAME_SIZE, axis=1), strict=True):
        total[start : start + FRAME_SIZE] += window * piece
        cover[start : start + FRAME_SIZE] += window**2
    return (total / np.maximum(cover, LEAST_COVER))[:samples]


def bin_gains(magnitudes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Gain of every bin so that the filtered magnitudes become the wanted ones, as nearly as magnitudes can.

    Parameters
    ----------
    magnitudes
        Clean magnitudes (frames, 1024).
    wanted
        Filtered magnitudes (frames, 149) to be reached, not logarithmic.

    Returns
    -------
    numpy.ndarray
        (frames, 1024), between 0 and :data:`LARGEST_GAIN`; 1 where the bin is silent.
    """
    filters, inverse = _filters()
    reached = magnitudes
    for _ in range(ROUNDS):
        reached = np.clip(reached + (wanted - reached @ filters) @ inverse, 0.0, LARGEST_GAIN * magnitudes)
    return np.divide(reached, magnitudes, out=np.ones_like(magnitudes), where=magnitudes > 0)


def render(waveform: ArrayLike, spectrogram: ArrayLike) -> np.ndarray:
    """A sound that comes near to a log spectrogram, with the phases of the clean recording.

    Parameters
    ----------
    waveform
        The clean recording (samples,), full scale 1.
    spectrogram
        The wanted spectrogram (frames, 149), values log10(1 + x), not z-scored.

    Returns
    -------
    numpy.ndarray
        float32 (samples,), held within full scale. Where the spectrogram is the recording's own, the recording itself.

    Raises
    ------
    ValueError
        If the spectrogram has another number of frames than the recording.

    Notebook: 07_listen
    """
    clean = np.asarray(waveform, dtype=np.float64)
    wanted = np.asarray(spectrogram, dtype=np.float64)
    frames = spectra(clean)
    if wanted.shape != (len(frames), _filters()[0].shape[1]):
        raise ValueError(f"a spectrogram {wanted.shape} does not belong to a recording with {len(frames)} frames")
    gains = bin_gains(np.abs(frames[:, :BINS]), np.maximum(10.0**wanted - 1, 0.0))
    # Only the change is resynthesised: what was not attacked stays as it was, the first samples included.
    change = np.zeros_like(frames)  # the Nyquist bin, which the network does not see, is not changed either
    change[:, :BINS] = (gains - 1) * frames[:, :BINS]
    return np.clip(clean + overlap_add(change, len(clean)), -1.0, 1.0).astype(np.float32)


def render_attack(model: Network, waveforms: Tensor | np.ndarray, adversarial: Tensor) -> Tensor:
    """Render attacked clips.

    Parameters
    ----------
    model
        The attacked network: it knows the mean and standard deviation of its z-scores.
    waveforms
        Clean recordings (clips, samples).
    adversarial
        Attacked z-scored spectrograms (clips, frames, 149).

    Returns
    -------
    torch.Tensor
        float32 (clips, samples), within full scale.

    Notebook: 06_attack, 07_listen
    """
    spectrograms = adversarial.double() * float(model.std) + float(model.mean)
    pairs = zip(torch.as_tensor(waveforms).numpy(), spectrograms.numpy(), strict=True)
    return torch.from_numpy(np.stack([render(waveform, spectrogram) for waveform, spectrogram in pairs]))
