"""Reading tables with care: everything that is wrong is collected and named in one error.

Notebook: 01_prepare_data
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

LARGEST_TABLE = 50_000_000  # bytes
SEPARATORS = (",", ";", "\t")


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


def shown(value: object, limit: int = 80) -> str:
    """A value from data for a message: in one line, short, and without characters that would drive a terminal."""
    text = str(value)
    text = text if len(text) <= limit else f"{text[: limit - 20]}... ({len(text)} characters)"
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def _listed(text: str, cases: Iterable[object]) -> str:
    cases = [shown(case) for case in cases]
    text = shown(text, 2000)
    return f"{text}: {', '.join(cases)}" if cases else text


def _text_of(path: Path, findings: Findings) -> str | None:
    """A table's text without its byte order mark; what is no such text becomes a finding."""
    if not os.path.isfile(path):
        is_what = "a folder, no table" if os.path.isdir(path) else "missing"
        findings.problem(f"{path} is {is_what} (data/README.md says where to get it and where to put it)")
        return None
    try:
        if path.stat().st_size > LARGEST_TABLE:
            findings.problem(f"{path} is larger than {LARGEST_TABLE // 1_000_000} MB: that is no table of clips")
            return None
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        findings.problem(f"{path} cannot be read ({error.strerror})")
        return None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        findings.problem(f"{path} is no UTF-8 text (line {line}): save it as 'CSV UTF-8'")
        return None
    if "\0" in text:
        findings.problem(f"{path} holds null bytes, which no table does (damaged, or UTF-16): save it as 'CSV UTF-8'")
        return None
    return text


def _rows(text: str, separator: str) -> list[tuple[int, list[str]]]:
    """Rows with their line numbers and without blanks around their cells; blank lines are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    return [(reader.line_num, [cell.strip() for cell in row]) for row in reader if len(row) > 1 or "".join(row).strip()]


def _separator(text: str, needed: Sequence[str], separator: str) -> str:
    """The expected separator, or the one whose header names more of the needed columns."""
    found = {}
    for other in (separator, *SEPARATORS):
        try:
            header = next(iter(_rows(text.lstrip().partition("\n")[0], other)), (0, []))[1]
        except csv.Error:
            continue
        found.setdefault(other, sum(column in header for column in needed))
    return max(found, key=found.__getitem__, default=separator)


def read_csv(
    path: Path,
    findings: Findings,
    needed: Iterable[str],
    separator: str = ",",
    used: Iterable[str] | None = None,
) -> pd.DataFrame | None:
    """Read a CSV as text, without its BOM; what cannot be read for certain becomes a finding.

    Parameters
    ----------
    needed
        Columns that must be there.
    separator
        The expected one; another is taken, with a note, if the header's names show it.
    used
        Columns that must be there once and have a cell in every row; by default all.

    Returns
    -------
    pandas.DataFrame or None
        All columns as text, empty cells NaN; None if there was a problem.
    """
    needed, text = list(needed), _text_of(path, findings)
    if text is None:
        return None
    before = len(findings.problems)
    taken = _separator(text, needed, separator)
    try:
        rows = _rows(text, taken)
    except csv.Error as error:
        findings.problem(f"{path} is no table separated by {taken!r} ({error}: a quotation mark too many?)")
        return None
    header = rows[0][1] if rows else []
    if missing := [column for column in needed if column not in header]:
        has = ", ".join(shown(column) for column in header) or "nothing"
        findings.problem(f"{path} has no column {', '.join(missing)} (it has {has}; separator {taken!r})")
    used = set(header if used is None else used) - {""}
    if twice := sorted({column for column in header if column in used and header.count(column) > 1}):
        findings.problem(f"{path} has these columns twice", twice)
    if not rows[1:]:
        findings.problem(f"{path} holds no rows")
    last = max((i for i, column in enumerate(header) if column in used), default=0)
    if short := [line for line, row in rows[1:] if any(row) and len(row) <= last]:
        findings.problem(f"{path}: rows with fewer cells than the header (cut off?), in the lines", short)
    if long := [line for line, row in rows[1:] if any(row[len(header) :])]:
        findings.problem(
            f"{path}: rows with more cells than the header ({taken!r} inside a cell, or decimal commas?), in the lines",
            long,
        )
    if len(findings.problems) > before:
        return None
    if taken != separator:
        findings.note(f"{path} is separated by {taken!r}, not by {separator!r}: read so")
    if empty := [line for line, row in rows[1:] if not any(row)]:
        findings.note(f"{path}: empty rows left out, in the lines", empty)
    padded = [(row + [""] * len(header))[: len(header)] for _, row in rows if any(row)]
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(padded)
    buffer.seek(0)
    return pd.read_csv(buffer, dtype=str, keep_default_na=True, skip_blank_lines=False)


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
        rows = [number for number, missing in enumerate(ids.isna(), start=1) if missing]
        findings.problem(f"{name}: {len(rows)} row(s) without an id, counted below the header", rows)
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
