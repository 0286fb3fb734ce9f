"""The README's tables of results, written from the studies' committed results.csv.

    python workflow/headline.py

replaces what stands in README.md between ``<!-- table: NAME -->`` and ``<!-- end of table -->``. Up to two seeds are
shown one by one, in the order in which they were kept; of three or more mean ± standard deviation over the seeds.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pandas as pd

from mer_lib import harm
from mer_lib.models import SYSTEMS
from mer_lib.places import ROOT, atomic_write
from mer_lib.tables import published_table, with_changes

ENOUGH_FOR_A_SPREAD = 3
NOTHING = "–"
BLOCK = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


class Column(NamedTuple):
    """A measure of a study's results.csv; without an attack, of the clean clips; SEEDS lists the runs."""

    title: str
    study: str
    measure: str
    attack: str | None = None
    digits: int = 3


class Published(NamedTuple):
    """A figure of the paper, with its spread over the published seeds where that is known."""

    title: str
    mean: str
    spread: str | None = None


class Pairs(NamedTuple):
    """Differences between systems under one attack, first minus second, from a study's level-ground-differences.csv."""

    study: str
    attack: str
    systems: Sequence[str] = tuple(SYSTEMS)


class Rows(NamedTuple):
    """Networks of several studies beside each other: (name of the row, study, system), the same columns for all.

    Their pairs are compared under the attack.
    """

    attack: str
    rows: Sequence[tuple[str, str, str]]
    columns: Sequence[Column]


SEEDS = "seed"
REAL, EARLY, GROUPED, ETUDES = "soundtracks", "soundtracks-early", "soundtracks-grouped", "companions"
CORRELATION = Published("published: corr.", "corr_mean", "corr_std")
RISE = Published("published: rise, budget not enforced", "mae_rise")
TABLES: dict[str, Sequence[Column | Published]] = {
    "companions": (
        CORRELATION,
        RISE,
        Column("corr.", ETUDES, "corr_clean", digits=2),
        Column("rise at .03", ETUDES, "mae_change", "bim-spec-0.03"),
        Column("rise at .1", ETUDES, "mae_change", "bim-spec-0.1"),
        Column("rise / spread at .1", ETUDES, "change_over_spread", "bim-spec-0.1", 2),
        Column("corr. at .1", ETUDES, "corr_attacked", "bim-spec-0.1", 2),
        Column("rise at 30 dB SNR", ETUDES, "mae_change", "bim-wave-30db"),
        Column("training, s", ETUDES, "train_seconds", digits=0),
    ),
    "soundtracks": (
        CORRELATION,
        Published("published: MAE", "mae_mean", "mae_std"),
        RISE,
        Column("ours, published split: seeds", REAL, SEEDS, digits=0),
        Column("corr.", REAL, "corr_clean", digits=2),
        Column("MAE", REAL, "mae_clean"),
        Column("rise at .01", REAL, "mae_change", "bim-spec-0.01"),
        Column("rise at .1", REAL, "mae_change", "bim-spec-0.1"),
        Column("ours, grouped split: seeds", GROUPED, SEEDS, digits=0),
        Column("corr.", GROUPED, "corr_clean", digits=2),
        Column("MAE", GROUPED, "mae_clean"),
        Column("rise at .01", GROUPED, "mae_change", "bim-spec-0.01"),
        Column("rise at .1", GROUPED, "mae_change", "bim-spec-0.1"),
    ),
    "soundtracks-budgets": (
        Column(".001", REAL, "mae_change", "bim-spec-0.001", 4),
        Column(".03", REAL, "mae_change", "bim-spec-0.03"),
        Column(".3", REAL, "mae_change", "bim-spec-0.3"),
        Column("APGD, .1", REAL, "mae_change", "apgd-spec-0.1"),
        Column("published step, 50 steps", REAL, "mae_change", "published-spec"),
        Column("waveform, .001", REAL, "mae_change", "bim-wave-0.001"),
        Column("30 dB SNR", REAL, "mae_change", "bim-wave-30db"),
    ),
    "soundtracks-level-ground": (
        Column("error at .01", REAL, harm.ERROR, "bim-spec-0.01"),
        Column("error at .1", REAL, harm.ERROR, "bim-spec-0.1"),
        Column("error at .3", REAL, harm.ERROR, "bim-spec-0.3"),
        Column("rise, rescaled, at .1", REAL, harm.RESCALED, "bim-spec-0.1"),
        Column("rise / spread at .1", REAL, harm.OVER_SPREAD, "bim-spec-0.1", 2),
        Column("gain over a constant lost at .01", REAL, harm.LOST, "bim-spec-0.01", 2),
        Column("gain lost at .1", REAL, harm.LOST, "bim-spec-0.1", 2),
        Column("corr. at .1", REAL, "corr_attacked", "bim-spec-0.1", 2),
        Column("corr. at 30 dB", REAL, "corr_attacked", "bim-wave-30db", 2),
    ),
}
PAIRS = {
    "soundtracks-pairs": Pairs(REAL, "bim-spec-0.1", ("A2E", "A2B2E", "A2M2E", "aA2E")),
    "companions-pairs": Pairs(ETUDES, "bim-spec-0.1", ("A2E", "A2B2E", "A2M2E", "aA2E")),
}
EQUAL = Rows(
    "bim-spec-0.1",
    (("A2E, 8 epochs", EARLY, "A2E"), ("A2M2E, 45 epochs", REAL, "A2M2E"), ("A2E, 45 epochs", REAL, "A2E")),
    (
        Column("seeds", "", SEEDS, digits=0),
        Column("corr.", "", "corr_clean", digits=2),
        Column("MAE", "", "mae_clean"),
        Column("rise at .01", "", "mae_change", "bim-spec-0.01"),
        Column("rise at .1", "", "mae_change", "bim-spec-0.1"),
        Column("rise at .3", "", "mae_change", "bim-spec-0.3"),
        Column("error at .1", "", harm.ERROR, "bim-spec-0.1"),
        Column("rise, rescaled, at .1", "", harm.RESCALED, "bim-spec-0.1"),
        Column("rise / spread at .1", "", harm.OVER_SPREAD, "bim-spec-0.1", 2),
        Column("corr. at .1", "", "corr_attacked", "bim-spec-0.1", 2),
    ),
)
PAIRED = {
    harm.RISE: 3, harm.ERROR: 3, harm.OVER_SPREAD: 2, harm.RESCALED: 3, harm.CORRELATION: 2, harm.FALL: 2
}  # fmt: skip


def written(value: float, digits: int) -> str:
    """A number as the README writes it: ".74", "-.05", "1.02"."""
    return re.sub(r"^(-?)0\.", r"\1.", re.sub(r"^-(0\.?0*)$", r"\1", f"{value:.{digits}f}"))


def told(values: Sequence[float], digits: int) -> str:
    """Seeds one by one where they are few, mean ± standard deviation otherwise."""
    if len(values) < ENOUGH_FOR_A_SPREAD:
        return ", ".join(written(value, digits) for value in values) or NOTHING
    numbers = pd.Series(values)
    return f"{written(numbers.mean(), digits)} ± {written(numbers.std(), digits)}"


@functools.cache
def results_of(study: str) -> pd.DataFrame:
    """The committed results of a study, with the changes that the attacks made and, where it is there, level-ground."""
    results = with_changes(pd.read_csv(ROOT / "figures" / study / "results.csv"))
    others = ROOT / "figures" / study / "level-ground.csv"
    if not others.is_file():
        return results
    return results.merge(pd.read_csv(others), on=["attack", "system", "seed"], how="left", validate="one_to_one")


def cell(column: Column | Published, system: str) -> str:
    """What a table says of a system; a dash where nothing was run or published."""
    if isinstance(column, Published):
        known = published_table()
        if system not in known.index:
            return NOTHING
        figures = [known.loc[system, name] for name in (column.mean, column.spread) if name]
        return " ± ".join(written(figure, 2) for figure in figures)
    rows = results_of(column.study)
    rows = rows[rows["system"] == system]
    runs = rows["seed"].nunique()
    rows = rows.drop_duplicates("seed") if column.attack is None else rows[rows["attack"] == column.attack]
    if column.measure == SEEDS:
        return ", ".join(str(seed) for seed in rows["seed"]) or NOTHING
    few = f" ({len(rows)} of {runs} seeds)" if 0 < len(rows) < runs else ""
    return told(list(rows[column.measure]), column.digits) + few


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table of a head and rows."""
    head, *rows = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows]) + "\n"


def pairs_table(pairs: Pairs) -> str:
    """Every pair of systems in every measure of PAIRED: estimate [low, high]."""
    differences = pd.read_csv(ROOT / "figures" / pairs.study / "level-ground-differences.csv")
    return differences_table(differences[differences["attack"] == pairs.attack], pairs.systems)


def rows_table(rows: Rows) -> str:
    """Networks of several studies in the same columns."""
    lines = [
        [name, *(cell(column._replace(study=study), system) for column in rows.columns)]
        for name, study, system in rows.rows
    ]
    return markdown([["network", *(column.title for column in rows.columns)], *lines])


def rows_pairs(rows: Rows) -> str:
    """Their differences, from the answers that the studies' runs keep."""
    parts = []
    for name, study, system in rows.rows:
        for run in sorted((ROOT / "figures" / study / "runs" / system).glob("seed-*")):
            answers = pd.read_csv(run / "attacks" / rows.attack / "predictions.csv")
            parts.append(answers.assign(system=name, seed=int(run.name.removeprefix("seed-")), attack=rows.attack))
    names = [name for name, _, _ in rows.rows]
    return differences_table(harm.harm_differences(pd.concat(parts, ignore_index=True)), names)


def differences_table(differences: pd.DataFrame, systems: Sequence[str]) -> str:
    """Differences under one attack (rows of :func:`mer_lib.harm.harm_differences`) between some systems."""
    names, rows = set(systems), []
    for (first, second), part in differences.groupby(["first", "second"], sort=False):
        if first not in names or second not in names:
            continue
        seeds, part = part["seeds"].iloc[0], part.set_index("measure")
        cells = [
            f"{written(part.loc[measure, 'difference'], digits)} "
            f"[{written(part.loc[measure, 'low'], digits)}, {written(part.loc[measure, 'high'], digits)}]"
            for measure, digits in PAIRED.items()
        ]
        rows.append([f"{first} - {second}", str(seeds), *cells])
    return markdown([["first - second", "seeds", *PAIRED], *rows])


MADE: dict[str, Callable[[], str]] = {
    **{name: functools.partial(pairs_table, pairs) for name, pairs in PAIRS.items()},
    "soundtracks-equal": functools.partial(rows_table, EQUAL),
    "soundtracks-equal-pairs": functools.partial(rows_pairs, EQUAL),
}


def table(name: str) -> str:
    """One of TABLES or MADE in Markdown; systems of which its studies have no run are left out."""
    if name in MADE:
        return MADE[name]()
    columns = TABLES[name]
    studies = {column.study for column in columns if isinstance(column, Column)}
    there = pd.concat([results_of(study)["system"] for study in studies])
    rows = [[system, *(cell(column, system) for column in columns)] for system in SYSTEMS if system in set(there)]
    return markdown([["system", *(column.title for column in columns)], *rows])


def with_tables(text: str) -> str:
    """The README's text with every table made anew.

    Raises
    ------
    ValueError
        If its marks are not exactly those of TABLES and MADE.
    """
    marked = [mark["name"] for mark in BLOCK.finditer(text)]
    if sorted(marked) != sorted([*TABLES, *MADE]):
        known = ", ".join([*TABLES, *MADE])
        raise ValueError(f"README.md marks the tables {', '.join(marked)}; headline.py has {known}")
    return BLOCK.sub(lambda mark: mark[1] + table(mark["name"]) + mark[3], text)


def main() -> None:
    """Command line."""
    readme = ROOT / "README.md"
    text = with_tables(readme.read_text(encoding="utf-8"))
    atomic_write(readme, lambda part: part.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    main()
