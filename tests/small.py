"""Small things that several tests need: a corpus of tones on disk, and a prepared corpus without any audio."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch

from mer_lib.audio import EXCERPT_SAMPLES, SAMPLE_RATE
from mer_lib.dataset import EMOTIONS, MIDLEVEL
from mer_lib.places import atomic_write
from mer_lib.preparation import Prepared, load_prepared, spectrograms_of

CLIPS = 12


def tone(hertz: float = 440.0, seconds: float = 10.5, level: float = 0.5) -> np.ndarray:
    """A sine, float32."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype(np.float32)


def write_corpus(folder: Path, clips: int = CLIPS, seconds: float = 10.5) -> Path:
    """A corpus in the layout of Soundtracks, with tones for clips; returns its folder."""
    random = np.random.default_rng(0)
    (folder / "Set1").mkdir(parents=True)
    ids = [f"{i:03d}" for i in range(1, clips + 1)]
    for index, name in enumerate(ids):
        soundfile.write(folder / "Set1" / f"{name}.wav", tone(220 + 20 * index, seconds), SAMPLE_RATE)
    ratings = pd.DataFrame(
        {"number": ids, **{e: random.uniform(1, 9, clips).round(2) for e in EMOTIONS}, "TARGET": "SAD"}
    )
    # As downloaded: with a byte order mark and carriage returns
    ratings.to_csv(folder / "mean_ratings_set1.csv", index=False, encoding="utf-8-sig", lineterminator="\r\n")
    tracks = pd.DataFrame({"Nro": ids, "Emotion": "Sad", "Album name": [f"album {i // 2}" for i in range(clips)]})
    tracks.assign(Track=1, **{"Min:Sec": "00:00-00:10"}).to_csv(folder / "set1_tracklist.csv", index=False)
    return folder


def write_midlevel(
    folder: Path, clips: int = CLIPS, source: str = "soundtracks", columns: tuple[str, ...] = MIDLEVEL
) -> pd.DataFrame:
    """Mid-level tables in the layout of Aljanaki & Soleymani; returns the values on their scale of 1 to 10."""
    random = np.random.default_rng(1)
    folder.mkdir(parents=True)
    songs = [str(1000 + i) for i in range(clips)]
    origin = {"song id": songs, "Source": source, "ID at file source": [str(i + 1) for i in range(clips)]}
    pd.DataFrame(origin).to_csv(folder / "metadata.csv", sep=";", index=False)
    values = pd.DataFrame({"song_id": songs, **{c: random.uniform(1, 10, clips).round(2) for c in columns}})
    values.to_csv(folder / "annotations.csv", index=False)
    return values


def small_prepared(folder: Path, clips: int = 20, midlevel: bool = True, seed: int = 0) -> Prepared:
    """A prepared corpus of noise whose loudness and brightness say something about the made-up ratings."""
    random = np.random.default_rng(seed)
    waveforms = random.normal(size=(clips, EXCERPT_SAMPLES)).astype(np.float32)
    strength = random.uniform(0.1, 1, (clips, 1)).astype(np.float32)
    waveforms *= strength / np.abs(waveforms).max(axis=1, keepdims=True)
    table = pd.DataFrame({"id": [f"{i + 1:03d}" for i in range(clips)], "group": [f"g{i // 2}" for i in range(clips)]})
    for index, name in enumerate(EMOTIONS + MIDLEVEL):
        known = index < len(EMOTIONS) or midlevel
        table[name] = np.clip(strength[:, 0] + 0.1 * random.normal(size=clips), 0, 1) if known else np.nan
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "waveforms.npy", waveforms)
    np.save(folder / "spectrograms.npy", spectrograms_of(waveforms))
    table.to_csv(folder / "table.csv", index=False)
    info = {
        "format": 1,
        "corpus": "noise",
        "fingerprint": f"noise {seed}",
        "clips": clips,
        "seed": 42,
        "midlevel_kind": "composed" if midlevel else "none",
        "ratings_kind": "simulated listeners",
        "publishable_audio": True,
        "shortcut": {"strength": 0.0, "emotion": None, "kind": None, "split_protocol": "published"},
    }
    atomic_write(folder / "info.json", lambda part: part.write_text(json.dumps(info)))
    return load_prepared(folder)


def drawn(seed: int, *shape: int) -> torch.Tensor:
    """Normal numbers, the same for a seed whatever was drawn before."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
