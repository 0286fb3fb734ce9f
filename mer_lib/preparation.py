"""From a checked corpus to arrays on disk: 10 s excerpts and their log spectrograms.

As published: mono at 22 050 Hz, zeros trimmed, peak set to 1, one random 10 s excerpt a clip, drawn once and kept
(Hoedt, Flexer, Widmer 2025, Section 3). Clips under 10 s are padded with zeros. Every file is decoded and checked
before anything is written, and ``info.json``, which marks the folder as done, is written last.

Notebook: 01_prepare_data
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from mer_lib.audio import (
    EXCERPT_SAMPLES,
    EXCERPT_SECONDS,
    SAMPLE_RATE,
    SHORTEST_SAMPLES,
    AudioError,
    clipped_share,
    peak_normalise,
    read_audio,
    to_mono,
    trim_zeros,
)
from mer_lib.checks import shown
from mer_lib.dataset import EMOTIONS, MIDLEVEL, Corpus, CorpusError, split
from mer_lib.places import atomic_write, prepared_name
from mer_lib.prepared import FORMAT, Prepared, PreparedError, load_prepared
from mer_lib.shortcut import SHORTCUTS, with_shortcut
from mer_lib.spectrogram import FRAMES_PER_SECOND, LogSpectrogram

__all__ = ["Prepared", "PreparedError", "check_audio", "load_prepared", "prepare", "prepared_name", "spectrograms_of"]

NOTED_CLIPPING = 0.01  # share of a clip's samples above which a note names it


def _prepare_clip(path: str) -> tuple[np.ndarray, float] | str:
    """A clip decoded, trimmed and normalised, with the share of it that was clipped; or what is wrong with it."""
    try:
        samples, rate = read_audio(path)
        waveform = peak_normalise(trim_zeros(to_mono(path, samples, rate)))
    except AudioError as error:
        return str(error) if path in str(error) else f"{path}: {error}"
    if len(waveform) < SHORTEST_SAMPLES:
        return f"{path}: only {len(waveform)} sample(s) of sound, less than one frame of the spectrogram"
    return waveform, clipped_share(samples)


def _decoded(paths: list[str], workers: int, progress: bool) -> Iterator[tuple[np.ndarray, float] | str]:
    """Clip by clip in their order. Threads do: decoder and resampler let go of Python's lock."""
    bar = {"total": len(paths), "desc": "decode", "unit": "clip", "disable": not progress}
    pool = ThreadPoolExecutor(workers)
    try:
        yield from tqdm(pool.map(_prepare_clip, paths), **bar)
    finally:
        pool.shutdown(cancel_futures=True)  # who stops does not want to wait for all the others


def _unusable(corpus: Corpus, problems: list[str], then: str) -> CorpusError:
    listed = "\n".join(f"  - {shown(problem, 500)}" for problem in problems)
    return CorpusError(f"corpus {corpus.name}: {len(problems)} unusable file(s), {then}\n{listed}")


def check_audio(corpus: Corpus, workers: int = 2, progress: bool = False) -> None:
    """Decode every clip and keep nothing.

    Raises
    ------
    CorpusError
        Naming every file that cannot be decoded, is silent or too short.
    """
    clips = _decoded(corpus.table["path"].tolist(), workers, progress)
    if problems := [clip for clip in clips if isinstance(clip, str)]:
        raise _unusable(corpus, problems, "the others are right")


def _excerpt(waveform: np.ndarray, generator: torch.Generator) -> tuple[np.ndarray, float]:
    """A random 10 s excerpt and its start in seconds; short clips are padded at their end."""
    spare = max(0, len(waveform) - EXCERPT_SAMPLES)
    # Drawn in frames, as the published slice was, and for short clips too, so that they shift no other clip's draw
    frame = torch.randint(0, int(spare / SAMPLE_RATE * FRAMES_PER_SECOND) + 1, (1,), generator=generator).item()
    start = int(frame * SAMPLE_RATE / FRAMES_PER_SECOND)
    piece = waveform[start : start + EXCERPT_SAMPLES]
    return np.pad(piece, (0, EXCERPT_SAMPLES - len(piece))), start / SAMPLE_RATE


def spectrograms_of(waveforms: np.ndarray, batch: int = 4, progress: bool = False) -> np.ndarray:
    """Log spectrograms of many waveforms, (clips, 313, 149) float32, in batches."""
    front_end = LogSpectrogram()
    with torch.inference_mode():
        batches = range(0, len(waveforms), batch)
        bar = tqdm(batches, desc="spectrograms", unit="batch", disable=not progress)
        parts = [front_end(torch.tensor(np.array(waveforms[i : i + batch]))).numpy() for i in bar]
    return np.concatenate(parts)


def choose(corpus: Corpus, clips: int | None) -> Corpus:
    """The corpus, or an evenly spaced part of it of so many clips; a ValueError if it cannot have so many."""
    if clips is None or clips == len(corpus):
        return corpus
    if not 10 <= clips <= len(corpus):
        raise ValueError(f"clips must lie between 10 and {len(corpus)}, the size of {corpus.name}; got {clips}")
    rows = np.linspace(0, len(corpus) - 1, clips).round().astype(int)
    return Corpus(**{**corpus.__dict__, "table": corpus.table.iloc[rows].reset_index(drop=True)})


def prepare(
    corpus: Corpus,
    folder: str | Path,
    *,
    clips: int | None = None,
    seed: int = 42,
    shortcut: float = 0.0,
    shortcut_emotion: str = "happy",
    shortcut_kind: str = "tilt",
    split_protocol: str = "published",
    midlevel: str = "corpus",
    workers: int = 2,
    progress: bool = True,
) -> Prepared:
    """Decode, check, cut and transform a corpus; a finished folder made the same way is returned at once.

    Parameters
    ----------
    corpus
        From :func:`mer_lib.dataset.load_corpus`.
    folder
        Where the arrays go.
    clips
        Use only so many clips, evenly spaced (all by default).
    seed
        Seed of the excerpts' positions.
    shortcut, shortcut_emotion, shortcut_kind
        Strength (0 to 1) of a recording property that is tied to an emotion's rating in training and validation clips
        of ``split_protocol``; test clips stay without it, see :meth:`Prepared.test_variant`.
    midlevel
        "corpus": the corpus's own values; "computed": from the audio by :mod:`mer_lib.descriptors`, and called so.
    workers
        Files decoded at once, and clips described at once.

    Raises
    ------
    CorpusError
        Naming every file that cannot be decoded or is silent.
    ValueError
        If an argument makes no sense, or the folder holds something prepared differently.
    """
    if shortcut_kind not in SHORTCUTS or shortcut_emotion not in EMOTIONS or not 0 <= shortcut <= 1:
        raise ValueError(
            f"shortcut {shortcut}, {shortcut_emotion!r}, {shortcut_kind!r}: strength in [0, 1], an emotion, {SHORTCUTS}"
        )
    if midlevel not in ("corpus", "computed"):
        raise ValueError(f"midlevel is 'corpus' or 'computed', not {midlevel!r}")
    folder, corpus = Path(folder), choose(corpus, clips)
    properties = {
        "strength": float(shortcut),
        "emotion": shortcut_emotion,
        "kind": shortcut_kind,
        "split_protocol": split_protocol,
    }
    info = {
        "format": FORMAT,
        "corpus": corpus.name,
        "fingerprint": corpus.fingerprint,
        "clips": len(corpus),
        "seed": seed,
        "shortcut": properties
        if shortcut
        else {**properties, "emotion": None, "kind": None, "split_protocol": "published"},
        "midlevel_kind": "computed" if midlevel == "computed" else corpus.midlevel_kind,
        "ratings_kind": corpus.ratings_kind,
        "publishable_audio": corpus.publishable_audio,
        "excerpt_seconds": EXCERPT_SECONDS,
        "sample_rate": SAMPLE_RATE,
    }
    if (folder / "info.json").is_file():
        known = load_prepared(folder)
        differing = sorted(key for key in info if known.info.get(key) != info[key])
        if differing:
            raise ValueError(
                f"{folder} was prepared differently ({', '.join(differing)}): remove it or use another folder"
            )
        return known
    return _prepare(corpus, folder, info, midlevel, workers, progress)


def _save(path: Path, values: np.ndarray) -> None:
    atomic_write(path, lambda part: np.save(part, values, allow_pickle=False))


def _prepare(corpus: Corpus, folder: Path, info: dict, midlevel: str, workers: int, progress: bool) -> Prepared:
    generator = torch.Generator().manual_seed(info["seed"])
    waveforms = np.empty((len(corpus), EXCERPT_SAMPLES), np.float32)
    starts, problems, short, clipped = [], [], [], []
    for index, clip in enumerate(_decoded(corpus.table["path"].tolist(), workers, progress)):
        if isinstance(clip, str):
            problems.append(clip)
            continue
        waveform, share = clip
        if share > NOTED_CLIPPING:
            clipped.append(f"{corpus.table['id'][index]} ({share:.0%})")
        if len(waveform) < EXCERPT_SAMPLES:
            short.append(f"{corpus.table['id'][index]} ({len(waveform) / SAMPLE_RATE:.2f} s)")
        waveforms[index], start = _excerpt(waveform, generator)
        starts.append(start)
    if problems:
        raise _unusable(corpus, problems, "nothing was prepared")
    table = corpus.table.drop(columns="path").assign(start_seconds=starts)
    if info["shortcut"]["strength"]:
        parts = split(table, info["shortcut"]["split_protocol"])
        rows = np.concatenate([parts["train"], parts["valid"]])
        emotions = table[list(EMOTIONS)].to_numpy(np.float32)
        waveforms[rows] = with_shortcut(waveforms[rows], emotions[rows], info["shortcut"])
    if midlevel == "computed":
        from mer_lib.descriptors import (
            describe_corpus,
        )  # librosa takes seconds to import and few corpora need it

        computed = describe_corpus(waveforms, processes=workers, progress=progress)
        table[list(MIDLEVEL)] = computed[list(MIDLEVEL)].to_numpy()
    notes = [
        *corpus.notes,
        *([f"shorter than 10 s and padded with zeros: {', '.join(short)}"] if short else []),
        *([f"clipped, by the share of samples cut off at full scale: {', '.join(clipped)}"] if clipped else []),
    ]
    with ThreadPoolExecutor(1) as pool:  # a disk is waited for while the processor works
        written = pool.submit(_save, folder / "waveforms.npy", waveforms)
        spectrograms = spectrograms_of(waveforms, progress=progress)
        written.result()
    _save(folder / "spectrograms.npy", spectrograms)
    atomic_write(folder / "table.csv", lambda part: table.to_csv(part, index=False))
    text = json.dumps({**info, "notes": notes}, indent=1)
    atomic_write(folder / "info.json", lambda part: part.write_text(text, encoding="utf-8"))
    return load_prepared(folder)
