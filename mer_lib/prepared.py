"""A prepared corpus on disk: arrays, table and info.json, opened only if they are what was written.

Notebook: 01_prepare_data
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError

import numpy as np
import pandas as pd

from mer_lib.audio import EXCERPT_SAMPLES
from mer_lib.checks import shown
from mer_lib.dataset import EMOTIONS, MIDLEVEL, split
from mer_lib.shortcut import VARIANTS, with_shortcut

FORMAT = 1
INFO = ("corpus", "fingerprint", "clips", "shortcut", "midlevel_kind", "ratings_kind", "publishable_audio")
SHAPES = {"waveforms": (EXCERPT_SAMPLES,), "spectrograms": (313, 149)}  # of one clip


class PreparedError(ValueError):
    """A prepared corpus that cannot be used; the message lists everything that is wrong at once, and the way out."""


@dataclass(frozen=True)
class Prepared:
    """A prepared corpus; the arrays are memory-mapped.

    Attributes
    ----------
    info
        How it was made: corpus, fingerprint, kinds of ratings and mid-level values, shortcut, seed, notes.
    table
        One row a clip: id, group, start_seconds, ratings and mid-level values.
    waveforms
        (clips, 220500) float32 at 22 050 Hz, peak-normalised before the excerpt was cut.
    spectrograms
        (clips, 313, 149) float32, log10(1 + x), not z-scored.
    """

    folder: Path
    info: dict = field(repr=False)
    table: pd.DataFrame = field(repr=False)
    waveforms: np.ndarray = field(repr=False)
    spectrograms: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def emotions(self) -> np.ndarray:
        """Ratings, (clips, 8) float32 in [0, 1], NaN where unrated."""
        return self.table[list(EMOTIONS)].to_numpy(np.float32)

    @property
    def midlevel(self) -> np.ndarray:
        """Mid-level values, (clips, 7) float32 in [0, 1], NaN where unknown."""
        return self.table[list(MIDLEVEL)].to_numpy(np.float32)

    def split(self, protocol: str = "published", seed: int = 42) -> dict[str, np.ndarray]:
        """Rows for training, validation and test, see :func:`mer_lib.dataset.split`."""
        return split(self.table, protocol, seed)

    def test_variant(self, variant: str) -> np.ndarray:
        """Waveforms of the test clips with the shortcut "present", "absent" or "reversed", (clips, 220500)."""
        if variant not in VARIANTS:
            raise ValueError(f"unknown variant {variant!r}: one of {', '.join(VARIANTS)}")
        test = self.split(self.info["shortcut"]["split_protocol"])["test"]
        return with_shortcut(self.waveforms[test], self.emotions[test], self.info["shortcut"], VARIANTS[variant])


def _read_info(folder: Path, problems: list[str]) -> dict:
    try:
        info = json.loads((folder / "info.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"info.json is no JSON ({error})")
        return {}
    if not isinstance(info, dict):
        problems.append("info.json is no JSON object")
        return {}
    if "format" in info and info["format"] != FORMAT:
        raise PreparedError(
            f"{folder} was prepared in format {info['format']}, this version reads {FORMAT}: prepare it again"
        )
    if missing := [key for key in ("format", *INFO) if key not in info]:
        problems.append(f"info.json lacks {', '.join(missing)}")
    if not isinstance(info.get("shortcut", {}), dict):
        problems.append("info.json: shortcut is no object")
    return info


def _read_table(folder: Path, problems: list[str]) -> pd.DataFrame | None:
    try:
        # A clip may be called "NA": only an empty cell is none
        table = pd.read_csv(
            folder / "table.csv", dtype={"id": str, "group": str}, keep_default_na=False, na_values=[""]
        )
    except (OSError, ValueError, OverflowError) as error:
        problems.append(f"table.csv cannot be read ({error})")
        return None
    values = [name for name in EMOTIONS + MIDLEVEL if name in table]
    if missing := [name for name in ("id", "group", *EMOTIONS, *MIDLEVEL) if name not in table]:
        problems.append(f"table.csv lacks the columns {', '.join(missing)}")
    if text := [name for name in values if table[name].dtype.kind not in "fi"]:
        problems.append(f"table.csv holds what is no number in {', '.join(text)}")
    return table


def load_prepared(folder: str | Path) -> Prepared:
    """Open a prepared corpus.

    Raises
    ------
    FileNotFoundError
        If the folder was not prepared to the end.
    PreparedError
        If it holds something else than what :func:`mer_lib.preparation.prepare` writes.
    """
    folder = Path(folder)
    if not os.path.isfile(folder / "info.json"):
        raise FileNotFoundError(
            f"{folder} is not prepared: run notebook 01_prepare_data or mer_lib.preparation.prepare"
        )
    problems: list[str] = []
    info, table, arrays = _read_info(folder, problems), _read_table(folder, problems), {}
    for name, shape in SHAPES.items():
        try:
            # Not numpy.load, which takes archives and pickles too
            arrays[name] = array = np.lib.format.open_memmap(folder / f"{name}.npy", mode="r")
        except (OSError, ValueError, EOFError, OverflowError, MemoryError, SyntaxError, TokenError) as error:
            problems.append(f"{name}.npy is no array of numbers, or cut off ({error})")
            continue
        wanted = ((array.shape[:1] or (0,)) if table is None else (len(table),)) + shape
        if array.shape != wanted or array.dtype != np.float32:
            problems.append(f"{name}.npy holds {array.dtype} {array.shape} instead of float32 {wanted}")
    if problems:
        listed = "\n".join(f"  - {shown(problem, 300)}" for problem in problems)
        raise PreparedError(f"{folder}: {len(problems)} problem(s); remove it and prepare it again\n{listed}")
    return Prepared(folder, info, table, arrays["waveforms"], arrays["spectrograms"])
