"""The table of the benchmarks: its rows, the machine they were measured on, and how both are written."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pandas as pd
import torch

from mer_lib.places import atomic_write
from mer_lib.runs import commit

SHOWN = ["work", "against", "ratio", "lowest", "highest", "rounds", "target", "met"]
UNITS = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "asimd", "bf16", "sve")


@dataclass(kw_only=True)
class Row:
    """One measurement: what was done, against what, how many times as fast, and what was asked for.

    ``ratios``, one of every paired round, and ``target`` are in the unit of the row, by default "times as fast";
    ``holds`` is a condition beside the ratio that has to hold as well; ``measured`` says the numbers behind the ratios,
    ``limit`` what kept them from being higher.
    """

    order: int
    work: str
    against: str
    ratios: list[float]
    target: float | None
    measured: str
    sizes: str
    limit: str = ""
    holds: bool = True
    at_most: bool = False

    @property
    def ratio(self) -> float:
        """The median."""
        return median(self.ratios)

    @property
    def met(self) -> str:
        """Whether the target is met; empty for a row that has none."""
        if self.target is None:
            return ""
        reached = self.ratio <= self.target if self.at_most else self.ratio >= self.target
        return "yes" if reached and self.holds else "no"

    def cells(self) -> dict[str, object]:
        """The columns of the table."""
        target = "" if self.target is None else f"{'<=' if self.at_most else '>='} {self.target:g}"
        median_and_spread = (float(f"{ratio:.3g}") for ratio in (self.ratio, min(self.ratios), max(self.ratios)))
        return {
            "work": self.work,
            "against": self.against,
            **dict(zip(("ratio", "lowest", "highest"), median_and_spread, strict=True)),
            "rounds": len(self.ratios),
            "target": target,
            "met": self.met,
            "measured": self.measured,
            "sizes": self.sizes,
            "limit": self.limit,
        }


def processor() -> dict[str, str]:
    """Name of the processor and the vector units it has, of those that decide about speed here."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().partition("\n\n")[0].splitlines() if known.is_file() else []
    about = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = about.get("flags", about.get("Features", "")).split()
    return {
        "processor": about.get("model name", platform.processor() or platform.machine()),
        "cpu_flags": " ".join(unit for unit in UNITS if unit in flags),
    }


def load() -> float:
    """How many processes want the processor, averaged over a minute; NaN where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")


@dataclass
class Report:
    """All rows of a run, the points of the cost figure, and the state of the machine when it began."""

    quick: bool
    rows: list[Row] = field(default_factory=list)
    cost: list[dict] = field(default_factory=list)
    remembered: dict = field(default_factory=dict)  # what a later row compares with
    missing: list[str] = field(default_factory=list)
    begin: float = field(default_factory=time.perf_counter)
    load_before: float = field(default_factory=load)

    def machine(self) -> dict:
        """What the figures depend on besides the code."""
        return {
            **processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "load_before": round(self.load_before, 2),
            "commit": commit(),
        }

    def table(self) -> pd.DataFrame:
        """One row a measurement, in the order of the targets."""
        rows = [row.cells() for row in sorted(self.rows, key=lambda row: row.order)]
        return pd.DataFrame(rows).assign(**self.machine(), minutes=round((time.perf_counter() - self.begin) / 60, 1))

    def verdict(self) -> str:
        """How many targets are met."""
        met = [row.met for row in self.rows if row.met]
        return f"{met.count('yes')} of {len(met)} targets met"

    def about(self) -> str:
        """The machine in a line."""
        machine = self.machine()
        head, plus, changes = machine["commit"].partition("+")
        return (
            f"{machine['processor']} ({machine['cpu_flags']}), {machine['threads']} threads, "
            f"torch {machine['torch']}, load before the run {machine['load_before']}, commit {head[:8]}{plus}{changes}"
        )

    def lines(self) -> list[str]:
        """The table for a terminal."""
        table = self.table()[[*SHOWN, "measured"]].astype(str)
        rows = [list(table.columns), *table.to_numpy().tolist()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        head = ["QUICK: sizes too small to mean anything"] if self.quick else []
        return [*head, *text, "", self.verdict(), self.about(), *self.missing]

    def markdown(self) -> str:
        """The table and, below it, the numbers behind each row and what limited it."""
        table = self.table().astype(str)
        rows = [SHOWN, ["---"] * len(SHOWN), *table[SHOWN].to_numpy().tolist()]
        details = [
            f"{number}. **{row.work}, against {row.against}** ({row.sizes}). {row.measured}. {row.limit}".rstrip()
            for number, row in enumerate(table.itertuples(), 1)
        ]
        text = [
            "# Benchmarks",
            "Written by `make bench`. Ratios are times as fast where nothing else is said: the median of paired rounds "
            f"with the lowest and the highest; both sides ran in one process, in turns. {self.verdict()}.",
            "\n".join(f"| {' | '.join(row)} |" for row in rows),
            f"Measured on: {self.about()}. CPU only: nothing here was run on a GPU.",
            "## Numbers, and what limits each row",
            "\n".join(details),
            *self.missing,
        ]
        return "\n\n".join(text) + "\n"

    def write(self, path: Path) -> None:
        """The table as CSV and as a page, and the points of the cost figure beside it."""
        atomic_write(path, lambda part: self.table().to_csv(part, index=False))
        atomic_write(path.with_suffix(".md"), lambda part: part.write_text(self.markdown(), encoding="utf-8"))
        if self.cost:
            points = pd.DataFrame(self.cost).assign(**self.machine())
            atomic_write(path.with_name(f"{path.stem}-cost.csv"), lambda part: points.to_csv(part, index=False))
