"""The mid-level annotations of Aljanaki & Soleymani (2018), or tables of that layout: which column is which quality.

Notebook: 01_prepare_data
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mer_lib.checks import Findings, duplicates, normalised_id, numbers, read_csv

MIDLEVEL = (
    "melodiousness",
    "articulation",
    "rhythmic_complexity",
    "rhythmic_stability",
    "dissonance",
    "tonal_stability",
    "minorness",
)
# Other names of the same qualities; the direction of the sixth is taken from the data, whatever it is called
ALSO_CALLED = {
    "melody": "melodiousness",
    "rhythm_complexity": "rhythmic_complexity",
    "rhythm_stability": "rhythmic_stability",
    "atonality": "tonal_stability",
    "mode": "minorness",
    "modality": "minorness",
}


def _quality(column: str) -> str | None:
    """The quality that a column's name stands for, or None."""
    name = re.sub(r"[\W_]+", "_", column.strip().lower()).strip("_")
    name = ALSO_CALLED.get(name, name)
    return name if name in MIDLEVEL else None


def midlevel_columns(columns: Sequence[str]) -> list[str]:
    """The columns of the seven qualities in the order of :data:`MIDLEVEL`: by name, else by position.

    Parameters
    ----------
    columns
        Names of the columns beside the id, as they stand in the file.

    Raises
    ------
    ValueError
        If fewer than seven columns are there, a quality stands there twice, or names and positions contradict each
        other: some columns are known by name, and not all of these stand where they would have to.
    """
    known = {column: _quality(column) for column in columns}
    named = {quality: [c for c in columns if known[c] == quality] for quality in MIDLEVEL}
    if twice := [", ".join(found) for found in named.values() if len(found) > 1]:
        raise ValueError(f"the same quality twice: {'; '.join(twice)}")
    if all(named.values()):
        return [named[quality][0] for quality in MIDLEVEL]
    if len(columns) < len(MIDLEVEL):
        raise ValueError(f"seven mid-level columns expected beside song_id, found {', '.join(columns)}")
    elsewhere = [c for c in columns if known[c] and list(columns).index(c) != MIDLEVEL.index(known[c])]
    if elsewhere:
        unknown = [c for c in columns if not known[c]]
        raise ValueError(
            f"columns known by name, but not where they stand by position: {', '.join(elsewhere)}; "
            f"rename the others ({', '.join(unknown)}) to {', '.join(q for q in MIDLEVEL if not named[q])}"
        )
    return list(columns[: len(MIDLEVEL)])


def read_midlevel(folder: Path, source: str, findings: Findings) -> pd.DataFrame | None:
    """The seven mid-level values by id at the source, in [0, 1].

    The direction of the sixth is taken from the data: what rises with dissonance is atonality, whatever it is called,
    and is turned round.
    """
    names = ("song id", "Source", "ID at file source")
    metadata = read_csv(folder / "metadata.csv", findings, names, separator=";", used=names)
    annotations = read_csv(folder / "annotations.csv", findings, ("song_id",))
    if metadata is None or annotations is None:
        return None
    where = f"{folder / 'annotations.csv'}"
    try:
        columns = midlevel_columns([c for c in annotations.columns if c != "song_id"])
    except ValueError as error:
        findings.problem(f"{where}: {error}")
        return None
    metadata = metadata.assign(song_id=metadata["song id"].str.strip(), id=normalised_id(metadata["ID at file source"]))
    metadata = metadata[metadata["Source"].str.strip().str.lower() == source]
    if metadata.empty:
        findings.problem(f"{folder / 'metadata.csv'}: no row with the Source {source!r}")
        return None
    annotations = annotations.assign(song_id=annotations["song_id"].str.strip())
    for values, name in ((metadata["id"], "metadata.csv"), (annotations["song_id"], "annotations.csv")):
        duplicates(values, f"{folder / name}", findings)
    joined = metadata[["song_id", "id"]].merge(annotations, on="song_id", how="inner").set_index("id", drop=False)
    if joined.empty:
        findings.problem(f"{where}: holds none of the songs that metadata.csv names (column song_id)")
        return None
    result = pd.DataFrame(index=joined.index)
    for name, column in zip(MIDLEVEL, columns, strict=True):
        result[name] = numbers(joined, column, joined["id"], (1, 10), where, findings) / 10
    direction = result["tonal_stability"].corr(result["dissonance"])
    if direction > 0.3 or (columns[5].lower() == "atonality" and not direction < -0.3):
        result["tonal_stability"] = 1.1 - result["tonal_stability"]
        findings.note(
            f"mid-level column 6 ({columns[5]}) read as atonality and turned round: "
            f"it correlates {direction:+.2f} with dissonance"
        )
    return result
