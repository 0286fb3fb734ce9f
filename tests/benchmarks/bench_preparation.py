"""Preparing a corpus of mp3 files against librosa.load and a loop over clips."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from statistics import median

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from mer_lib.audio import EXCERPT_SAMPLES, SAMPLE_RATE, decode, peak_normalise, trim_zeros
from mer_lib.dataset import EMOTIONS, load_corpus
from mer_lib.preparation import prepare
from mer_lib.spectrogram import LogSpectrogram
from tests.benchmarks.measuring import Duel, Size, faster
from tests.benchmarks.report import Report, Row


@pytest.fixture(scope="module")
def mp3s(size: Size, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of one's own: 44.1 kHz stereo mp3 files, as Soundtracks has them, and a table."""
    if "MP3" not in soundfile.available_formats():
        pytest.skip("this libsndfile writes no mp3 files")
    folder, random = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    names = [f"{number:03d}.mp3" for number in range(1, size.mp3s + 1)]
    seconds = np.arange(size.mp3_seconds * 44100) / 44100
    for name in names:
        tones = [np.sin(2 * np.pi * hertz * seconds) for hertz in random.uniform(80, 4000, 4)]
        stereo = np.stack([sum(tones), sum(tones[:2])], axis=1) / 6 + 0.02 * random.normal(size=(len(seconds), 2))
        soundfile.write(folder / name, stereo, 44100, format="MP3")
    ratings = pd.DataFrame({"file": names, **{emotion: random.uniform(0, 1, len(names)) for emotion in EMOTIONS}})
    ratings.to_csv(folder / "ratings.csv", index=False)
    return folder


def with_librosa(paths: list[str]) -> np.ndarray:
    """One file after the other, in one process: decode, cut, transform."""
    front_end, found = LogSpectrogram(), []
    for path in paths:
        waveform = peak_normalise(trim_zeros(librosa.load(path, sr=SAMPLE_RATE)[0]))[:EXCERPT_SAMPLES]
        with torch.no_grad():
            found.append(front_end(torch.from_numpy(waveform)[None])[0].numpy())
    return np.stack(found)


def seconds_a_clip(paths: list[str], read: Callable[[str], object]) -> float:
    """Seconds that one process takes for one file, the median."""
    found = []
    for path in paths:
        begin = time.perf_counter()
        read(path)
        found.append(time.perf_counter() - begin)
    return median(found)


def test_preparing_a_corpus(duel: Duel, size: Size, report: Report, mp3s: Path, tmp_path: Path) -> None:
    corpus = load_corpus(mp3s)
    paths, fresh = corpus.table["path"].tolist(), count()
    with_librosa(paths[:1])  # its first call compiles
    taken = duel(
        lambda: prepare(corpus, tmp_path / str(next(fresh)), progress=False),
        {"librosa": lambda: with_librosa(paths)},
        size.rounds,
    )
    rates = [len(paths) / median(taken[name]) for name in ("ours", "librosa")]
    alone = [1e3 * seconds_a_clip(paths[:12], read) for read in (decode, lambda path: librosa.load(path, sr=None))]
    alone.append(1e3 * seconds_a_clip(paths[:12], lambda path: with_librosa([path])))
    report.rows.append(
        Row(
            order=8,
            work="preparing a corpus of 44.1 kHz stereo mp3",
            against="librosa.load and a loop over clips",
            ratios=faster(taken, "librosa"),
            target=2.5,
            sizes=f"{len(paths)} files of {size.mp3_seconds} s, two at once as by default",
            measured=f"{rates[0]:.3g} against {rates[1]:.3g} clips/s",
            limit=f"One process decodes and resamples a file in {alone[0]:.0f} ms; librosa takes {alone[1]:.0f} ms to "
            f"decode it alone and {alone[2]:.0f} with resampling and spectrogram. Threads cannot win more than cores",
        )
    )
