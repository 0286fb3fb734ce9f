"""Everything that reads files from outside, as functions of bytes, for hypothesis (test_fuzz) and atheris (fuzz.py).

A reader writes the bytes where such a file belongs, reads them, and says whether what came out is as promised. The
documented error counts as an answer; any other exception, and any broken promise, is a finding.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
import yaml

from mer_lib.audio import EXCERPT_SAMPLES, SAMPLE_RATE, AudioError, decode
from mer_lib.dataset import EMOTIONS, MIDLEVEL, Corpus, CorpusError, load_corpus
from mer_lib.download import ArchiveError, unpack
from mer_lib.listening import abx_result
from mer_lib.models import Network, build
from mer_lib.prepared import INFO, Prepared, PreparedError, load_prepared
from mer_lib.published import PublishedError, read_clips
from mer_lib.runs import RunError, load_run, load_weights, save_run
from tests.small import tone, write_corpus, write_midlevel
from workflow.jobs import read_jobs
from workflow.study import SCHEMA, Study, StudyError, load_study

CLIPS = 4
WIDTH = 0.0625
LOG = "file,epoch,db,norm,converged,true-label,orig-pred,new-pred\n['001.mp3.spec'],9,40,1,False,{0},{0},{0}\n"


@dataclass
class Reader:
    """One reader.

    Attributes
    ----------
    prepare
        Makes the folder into which the file belongs.
    name
        The file's place in it.
    read
        Reads the folder.
    errors
        The documented exceptions.
    promise
        Whether what was read is as promised.
    seeds
        Right files to start from; by default the one that ``prepare`` makes.
    """

    prepare: Callable[[Path], object]
    name: str
    read: Callable[[Path], object]
    errors: type[Exception]
    promise: Callable[[object], bool]
    seeds: Callable[[], list[bytes]] | None = None

    @cached_property
    def folder(self) -> Path:
        """The folder, made once."""
        self._keeper = tempfile.TemporaryDirectory(prefix="mer-fuzz-")
        folder = Path(self._keeper.name) / "in"
        folder.mkdir()
        self.prepare(folder)
        return folder

    @cached_property
    def corpus(self) -> list[bytes]:
        """Right files."""
        return self.seeds() if self.seeds else [(self.folder / self.name).read_bytes()]

    def __call__(self, data: bytes) -> bool:
        """Read these bytes; whether they were taken (else they were refused as documented)."""
        outside = sorted(os.listdir(self.folder.parent))
        (self.folder / self.name).write_bytes(data)
        try:
            found = self.read(self.folder)
        except self.errors as error:
            assert type(error) is self.errors and str(error).strip(), repr(error)
            return False
        finally:
            assert sorted(os.listdir(self.folder.parent)) == outside, "something was written outside the folder"
        assert self.promise(found), f"read as right: {found!r}"
        return True


def sounds() -> list[bytes]:
    """A tenth of a second in several formats."""
    found = []
    for kind in ("WAV", "FLAC", "MP3", "OGG", "AIFF", "CAF", "W64", "AU"):
        buffer = io.BytesIO()
        soundfile.write(buffer, tone(seconds=0.1), SAMPLE_RATE, format=kind)
        found.append(buffer.getvalue())
    return found


def is_sound(samples: np.ndarray) -> bool:
    return samples.ndim == 1 and len(samples) > 0 and samples.dtype == np.float32 and bool(np.isfinite(samples).all())


def is_corpus(corpus: Corpus) -> bool:
    """Ids once each, existing files, groups, values in their range or none."""
    values = corpus.table[[*EMOTIONS, *MIDLEVEL]].to_numpy(float)
    files = all(os.path.isfile(path) for path in corpus.table["path"])
    inside = bool(((values >= 0) & (values <= 1) | np.isnan(values)).all())
    return corpus.table["id"].is_unique and corpus.table["group"].notna().all() and files and inside and len(corpus) > 0


def soundtracks(folder: Path) -> None:
    write_corpus(folder / "soundtracks", CLIPS, seconds=0.01)
    write_midlevel(folder / "midlevel" / "metadata_annotations", CLIPS)


def own(folder: Path) -> None:
    for name in ("a", "b"):
        soundfile.write(folder / f"{name}.wav", tone(seconds=0.01), SAMPLE_RATE)
    table = {
        "file": ["a.wav", "b.wav"],
        "id": ["x", "y"],
        "valence": [1, 9],
        "happy": [2.5, ""],
        "dissonance": [1, 1],
        "group": ["g", ""],
    }
    pd.DataFrame(table).to_csv(folder / "ratings.csv", index=False)
    (folder / "corpus.yaml").write_text("scale: [1, 9]\n")


def read_soundtracks(folder: Path) -> Corpus:
    return load_corpus("soundtracks", folder)


ATTACKS = [
    {"name": "a", "domain": "waveform", "epsilon": 0.1, "steps": 3},
    {"name": "b", "domain": "waveform", "snr_db": 30, "norm": "2", "steps": 1},
]
STUDY = {
    "study": "tiny", "corpus": "etudes", "width": 0.125, "epochs": 2, "systems": {"A2E": [21], "aA2E": [21, 42]},
    "attacks": ATTACKS, "analyses": [{"notebook": "08_robustness", "parameters": {"a": [1, {"b": None}]}}],
}  # fmt: skip


def studies() -> list[bytes]:
    return [yaml.safe_dump(STUDY, default_flow_style=flow).encode() for flow in (False, True)] + [
        json.dumps(STUDY).encode()
    ]


def is_study(study: Study) -> bool:
    return set(study.settings) <= set(SCHEMA["properties"]) and study.name == "tiny" and 0 < study["width"] <= 4


def run(folder: Path) -> None:
    torch.manual_seed(0)
    save_run(folder, build("A2E", WIDTH), {"study": "s", "seed": 3}, pd.DataFrame({"epoch": [1], "score": [0.5]}))


def is_network(model: Network) -> bool:
    return all(value.isfinite().all() for value in model.state_dict().values()) and model.width == WIDTH


def prepared(folder: Path) -> None:
    np.save(folder / "waveforms.npy", np.zeros((1, EXCERPT_SAMPLES), np.float32))
    np.save(folder / "spectrograms.npy", np.zeros((1, 313, 149), np.float32))
    table = {"id": ["a"], "group": ["g"], **dict.fromkeys(EMOTIONS + MIDLEVEL, [0.5])}
    pd.DataFrame(table).to_csv(folder / "table.csv", index=False)
    (folder / "info.json").write_text(json.dumps(dict.fromkeys(INFO, "x") | {"format": 1, "shortcut": {}}))


def is_prepared(found: Prepared) -> bool:
    shapes = found.waveforms.shape == (1, EXCERPT_SAMPLES) and found.spectrograms.shape == (1, 313, 149)
    return shapes and found.emotions.shape == (1, 8) and found.midlevel.shape == (1, 7) and set(INFO) <= set(found.info)


def archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("a.csv", "b/c.csv", "../x"):
            file.writestr(name, f"{name}\n" * 9)


def read_archive(folder: Path) -> bool:
    """Unpack into a fresh folder; whether everything that appeared lies in it."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        into = Path(place) / "into"
        into.mkdir()
        written = unpack(folder / "a.zip", into)
        return os.listdir(place) == ["into"] and all(path.is_relative_to(into) and path.is_file() for path in written)


def log(folder: Path) -> None:
    place = folder / "21_b0d56_2024-03-21_17-35-21_0.001_corr_0.002_test"
    place.mkdir()
    (place / "hparams.yaml").write_text("clip_eps: 0.001\nlr: 0.002\n")
    (place / "log.csv").write_text(LOG.format('"[[0.1 2. -3 4e-05 5 6 7 8]]"'))


def is_log(clips: pd.DataFrame) -> bool:
    return len(clips) % 8 == 0 and bool(np.isfinite(clips[["rating", "clean", "attacked"]].to_numpy(float)).all())


def plan(folder: Path) -> None:
    job = {"name": "prepare", "phase": "prepare", "notebook": "x", "parameters": {}, "marker": "m", "executed": "e"}
    (folder / "plan.json").write_text(json.dumps({"jobs": [job], "threads": 1}))


ABX = b"trial,clip,x,answer,correct\n1,c,A,A,1\n2,c,B,A,0\n"
RUN = "21_b0d56_2024-03-21_17-35-21_0.001_corr_0.002_test"
SET1, ANNOTATED = "soundtracks", "midlevel/metadata_annotations"
READERS = {
    "audio": Reader(lambda folder: None, "a.mp3", lambda f: decode(f / "a.mp3"), AudioError, is_sound, sounds),
    "ratings": Reader(soundtracks, f"{SET1}/mean_ratings_set1.csv", read_soundtracks, CorpusError, is_corpus),
    "tracks": Reader(soundtracks, f"{SET1}/set1_tracklist.csv", read_soundtracks, CorpusError, is_corpus),
    "annotations": Reader(soundtracks, f"{ANNOTATED}/annotations.csv", read_soundtracks, CorpusError, is_corpus),
    "metadata": Reader(soundtracks, f"{ANNOTATED}/metadata.csv", read_soundtracks, CorpusError, is_corpus),
    "own_table": Reader(own, "ratings.csv", load_corpus, CorpusError, is_corpus),
    "own_scale": Reader(own, "corpus.yaml", load_corpus, CorpusError, is_corpus),
    "study": Reader(
        lambda folder: None, "tiny.yaml", lambda f: load_study(f / "tiny.yaml"), StudyError, is_study, studies
    ),
    "plan": Reader(plan, "plan.json", lambda f: read_jobs(f / "plan.json"), StudyError, lambda found: len(found) == 2),
    "weights": Reader(
        run,
        "weights.safetensors",
        lambda f: load_weights(f / "weights.safetensors", "A2E", WIDTH),
        RunError,
        is_network,
    ),
    "record": Reader(run, "run.json", lambda f: load_run(f).model, RunError, is_network),
    "history": Reader(run, "history.csv", lambda f: load_run(f).model, RunError, is_network),
    "prepared_info": Reader(prepared, "info.json", load_prepared, PreparedError, is_prepared),
    "prepared_table": Reader(prepared, "table.csv", load_prepared, PreparedError, is_prepared),
    "prepared_array": Reader(prepared, "spectrograms.npy", load_prepared, PreparedError, is_prepared),
    "archive": Reader(archive, "a.zip", read_archive, ArchiveError, bool),
    "answers": Reader(
        lambda folder: None,
        "abx.csv",
        lambda f: abx_result(f / "abx.csv"),
        ValueError,
        lambda r: 0 <= r["p_value"] <= 1,
        lambda: [ABX],
    ),
    "log": Reader(log, f"{RUN}/log.csv", read_clips, PublishedError, is_log),
    "log_settings": Reader(log, f"{RUN}/hparams.yaml", read_clips, PublishedError, is_log),
}
