"""Ten measures of rhythm, line and harmony, computed from audio by fixed formulas.

They share three short-time Fourier transforms and take about 50 ms for 10 s of audio. ``descriptors`` turns them into
the seven mid-level qualities.

Notebook: 01_prepare_data
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import soxr
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from mer_lib.audio import SAMPLE_RATE

RHYTHM_FRAME, RHYTHM_HOP = 1024, 256  # 46 ms every 12 ms: onsets
RHYTHM_RATE = SAMPLE_RATE / RHYTHM_HOP
LINE_FRAME, LINE_HOP, LINE_STEP = 2048, 512, 64  # 93 ms every 23 ms; phase advance over 3 ms
PITCH_FRAME, PITCH_HOP = 8192, 2048  # 372 ms: semitones are apart down to 55 Hz
FIFTH_RELATED = np.isin(np.arange(12), [0, 5, 7]).astype(float)
MAJOR_TRIADS = np.array([np.roll(np.isin(np.arange(12), [0, 4, 7]), k) for k in range(12)], dtype=float)
MINOR_TRIADS = np.array([np.roll(np.isin(np.arange(12), [0, 3, 7]), k) for k in range(12)], dtype=float)


class Rhythm(NamedTuple):
    """What the rhythmic measures share: (frames,) level in dB, (frames, bands) in dB, (frames - 2,) onset strength."""

    level: np.ndarray
    bands: np.ndarray
    onsets: np.ndarray


class Pitches(NamedTuple):
    """What the tonal measures share: (frames, 12) pitch-class amplitudes of the upper parts and of the bass."""

    upper: np.ndarray
    bass: np.ndarray


def measures(waveform: np.ndarray, sample_rate: int = SAMPLE_RATE) -> dict[str, float]:
    """Compute the ten measures behind the seven qualities, each in its own units (see the functions below).

    Takes and raises what :func:`mer_lib.descriptors.describe` does.
    """
    waveform = _checked(waveform, sample_rate)
    rhythm, pitches = _rhythm(waveform), _pitches(waveform)
    return {
        "moving_line": moving_line(waveform),
        **articulation(rhythm),
        **rhythmic_activity(rhythm),
        "pulse_clarity": pulse_clarity(rhythm),
        **dissonance(pitches),
        "related_roots": related_roots(pitches),
        "minor_triads": minor_triads(pitches),
    }


def measures_or_reason(waveform: np.ndarray) -> dict[str, float] | str:
    """Compute the ten measures of one clip, or say why it has none."""
    try:
        return measures(waveform)
    except ValueError as error:
        return str(error)


def _checked(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """The clip as float32 at 22 050 Hz with an RMS of 1."""
    waveform = np.asarray(waveform, dtype=np.float32)
    if waveform.ndim != 1:
        raise ValueError(f"a clip must be mono, (samples,), not {waveform.shape}")
    if not np.isfinite(waveform).all():
        raise ValueError("the clip holds values that are not finite")
    if sample_rate != SAMPLE_RATE:
        waveform = soxr.resample(waveform, sample_rate, SAMPLE_RATE)
    if len(waveform) < 2 * SAMPLE_RATE:
        raise ValueError(f"the clip is {len(waveform) / SAMPLE_RATE:.2f} s long; at least 2 s are needed")
    level = float(np.sqrt(np.mean(waveform.astype(np.float64) ** 2)))
    if level < 1e-7:
        raise ValueError("the clip is silent")
    return (waveform / level).astype(np.float32)


def _transform(waveform: np.ndarray, frame: int, hop: int) -> np.ndarray:
    """Short-time Fourier transform, (frames, frame / 2 + 1)."""
    window = np.hanning(frame).astype(np.float32)
    return np.fft.rfft(sliding_window_view(waveform, frame)[::hop] * window)


def _peaks(magnitude: np.ndarray) -> np.ndarray:
    """True where a bin is louder than both neighbours, (frames, bins)."""
    peak = np.zeros(magnitude.shape, dtype=bool)
    middle = magnitude[:, 1:-1]
    peak[:, 1:-1] = (middle > magnitude[:, :-2]) & (middle >= magnitude[:, 2:])
    return peak


def _rhythm(waveform: np.ndarray) -> Rhythm:
    """Levels in 30 to 40 bands and onset strength: the mean rise in dB over two frames (spectral flux; Dixon 2006)."""
    power = np.abs(_transform(waveform, RHYTHM_FRAME, RHYTHM_HOP)) ** 2
    edges = np.unique(np.round(np.geomspace(2, RHYTHM_FRAME // 2, 41)).astype(int))
    power = np.add.reduceat(power, edges[:-1], axis=1)
    bands = 10 * np.log10(power + 1e-9)
    level = 10 * np.log10(power.sum(axis=1) + 1e-9)
    bands, level = np.maximum(bands, bands.max() - 60), np.maximum(level, level.max() - 50)
    return Rhythm(level, bands, np.maximum(bands[2:] - bands[:-2], 0).mean(axis=1))


def _pitches(waveform: np.ndarray) -> Pitches:
    """Pitch classes from spectral peaks alone, so that noise and drums count little (Gómez 2006)."""
    magnitude = np.abs(_transform(waveform, PITCH_FRAME, PITCH_HOP))
    loudest = magnitude.max(axis=1, keepdims=True)
    magnitude = np.where(_peaks(magnitude) & (magnitude > 0.01 * loudest), magnitude, 0)
    frequency = np.fft.rfftfreq(PITCH_FRAME, 1 / SAMPLE_RATE)

    def fold(low: float, high: float, slope: float) -> np.ndarray:
        inside = (frequency > low) & (frequency < high)
        pitch_class = np.round(12 * np.log2(frequency[inside] / 440) + 9).astype(int) % 12
        weighted = magnitude[:, inside] * (frequency[inside] / 200) ** -slope
        return weighted @ np.eye(12)[pitch_class]

    return Pitches(upper=fold(180, 2000, 0.5), bass=fold(50, 250, 0.0))


def moving_line(waveform: np.ndarray) -> float:
    """Share of frames whose leading partial keeps its note but moves by 8 to 70 cents: a line sung or bowed.

    Vibrato and glides mark the predominant melody (Salamon & Gómez 2012, IEEE TASLP 20(6)). The leading partial is the
    strongest peak between 350 and 3500 Hz after whitening by the clip's mean spectrum; its frequency comes from the
    phase advance over 3 ms (Flanagan & Golden 1966).
    """
    early, late = _transform(waveform, LINE_FRAME, LINE_HOP), _transform(waveform[LINE_STEP:], LINE_FRAME, LINE_HOP)
    frames = min(len(early), len(late))
    frequency = np.fft.rfftfreq(LINE_FRAME, 1 / SAMPLE_RATE)
    inside = (frequency > 350) & (frequency < 3500)
    magnitude = np.abs(early[:frames])
    whitened = magnitude / (uniform_filter1d(magnitude.mean(axis=0), 25) + 1e-6)
    leading = np.flatnonzero(inside)[np.where(_peaks(magnitude), whitened, 0)[:, inside].argmax(axis=1)]
    rows = np.arange(frames)
    expected = 2 * np.pi * frequency[leading] * LINE_STEP / SAMPLE_RATE
    excess = np.angle(late[rows, leading] * np.conj(early[rows, leading]) * np.exp(-1j * expected))
    heard = frequency[leading] + excess * SAMPLE_RATE / (2 * np.pi * LINE_STEP)
    moved = np.abs(np.diff(12 * np.log2(np.maximum(heard, 50))))
    return float(np.mean((moved > 0.08) & (moved < 0.7)))


def articulation(rhythm: Rhythm) -> dict[str, float]:
    """Staccato heard as gaps and as decay (key detached time; Bresin & Battel 2000, J. New Music Research 29(3)).

    gaps: share of frames more than 10 dB under the loudest within 0.2 s. decay: mean fall in dB over two frames,
    weighted by amplitude.
    """
    loudest = maximum_filter1d(rhythm.level, 2 * int(0.2 * RHYTHM_RATE) + 1)
    fall = np.maximum(rhythm.bands[:-2] - rhythm.bands[2:], 0)
    return {
        "gaps": float(np.mean(loudest - rhythm.level > 10)),
        "decay": float(np.average(fall, weights=10 ** (rhythm.bands[1:-1] / 20))),
    }


def _accents(rhythm: Rhythm) -> np.ndarray:
    """Onset strength above its mean over 0.4 s."""
    return np.maximum(rhythm.onsets - uniform_filter1d(rhythm.onsets, int(0.4 * RHYTHM_RATE)), 0)


def rhythmic_activity(rhythm: Rhythm) -> dict[str, float]:
    """Density and speed of layers (event density as a perceptual feature: Friberg et al. 2014, JASA 136(4)).

    log_onset_rate: natural logarithm of onsets per second; an onset rises by more than 1 dB and more than one standard
    deviation. pulse_centroid: centre of gravity, in Hz, of the onset strength's spectrum between 0.7 and 12 Hz; layers
    against the beat raise it.
    """
    accents = _accents(rhythm)
    peak = (accents == maximum_filter1d(accents, 5)) & (accents > max(1.0, rhythm.onsets.std()))
    seconds = len(accents) / RHYTHM_RATE
    spectrum = np.abs(np.fft.rfft((accents - accents.mean()) * np.hanning(len(accents)))) ** 2
    frequency = np.fft.rfftfreq(len(accents), 1 / RHYTHM_RATE)
    inside = (frequency > 0.7) & (frequency < 12)
    return {
        "log_onset_rate": float(np.log((peak.sum() + 1) / seconds)),
        "pulse_centroid": float(np.average(frequency[inside], weights=spectrum[inside] + 1e-12)),
    }


def pulse_clarity(rhythm: Rhythm) -> float:
    """Highest autocorrelation of the onset strength at 0.2 to 2 s (Lartillot et al. 2008, ISMIR: pulse clarity)."""
    accents = np.sqrt(_accents(rhythm))  # the root keeps single loud accents from deciding
    accents -= accents.mean()
    frames = len(accents)
    power = np.abs(np.fft.rfft(accents, 2 * frames)) ** 2
    similarity = np.fft.irfft(power)[:frames] / np.arange(frames, 0, -1)
    lags = similarity[int(0.2 * RHYTHM_RATE) : int(min(2.0, frames / RHYTHM_RATE / 2) * RHYTHM_RATE)]
    return float(lags.max() / (similarity[0] + 1e-12))


def dissonance(pitches: Pitches) -> dict[str, float]:
    """Interval content: minor seconds and tritones sound dissonant (Hutchinson & Knopoff 1978, Interface 7(1)).

    clash: minor seconds and half the tritones, against thirds and fifths, in products of pitch-class shares.
    tritones: their share alone.
    """
    share = pitches.upper / (pitches.upper.sum(axis=1, keepdims=True) + 1e-9)
    interval = [0.0, *(float((share * np.roll(share, k, axis=1)).sum(axis=1).mean()) for k in range(1, 7))]
    consonant = interval[3] + interval[4] + interval[5]
    return {"clash": (interval[1] + 0.5 * interval[6]) / (consonant + 1e-3), "tritones": interval[6]}


def related_roots(pitches: Pitches) -> float:
    """Share of time on chords whose roots are one fifth around one centre (I, IV, V): one key, clearly.

    Chord roots by triad templates (Fujishima 1999) plus the bass, smoothed over 0.7 s; closeness of keys on the
    circle of fifths after Krumhansl (1990).
    """
    upper = pitches.upper / (np.linalg.norm(pitches.upper, axis=1, keepdims=True) + 1e-9)
    bass = pitches.bass / (np.linalg.norm(pitches.bass, axis=1, keepdims=True) + 1e-9)
    evidence = np.maximum(upper @ MAJOR_TRIADS.T, upper @ MINOR_TRIADS.T) + bass
    root = uniform_filter1d(evidence, 7, axis=0).argmax(axis=1)
    share = np.bincount(root, minlength=12) / len(root)
    return float(max(share @ np.roll(FIFTH_RELATED, k) for k in range(12)))


def minor_triads(pitches: Pitches) -> float:
    """How much better minor triads fit than major ones, frame by frame, -1 to 1, weighted by amplitude.

    The difference of the best minor and major key strength is MIRtoolbox's mode (Lartillot & Toiviainen 2007; Saari et
    al. 2011); here with triads, so that it follows chords through modulations.
    """
    upper = pitches.upper / (np.linalg.norm(pitches.upper, axis=1, keepdims=True) + 1e-9)
    margin = (upper @ MINOR_TRIADS.T).max(axis=1) - (upper @ MAJOR_TRIADS.T).max(axis=1)
    return float(np.average(np.tanh(10 * margin), weights=pitches.upper.sum(axis=1) + 1e-9))
