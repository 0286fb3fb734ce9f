"""Corpora: the table of clips, ratings and mid-level values, checked before any work, and the splits.

Three kinds go through the same checks: ``etudes`` (embedded, composed, rated by simulated listeners), ``soundtracks``
(Eerola & Vuoskoski 2011, with the mid-level tables of Aljanaki & Soleymani 2018 where the user has them), and a folder
of one's own with audio and one CSV. ``data/README.md`` describes the layouts.

Notebook: 01_prepare_data
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from mer_lib.checks import (
    CorpusError,
    Findings,
    duplicates,
    missing_counterparts,
    normalised_id,
    numbers,
    read_csv,
    shown,
)
from mer_lib.midlevel_tables import MIDLEVEL, read_midlevel
from mer_lib.places import data_folder
from mer_lib.splits import PROTOCOLS, split

__all__ = ["EMOTIONS", "MIDLEVEL", "PROTOCOLS", "Corpus", "CorpusError", "load_corpus", "split"]

EMOTIONS = ("valence", "energy", "tension", "anger", "fear", "happy", "sad", "tender")
LARGEST_SCALE = 1000  # bytes of a corpus.yaml; PyYAML takes seconds for some kilobytes of brackets
AUDIO_ENDINGS = (".mp3", ".ogg", ".opus", ".flac", ".wav", ".aiff", ".aif")


@dataclass(frozen=True)
class Corpus:
    """A checked corpus: one row a clip, audio not yet decoded.

    Attributes
    ----------
    name, folder
        What it is called in results, and where its audio lies.
    table
        One row a clip, in the order of the ids: id, path, group, the eight emotions and seven mid-level values in
        [0, 1] or NaN.
    midlevel_kind
        "annotated" (human listeners), "composed" (known by construction), "computed" (from audio) or "none".
    ratings_kind
        "human listeners" or "simulated listeners".
    publishable_audio
        Whether excerpts may be published (the Études); research data may not.
    notes
        What the check repaired or wants you to know.
    """

    name: str
    folder: Path
    table: pd.DataFrame = field(repr=False)
    midlevel_kind: str
    ratings_kind: str
    publishable_audio: bool = False
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every clip's id, group, values and audio bytes: the same corpus, wherever it lies."""
        digest = hashlib.sha256()
        values = self.table[list(EMOTIONS + MIDLEVEL)].to_numpy(np.float64).round(9)
        for row, path, cells in zip(self.table.itertuples(), self.table["path"], values, strict=True):
            digest.update(f"{row.id}\0{row.group}\0{cells.tolist()}\0".encode())
            digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
        return digest.hexdigest()


def _audio_files(folder: Path, findings: Findings) -> pd.Series:
    """Audio files of a folder by id (their stem)."""
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in AUDIO_ENDINGS) if folder.is_dir() else []
    if not files:
        findings.problem(f"{folder} is missing or holds no audio ({', '.join(AUDIO_ENDINGS)})")
    if strange := [p.name for p in files if not p.is_file()]:
        findings.problem(f"{folder}: no files, though their names say audio (folders or broken links)", strange)
    stems = normalised_id(pd.Series([p.stem for p in files], dtype=str))
    duplicates(stems, f"{folder}", findings)
    return pd.Series([str(p) for p in files], index=stems, dtype=str)


def _set1_layout(name: str, folder: Path, midlevel: Path, **kinds: object) -> Corpus:
    """Soundtracks and the Études: Set1/, mean_ratings_set1.csv, set1_tracklist.csv and, if there, mid-level tables."""
    findings = Findings(f"corpus {name} in {folder}")
    files = _audio_files(folder / "Set1", findings)
    ratings = read_csv(folder / "mean_ratings_set1.csv", findings, ("number", *EMOTIONS))
    named = ("Nro", "Album name")
    tracks = read_csv(folder / "set1_tracklist.csv", findings, named, used=named)
    values = read_midlevel(midlevel, name, findings) if midlevel.is_dir() else None
    if tracks is not None:
        track_ids = normalised_id(tracks["Nro"])
        duplicates(track_ids, "set1_tracklist.csv", findings)
    if ratings is not None:
        ids = normalised_id(ratings["number"])
        duplicates(ids, "mean_ratings_set1.csv", findings)
    if ratings is None or tracks is None:
        findings.settle()
    table = pd.DataFrame({"id": ids, "path": ids.map(files) if files.index.is_unique else None})
    table["group"] = ids.map(
        pd.Series(tracks["Album name"].str.strip().to_numpy(), index=track_ids)[lambda s: ~s.index.duplicated()]
    )
    for emotion in EMOTIONS:
        # Ratings run from 1 to 9; the published code divides by 10
        table[emotion] = numbers(ratings, emotion, ids, (1, 9), "mean_ratings_set1.csv", findings) / 10
    for quality in MIDLEVEL:
        table[quality] = np.nan if values is None or not values.index.is_unique else ids.map(values[quality])
    if files.index.is_unique:
        missing_counterparts(table, files, findings)
    if table["group"].isna().any():
        findings.problem("set1_tracklist.csv names no album for", ids[table["group"].isna()])
    if values is not None and table[list(MIDLEVEL)].isna().any(axis=None):
        findings.note("no mid-level values for", table["id"][table[list(MIDLEVEL)].isna().any(axis=1)])
    findings.settle()
    kinds = {**kinds, **({} if values is not None else {"midlevel_kind": "none"})}
    return Corpus(name, folder, table.sort_values("id").reset_index(drop=True), notes=tuple(findings.notes), **kinds)


def _own_folder(folder: Path) -> Corpus:
    """A user's folder: audio and one CSV with a ``file`` column and any of the emotions, mid-level qualities, group.

    Values lie in [0, 1], or the folder declares another scale in ``corpus.yaml`` (``scale: [1, 9]``).
    """
    name = Path(os.path.abspath(folder)).name
    findings = Findings(f"corpus {name} in {folder}")
    sheets = sorted(folder.glob("*.csv"))
    if len(sheets) != 1:
        raise CorpusError(
            f"{folder}: exactly one CSV with a column 'file' expected, found {[p.name for p in sheets] or 'none'}"
        )
    scale = _declared_scale(folder, findings)
    ratings = read_csv(sheets[0], findings, ("file",))
    if ratings is None:
        findings.settle()
    emotions = [emotion for emotion in EMOTIONS if emotion in ratings]
    if not emotions:
        findings.problem(f"{sheets[0]} has none of the emotions {', '.join(EMOTIONS)}")
    table = pd.DataFrame({"id": ratings["id"].str.strip() if "id" in ratings else ratings["file"].str.strip()})
    duplicates(table["id"], sheets[0].name, findings)
    paths, spare = _own_files(folder, ratings["file"], table["id"], findings)
    table["path"] = paths
    table["group"] = ratings["group"].str.strip().fillna(table["id"]) if "group" in ratings else table["id"]
    for column in EMOTIONS + MIDLEVEL:
        known = column in ratings
        values = numbers(ratings, column, table["id"], scale, sheets[0].name, findings) if known else np.nan
        table[column] = (values - scale[0]) / (scale[1] - scale[0]) if known else np.nan
    if emotions and not ratings[emotions].notna().any(axis=None):
        findings.problem(f"{sheets[0]} holds no rating: {', '.join(emotions)} are empty throughout")
    missing_counterparts(table, pd.Series("", index=[*table["id"], *spare]), findings)
    findings.settle()
    kind = "annotated" if table[list(MIDLEVEL)].notna().any(axis=None) else "none"
    table = table.sort_values("id").reset_index(drop=True)
    return Corpus(
        name,
        folder,
        table,
        midlevel_kind=kind,
        ratings_kind="human listeners",
        notes=tuple(findings.notes),
    )


def _own_files(
    folder: Path, names: pd.Series, ids: pd.Series, findings: Findings
) -> tuple[list[str | None], list[str]]:
    """Paths of the files that a CSV names (None where there is none), and audio below the folder that it does not name.

    A name that differs from the file's in its Unicode form alone ("é" as one character or as two) is the file's.
    """
    inside = Path(os.path.realpath(folder))
    found = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in AUDIO_ENDINGS and p.is_file()]
    by_form = {unicodedata.normalize("NFC", p.relative_to(folder).as_posix()): os.path.realpath(p) for p in found}
    paths, strays, folders, respelt = [], [], [], []
    for name in names.fillna("").str.strip():
        path = os.path.realpath(folder / name)
        if name and not Path(path).is_relative_to(inside):
            strays.append(name)
        elif os.path.isdir(path):
            folders.append(name or "(no name)")
        elif not os.path.isfile(path) and (other := by_form.get(unicodedata.normalize("NFC", name))):
            path = other
            respelt.append(name)
        named = name in strays or os.path.isdir(path)  # already, and not as a missing file too
        paths.append(path if named or os.path.isfile(path) else None)
    if strays:
        findings.problem("files outside the corpus folder", strays)
    if folders:
        findings.problem("folders in the column 'file', where audio files are expected", folders)
    if respelt:
        findings.note("found under another Unicode form of the name", respelt)
    known = pd.Series(paths, dtype=str)
    if (twice := known.duplicated(keep=False) & known.notna()).any():
        findings.problem("the same file in several rows (it would be trained on and tested)", ids[twice])
    used = set(paths)
    return paths, [str(p.relative_to(folder)) for p in found if os.path.realpath(p) not in used]


def _declared_scale(folder: Path, findings: Findings) -> tuple[float, float]:
    """The scale declared in ``corpus.yaml``, or (0, 1)."""
    path = folder / "corpus.yaml"
    if not path.is_file():
        return 0.0, 1.0
    try:
        declared = (
            yaml.safe_load(path.read_text(encoding="utf-8-sig")) if path.stat().st_size <= LARGEST_SCALE else None
        )
        low, high = (float(v) for v in declared["scale"])
        if set(declared) == {"scale"} and np.isfinite([low, high]).all() and low < high:
            return low, high
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        pass
    findings.problem(f"{path}: expected one line such as 'scale: [1, 9]' (lowest, highest rating)")
    return 0.0, 1.0


def load_corpus(name_or_path: str | Path, data_dir: str | Path = "data") -> Corpus:
    """Read and check a corpus's tables.

    Parameters
    ----------
    name_or_path
        "etudes", "soundtracks", or a folder of one's own.
    data_dir
        Folder of the corpora; relative paths count from the repository's root. The environment variable
        ``MER_SOUNDTRACKS`` points at a Soundtracks folder elsewhere.

    Raises
    ------
    CorpusError
        Naming everything that is wrong at once. What the audio itself holds is checked by
        :func:`mer_lib.preparation.prepare` before it computes anything.
    """
    data = data_folder(data_dir)
    if name_or_path == "etudes":
        kinds = {"midlevel_kind": "composed", "ratings_kind": "simulated listeners", "publishable_audio": True}
        return _set1_layout("etudes", data / "etudes", data / "etudes" / "midlevel", **kinds)
    if name_or_path == "soundtracks":
        folder = Path(os.path.expanduser(os.environ.get("MER_SOUNDTRACKS") or data / "soundtracks"))
        if not os.path.isdir(folder):
            raise CorpusError(
                f"{folder} is missing: data/README.md says where to get Soundtracks; MER_SOUNDTRACKS may point at it"
            )
        kinds = {"midlevel_kind": "annotated", "ratings_kind": "human listeners"}
        return _set1_layout("soundtracks", folder, data / "midlevel" / "metadata_annotations", **kinds)
    folder = Path(os.path.expanduser(name_or_path))
    if not str(name_or_path).strip() or not os.path.isdir(folder):
        raise CorpusError(f"{shown(name_or_path, 300)!r} is neither 'etudes', 'soundtracks' nor a folder")
    return _own_folder(folder)
