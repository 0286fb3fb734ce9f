"""Audio in and out: any format libsndfile reads, mono, 22 050 Hz; lossless out.

The published study works on mono audio at 22 050 Hz, zeros trimmed and the peak set to 1, in slices of 10 s
(Hoedt, Flexer, Widmer 2025, Section 3).

Notebook: 01_prepare_data
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr

from mer_lib.places import atomic_write

SAMPLE_RATE = 22050
EXCERPT_SECONDS = 10.0
EXCERPT_SAMPLES = int(SAMPLE_RATE * EXCERPT_SECONDS)

# Below this peak (-80 dB of full scale) a clip counts as silent: normalising it would only amplify noise.
SILENCE_PEAK = 1e-4


class AudioError(ValueError):
    """A file that cannot be used as audio; the message names it and says why."""


def decode(path: str | Path, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Decode an audio file to mono.

    Parameters
    ----------
    path
        A file that libsndfile reads (WAV, FLAC, Ogg Vorbis or Opus, MP3, AIFF and more).
    sample_rate
        Rate of the result in Hz; the channels are averaged, then resampled with a band-limited filter.

    Returns
    -------
    numpy.ndarray
        Samples, float32, at the level of the file (full scale is 1); not normalised.

    Raises
    ------
    AudioError
        If the file is missing, no audio file, empty, or holds values that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"{path}: cannot be decoded ({error})") from error
    if len(samples) == 0:
        raise AudioError(f"{path}: holds no samples")
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds NaN or infinite samples")
    mono = samples.mean(axis=1)
    return mono if rate == sample_rate else soxr.resample(mono, rate, sample_rate, quality="HQ").astype(np.float32)


def trim_zeros(waveform: np.ndarray) -> np.ndarray:
    """Remove samples that are exactly zero from both ends, as the published preparation does."""
    return np.trim_zeros(waveform)


def peak_normalise(waveform: np.ndarray) -> np.ndarray:
    """Scale so that the largest magnitude is 1.

    Raises
    ------
    AudioError
        If the clip is silent (peak below -80 dB of full scale).
    """
    peak = float(np.abs(waveform).max(initial=0.0))
    if peak < SILENCE_PEAK:
        raise AudioError(f"silent (peak {peak:.1e} of full scale)")
    return (waveform / peak).astype(np.float32)


def write_flac(path: str | Path, waveform: np.ndarray, sample_rate: int = SAMPLE_RATE) -> Path:
    """Write mono audio as 24-bit FLAC, whole or not at all.

    16 bits lose perturbations below 3e-5 of full scale and lossy formats lose far more, hence 24 bits. The level is
    never changed here.

    Raises
    ------
    AudioError
        If a value is not finite or lies outside [-1, 1]: scale it yourself and say by how much.
    """
    waveform = np.asarray(waveform, dtype=np.float32)
    peak = float(np.abs(waveform).max(initial=0.0))
    if waveform.ndim != 1 or not np.isfinite(waveform).all() or peak > 1:
        raise AudioError(
            f"{path}: not written; expected mono samples in [-1, 1], got shape {waveform.shape}, peak {peak}"
        )
    return atomic_write(
        path, lambda part: soundfile.write(part, waveform, sample_rate, format="FLAC", subtype="PCM_24")
    )
