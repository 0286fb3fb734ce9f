"""Audio in and out: any format libsndfile reads, mono, 22 050 Hz; lossless out.

The published study works on mono audio at 22 050 Hz, zeros trimmed and the peak set to 1, in slices of 10 s
(Hoedt, Flexer, Widmer 2025, Section 3).

Notebook: 01_prepare_data
"""

from __future__ import annotations

import os
import re
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


# What the spectrogram's frame takes; of less nothing can be said.
SHORTEST_SAMPLES = 2048
# Headers that say more than this are damaged, or what they announce is no clip of music.
LOWEST_RATE, HIGHEST_RATE = 1000, 1_000_000  # Hz
MOST_SAMPLES = 2**28  # of all channels together: 1 GiB as float32, 50 minutes of stereo at 44.1 kHz
# libsndfile on a WAV or AIFF file whose sound is shorter than announced; streamed files announce the largest number
CUT_CHUNK = re.compile(r"^(?:data|SSND|\s*SSND)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
STREAMED = 0x7FFF0000


class AudioError(ValueError):
    """A file that cannot be used as audio; the message names it and says why."""


def read_audio(path: str | Path) -> tuple[np.ndarray, int]:
    """All channels of an audio file, (samples, channels) float32 at the level of the file, and its rate in Hz.

    The content counts, not the ending of the name: an MP3 named ``.wav`` is read as MP3.

    Raises
    ------
    AudioError
        If the file is missing, no audio file, empty, shorter than its own header says (cut off), or its header says
        what no clip of music has: a rate outside 1 kHz to 1 MHz, or more samples than fit 1 GiB.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise AudioError(f"{path}: {'is a folder' if os.path.isdir(path) else 'no such file'}")
    try:
        with soundfile.SoundFile(path) as file:
            rate, stated, about = file.samplerate, file.frames, file.extra_info
            _check_size(path, rate, stated, file.channels)
            samples = file.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, TypeError, OSError) as error:
        # Of an MP3 without a single frame libsndfile says that there is no such file
        reason = getattr(error, "error_string", str(error))
        reason = "" if "does not exist" in reason else f" ({reason.rstrip('.')})"
        raise AudioError(f"{path}: cannot be decoded: no audio, damaged or cut off{reason}") from error
    if len(samples) == 0:
        raise AudioError(f"{path}: holds no samples (empty, or cut off)")
    if missing := _missing(len(samples), stated, rate, about):
        raise AudioError(f"{path}: cut off: the last {missing:.0%} that its header names are not there; get it again")
    return samples, rate


def _check_size(path: Path, rate: int, samples: int, channels: int) -> None:
    """Refuse what no clip of music is before anything is read: a damaged header would ask for all memory."""
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise AudioError(f"{path}: a sample rate of {rate} Hz: damaged, or no music")
    if samples * max(channels, SAMPLE_RATE / rate) > MOST_SAMPLES:
        raise AudioError(
            f"{path}: {samples} samples in {channels} channel(s) are more than fit {MOST_SAMPLES * 4 >> 30} GiB: "
            "damaged, or cut a clip out of it"
        )


def _missing(samples: int, stated: int, rate: int, about: str) -> float:
    """The share of a file that is missing at its end, 0 where its header does not say how long it is."""
    if chunk := CUT_CHUNK.search(about):
        said, there = int(chunk[1]), int(chunk[2])
        return 1 - there / said if there < 0.999 * said and said < STREAMED else 0.0
    # An MP3's length is stated where it names its frames, as all of variable bit rate should, else it is a guess
    if "bitrate mode   : variable" in about and stated - samples > rate / 4:
        return 1 - samples / stated
    return 0.0


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
        As :func:`read_audio`, and if the file holds values that are not finite.
    """
    return to_mono(path, *read_audio(path), sample_rate)


def to_mono(path: str | Path, samples: np.ndarray, rate: int, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """What :func:`read_audio` gave, its channels averaged and resampled; errors name ``path``."""
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds NaN or infinite samples")
    channels = samples.shape[1]
    # Below eight channels bit for bit the mean(axis=1), which takes 30 times as long; eight it adds in another order
    mono = sum(samples.T) / np.float32(channels) if channels < 8 else samples.mean(axis=1)
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate, quality="HQ").astype(np.float32)
    if len(mono) == 0 or not np.isfinite(mono).all():
        raise AudioError(f"{path}: too short, or too far beyond full scale, to be resampled to {sample_rate} Hz")
    return mono


def clipped_share(samples: np.ndarray) -> float:
    """Share of samples (samples, channels) that were clipped: at full scale and equal to both neighbours."""
    top = np.abs(samples) >= 0.99
    if not top.any():
        return 0.0
    same = samples[1:] == samples[:-1]
    return float((top[1:-1] & same[1:] & same[:-1]).mean()) if len(samples) > 2 else 0.0


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
