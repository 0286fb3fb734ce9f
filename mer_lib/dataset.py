"""Corpora: the table of clips, ratings and mid-level values, checked before any work, and the splits.

Three kinds go through the same checks: ``etudes`` (embedded, composed, rated by simulated listeners), ``soundtracks``
(Eerola & Vuoskoski 2011, with the mid-level tables of Aljanaki & Soleymani 2018 where the user has them), and a folder
of one's own with audio and one CSV. ``data/README.md`` describes the layouts.

Notebook: 01_prepare_data
"""

from __future__ import annotations

import hashlib
import os
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
)
from mer_lib.places import data_folder
from mer_lib.splits import PROTOCOLS, split

__all__ = ["EMOTIONS", "MIDLEVEL", "PROTOCOLS", "Corpus", "CorpusError", "load_corpus", "split"]

EMOTIONS = ("valence", "energy", "tension", "anger", "fear", "happy", "sad", "tender")
MIDLEVEL = (
    "melodiousness",
    "articulation",
    "rhythmic_complexity",
    "rhythmic_stability",
    "dissonance",
    "tonal_stability",
    "minorness",
)
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
    stems = normalised_id(pd.Series([p.stem for p in files], dtype=str))
    duplicates(stems, f"{folder}", findings)
    return pd.Series([str(p) for p in files], index=stems, dtype=str)


def _read_midlevel(folder: Path, source: str, findings: Findings) -> pd.DataFrame | None:
    """The seven mid-level values by id at the source, from the tables of Aljanaki & Soleymani (2018) or of that layout.

    Columns are found by name, else by position. The direction of the sixth is taken from the data: what rises with
    dissonance is atonality, whatever it is called, and is turned round.
    """
    names = ("song id", "Source", "ID at file source")
    metadata = read_csv(folder / "metadata.csv", findings, names, separator=";")
    annotations = read_csv(folder / "annotations.csv", findings, ("song_id",))
    if metadata is None or annotations is None:
        return None
    by_name = [column for column in annotations.columns if column in MIDLEVEL]
    columns = list(MIDLEVEL) if len(by_name) == 7 else [c for c in annotations.columns if c != "song_id"][:7]
    if len(columns) < 7:
        findings.problem(
            f"{folder / 'annotations.csv'}: seven mid-level columns expected beside song_id, found {', '.join(columns)}"
        )
        return None
    metadata = metadata.assign(song_id=metadata["song id"].str.strip(), id=normalised_id(metadata["ID at file source"]))
    metadata = metadata[metadata["Source"].str.strip().str.lower() == source]
    annotations = annotations.assign(song_id=annotations["song_id"].str.strip())
    for values, name in ((metadata["id"], "metadata.csv"), (annotations["song_id"], "annotations.csv")):
        duplicates(values, f"{folder / name}", findings)
    joined = metadata[["song_id", "id"]].merge(annotations, on="song_id", how="inner").set_index("id", drop=False)
    result = pd.DataFrame(index=joined.index)
    for name, column in zip(MIDLEVEL, columns, strict=True):
        result[name] = numbers(joined, column, joined["id"], (1, 10), f"{folder / 'annotations.csv'}", findings) / 10
    direction = result["tonal_stability"].corr(result["dissonance"])
    if direction > 0.3 or (columns[5] == "atonality" and not direction < -0.3):
        result["tonal_stability"] = 1.1 - result["tonal_stability"]
        findings.note(
            f"mid-level column 6 ({columns[5]}) read as atonality and turned round: "
            f"it correlates {direction:+.2f} with dissonance"
        )
    return result


def _set1_layout(name: str, folder: Path, midlevel: Path, **kinds: object) -> Corpus:
    """Soundtracks and the Études: Set1/, mean_ratings_set1.csv, set1_tracklist.csv and, if there, mid-level tables."""
    findings = Findings(f"corpus {name} in {folder}")
    files = _audio_files(folder / "Set1", findings)
    ratings = read_csv(folder / "mean_ratings_set1.csv", findings, ("number", *EMOTIONS))
    tracks = read_csv(folder / "set1_tracklist.csv", findings, ("Nro", "Album name"))
    values = _read_midlevel(midlevel, name, findings) if midlevel.is_dir() else None
    if ratings is None or tracks is None:
        findings.settle()
    ids, track_ids = normalised_id(ratings["number"]), normalised_id(tracks["Nro"])
    duplicates(ids, "mean_ratings_set1.csv", findings)
    duplicates(track_ids, "set1_tracklist.csv", findings)
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
    findings = Findings(f"corpus {folder.name} in {folder}")
    sheets = sorted(folder.glob("*.csv"))
    if len(sheets) != 1:
        raise CorpusError(
            f"{folder}: exactly one CSV with a column 'file' expected, found {[p.name for p in sheets] or 'none'}"
        )
    ratings = read_csv(sheets[0], findings, ("file",))
    if ratings is None:
        findings.settle()
    scale = _declared_scale(folder, findings)
    if not set(EMOTIONS) & set(ratings.columns):
        findings.problem(f"{sheets[0]} has none of the emotions {', '.join(EMOTIONS)}")
    table = pd.DataFrame({"id": ratings["id"].str.strip() if "id" in ratings else ratings["file"].str.strip()})
    duplicates(table["id"], sheets[0].name, findings)
    paths = [(folder / str(name).strip()).resolve() for name in ratings["file"]]
    strays = [
        name for name, path in zip(ratings["file"], paths, strict=True) if not path.is_relative_to(folder.resolve())
    ]
    if strays:
        findings.problem("files outside the corpus folder", strays)
    table["path"] = [str(path) if path.is_file() else None for path in paths]
    table["group"] = ratings["group"].str.strip().fillna(table["id"]) if "group" in ratings else table["id"]
    for column in EMOTIONS + MIDLEVEL:
        known = column in ratings
        values = numbers(ratings, column, table["id"], scale, sheets[0].name, findings) if known else np.nan
        table[column] = (values - scale[0]) / (scale[1] - scale[0]) if known else np.nan
    used = {str(path) for path in paths}
    found = [p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_ENDINGS and str(p.resolve()) not in used]
    missing_counterparts(
        table, pd.Series("", index=[*table["id"], *(str(p.relative_to(folder)) for p in found)]), findings
    )
    findings.settle()
    kind = "annotated" if table[list(MIDLEVEL)].notna().any(axis=None) else "none"
    table = table.sort_values("id").reset_index(drop=True)
    return Corpus(
        folder.name,
        folder,
        table,
        midlevel_kind=kind,
        ratings_kind="human listeners",
        notes=tuple(findings.notes),
    )


def _declared_scale(folder: Path, findings: Findings) -> tuple[float, float]:
    """The scale declared in ``corpus.yaml``, or (0, 1)."""
    if not (folder / "corpus.yaml").is_file():
        return 0.0, 1.0
    try:
        declared = yaml.safe_load((folder / "corpus.yaml").read_text(encoding="utf-8"))
        low, high = (float(v) for v in declared["scale"])
        if set(declared) == {"scale"} and np.isfinite([low, high]).all() and low < high:
            return low, high
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        pass
    findings.problem(f"{folder / 'corpus.yaml'}: expected one line such as 'scale: [1, 9]' (lowest, highest rating)")
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
        folder = Path(os.environ.get("MER_SOUNDTRACKS") or data / "soundtracks").expanduser()
        if not folder.is_dir():
            raise CorpusError(
                f"{folder} is missing: data/README.md says where to get Soundtracks; MER_SOUNDTRACKS may point at it"
            )
        kinds = {"midlevel_kind": "annotated", "ratings_kind": "human listeners"}
        return _set1_layout("soundtracks", folder, data / "midlevel" / "metadata_annotations", **kinds)
    folder = Path(name_or_path).expanduser()
    if not folder.is_dir():
        raise CorpusError(f"{name_or_path!r} is neither 'etudes', 'soundtracks' nor a folder")
    return _own_folder(folder)
