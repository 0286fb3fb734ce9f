"""Reading tables with care: everything that is wrong is collected and named in one error.

Notebook: 01_prepare_data
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd


class CorpusError(ValueError):
    """A corpus that cannot be used; the message lists everything that is wrong at once."""


class Findings:
    """Collects problems and notes, so that one error names them all."""

    def __init__(self, what: str) -> None:
        self.what, self.problems, self.notes = what, [], []

    def problem(self, text: str, cases: Iterable[object] = ()) -> None:
        """Something that makes the corpus unusable, with the cases it concerns."""
        self.problems.append(_listed(text, cases))

    def note(self, text: str, cases: Iterable[object] = ()) -> None:
        """Something repaired or worth knowing."""
        self.notes.append(_listed(text, cases))

    def settle(self) -> None:
        """Raise :class:`CorpusError` if anything was wrong."""
        if self.problems:
            raise CorpusError(
                f"{self.what}: {len(self.problems)} problem(s)\n" + "\n".join(f"  - {p}" for p in self.problems)
            )


def _listed(text: str, cases: Iterable[object]) -> str:
    cases = [str(case) for case in cases]
    return f"{text}: {', '.join(cases)}" if cases else text


def read_csv(path: Path, findings: Findings, needed: Iterable[str], separator: str = ",") -> pd.DataFrame | None:
    """Read a CSV as text, without its BOM; missing files, columns and unreadable bytes become findings."""
    if not path.is_file():
        findings.problem(f"{path} is missing (data/README.md says where to get it and where to put it)")
        return None
    try:
        table = pd.read_csv(
            path, dtype=str, sep=separator, encoding="utf-8-sig", skipinitialspace=True, keep_default_na=True
        )
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        findings.problem(f"{path} is no UTF-8 table separated by {separator!r} ({error})")
        return None
    table.columns = [str(column).strip() for column in table.columns]
    missing = [column for column in needed if column not in table.columns]
    if missing:
        findings.problem(
            f"{path} has no column {', '.join(missing)} (it has {', '.join(table.columns)}; separator {separator!r})"
        )
        return None
    if table.empty:
        findings.problem(f"{path} holds no rows")
        return None
    return table


def numbers(
    table: pd.DataFrame,
    column: str,
    ids: pd.Series,
    scale: tuple[float, float],
    name: str,
    findings: Findings,
) -> pd.Series:
    """A column as floats; text and values outside ``scale`` become findings, empty cells become NaN with a note."""
    text = table[column]
    values = pd.to_numeric(text.str.strip(), errors="coerce")
    wrong = text.notna() & text.str.strip().ne("") & values.isna() & ~text.str.strip().str.lower().eq("nan")
    if wrong.any():
        findings.problem(
            f"{name}: column {column} holds no number (decimal point, not comma) for",
            [f"{i} ({v!r})" for i, v in zip(ids[wrong], text[wrong], strict=True)],
        )
    outside = values.notna() & ~values.between(*scale)
    if outside.any():
        findings.problem(
            f"{name}: column {column} lies outside {scale[0]:g}..{scale[1]:g} for",
            [f"{i} ({v:g})" for i, v in zip(ids[outside], values[outside], strict=True)],
        )
    if (values.isna() & ~wrong).any():
        findings.note(f"{name}: no {column} (left out of losses and metrics) for", ids[values.isna() & ~wrong])
    return values


def duplicates(ids: pd.Series, name: str, findings: Findings) -> None:
    """Missing ids and ids that stand more than once become findings."""
    if ids.isna().any():
        findings.problem(f"{name}: {int(ids.isna().sum())} row(s) without an id")
    if ids.duplicated().any():
        findings.problem(f"{name}: the same id more than once", sorted(ids[ids.duplicated()].dropna().unique()))


def normalised_id(ids: pd.Series) -> pd.Series:
    """ "1" and "001" are the same clip: numbers are padded to three digits."""
    return ids.str.strip().str.replace(r"^\d+$", lambda match: match.group().lstrip("0").zfill(3), regex=True)


def missing_counterparts(table: pd.DataFrame, files: pd.Series, findings: Findings) -> None:
    """Ratings without audio are a problem; audio without ratings is worth a note."""
    if table["path"].isna().any():
        findings.problem("ratings without audio", table["id"][table["path"].isna()])
    if spare := sorted(set(files.index) - set(table["id"])):
        findings.note("audio without ratings (not used)", spare)
