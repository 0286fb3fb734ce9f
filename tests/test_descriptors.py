"""The computed qualities: in range, blind to level and key, right on signals with known answers and on the Études."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mer_lib.audio import EXCERPT_SAMPLES, SAMPLE_RATE, decode
from mer_lib.dataset import MIDLEVEL
from mer_lib.descriptors import describe, describe_corpus

ETUDES = Path(__file__).resolve().parents[1] / "data" / "etudes"
SECONDS = 10.0


def tone(pitch: float, seconds: float, vibrato: float = 0.0, partials: int = 6) -> np.ndarray:
    """One harmonic tone with a 10 ms attack and release; vibrato in semitones at 5.5 Hz."""
    time_ = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    frequency = 440 * 2 ** ((pitch - 69 + vibrato * np.sin(2 * np.pi * 5.5 * time_)) / 12)
    phase = 2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE
    sound = sum(np.sin(k * phase) / k for k in range(1, partials + 1))
    ramp = np.minimum(1, np.minimum(time_, time_[::-1]) / 0.01)
    return (sound * ramp).astype(np.float32)


def play(notes: list[tuple[float, float, float]], vibrato: float = 0.0) -> np.ndarray:
    """Sum notes (start, seconds, pitch) into ten seconds."""
    sound = np.zeros(EXCERPT_SAMPLES, dtype=np.float32)
    for start, seconds, pitch in notes:
        begin = int(start * SAMPLE_RATE)
        note = tone(pitch, seconds, vibrato)[: max(0, EXCERPT_SAMPLES - begin)]
        sound[begin : begin + len(note)] += note
    return 0.1 * sound


def chords(shapes: list[tuple[int, ...]], length: float = 0.95, every: float = 1.0, key: float = 0.0) -> np.ndarray:
    """Repeat a list of chords (MIDI pitches), one every second."""
    starts = np.arange(0, SECONDS - 0.01, every)
    return play(
        [(float(at), length * every, pitch + key) for k, at in enumerate(starts) for pitch in shapes[k % len(shapes)]]
    )


MAJOR = [(48, 60, 64, 67), (53, 65, 69, 72), (55, 62, 67, 71), (48, 60, 64, 67)]  # I IV V I in C
MINOR = [(48, 60, 63, 67), (53, 65, 68, 72), (55, 62, 67, 70), (48, 60, 63, 67)]
CLUSTERS = [(48, 60, 61, 66), (53, 65, 66, 71), (55, 67, 68, 73), (48, 60, 61, 66)]
WANDERING = [(48, 60, 64, 67), (54, 66, 70, 73), (51, 63, 67, 70), (57, 69, 73, 76), (50, 62, 66, 69), (56, 68, 72, 75)]


def test_staccato_clicks_are_more_articulated_than_legato() -> None:
    assert describe(chords(MAJOR, length=0.12))["articulation"] > describe(chords(MAJOR))["articulation"] + 0.3


def test_minor_triads_are_more_minor_than_major_ones() -> None:
    assert describe(chords(MINOR))["minorness"] > 0.75
    assert describe(chords(MAJOR))["minorness"] < 0.25


def test_clusters_are_more_dissonant_than_triads() -> None:
    assert describe(chords(CLUSTERS))["dissonance"] > describe(chords(MAJOR))["dissonance"] + 0.3


def test_one_key_is_more_stable_than_wandering_through_all() -> None:
    wandering = describe(chords(WANDERING))["tonal_stability"]
    assert min(describe(chords(mode))["tonal_stability"] for mode in (MAJOR, MINOR)) > wandering + 0.3


def test_a_steady_pulse_is_more_stable_than_a_jittered_one() -> None:
    rng = np.random.default_rng(3)
    steady = np.arange(0.1, 9.8, 0.4)
    jittered = np.clip(steady + rng.uniform(-0.19, 0.19, len(steady)), 0, 9.8)
    stable, unstable = (
        describe(play([(float(at), 0.1, 69.0) for at in times]))["rhythmic_stability"] for times in (steady, jittered)
    )
    assert stable > unstable + 0.3


def test_many_syncopated_notes_are_more_complex_than_plain_beats() -> None:
    rng = np.random.default_rng(4)
    sixteenths = [k for k in range(80) if rng.random() < 0.7]
    plain = play([(0.5 * k, 0.1, 60.0) for k in range(20)])
    dense = play([(0.125 * k, 0.1, float(rng.choice([60, 64, 67, 72]))) for k in sixteenths])
    assert describe(dense)["rhythmic_complexity"] > describe(plain)["rhythmic_complexity"] + 0.2


def test_a_line_with_vibrato_is_more_melodious_than_stiff_chords() -> None:
    scale = [72, 74, 76, 77, 79, 77, 76, 74, 72, 71]
    sung = play([(float(k), 0.98, float(pitch)) for k, pitch in enumerate(scale)], vibrato=0.3)
    assert describe(sung)["melodiousness"] > describe(chords(MAJOR))["melodiousness"] + 0.4


@settings(deadline=None, max_examples=12)
@given(gain=st.floats(1e-3, 1.0), number=st.integers(1, 360))
def test_level_changes_nothing_and_values_stay_in_range(gain: float, number: int) -> None:
    clip = decode(ETUDES / "Set1" / f"{number:03d}.ogg")[:EXCERPT_SAMPLES]
    values, quieter = describe(clip), describe(gain * clip)
    assert list(values) == list(MIDLEVEL)
    for quality in MIDLEVEL:
        assert 0 <= values[quality] <= 1
        assert quieter[quality] == pytest.approx(values[quality], abs=0.01), quality


@pytest.mark.parametrize("key", [-3, 2, 5])
@pytest.mark.parametrize("mode", [MAJOR, MINOR, CLUSTERS])
def test_transposition_changes_little(mode: list[tuple[int, ...]], key: int) -> None:
    home, moved = describe(chords(mode)), describe(chords(mode, key=key))
    for quality in MIDLEVEL:
        assert moved[quality] == pytest.approx(home[quality], abs=0.2), quality


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (np.zeros(EXCERPT_SAMPLES), "silent"),
        (np.ones((2, EXCERPT_SAMPLES)), "mono"),
        (np.ones(SAMPLE_RATE), "at least 2 s"),
        (np.full(EXCERPT_SAMPLES, np.nan), "not finite"),
    ],
)
def test_what_cannot_be_described_is_refused(clip: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        describe(clip)


def test_every_row_that_cannot_be_described_is_named() -> None:
    waveforms = np.stack([chords(MAJOR), np.zeros(EXCERPT_SAMPLES), chords(MINOR), np.full(EXCERPT_SAMPLES, np.inf)])
    with pytest.raises(ValueError, match=r"2 of 4 .*row 1: .*silent.*row 3: .*not finite"):
        describe_corpus(waveforms.astype(np.float32), progress=False)


def test_noise_and_other_sample_rates_are_described() -> None:
    noise = np.random.default_rng(0).normal(size=EXCERPT_SAMPLES).astype(np.float32)
    assert all(0 <= value <= 1 for value in describe(noise).values())
    assert all(0 <= value <= 1 for value in describe(noise[: 44100 * 4], 44100).values())


@pytest.fixture(scope="module")
def sixty() -> tuple[pd.DataFrame, np.ndarray]:
    truth = pd.read_csv(ETUDES / "truth.csv", dtype={"number": str}).iloc[::6]
    return truth, np.stack([decode(ETUDES / "Set1" / f"{n}.ogg")[:EXCERPT_SAMPLES] for n in truth["number"]])


def test_computed_values_follow_the_composed_ones(sixty: tuple[pd.DataFrame, np.ndarray]) -> None:
    truth, waveforms = sixty
    computed = describe_corpus(waveforms, processes=1, progress=False)
    assert list(computed.columns) == list(MIDLEVEL) and len(computed) == len(truth)
    r = {quality: np.corrcoef(computed[quality], truth[quality])[0, 1] for quality in MIDLEVEL}
    assert min(r.values()) > 0.35, r  # 60 clips: the standard error of r is about .1
    assert sum(value >= 0.5 for value in r.values()) >= 5, r


def test_processes_change_nothing(sixty: tuple[pd.DataFrame, np.ndarray]) -> None:
    waveforms = sixty[1][:32]
    one, two = (describe_corpus(waveforms, processes=k, progress=False) for k in (1, 2))
    pd.testing.assert_frame_equal(one, two)


def test_a_clip_takes_no_longer_than_a_few_dozen_transforms_of_it(sixty: tuple[pd.DataFrame, np.ndarray]) -> None:
    describe(sixty[1][0])
    ratios = []
    for clip in sixty[1][:5]:
        frames = np.lib.stride_tricks.sliding_window_view(clip, 2048)[::512].astype(np.float64)
        start = time.process_time()
        np.abs(np.fft.rfft(frames, axis=1))
        middle = time.process_time()
        describe(clip)
        ratios.append((time.process_time() - middle) / (middle - start))
    assert min(ratios) < 60
