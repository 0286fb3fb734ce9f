"""The benchmarks run, in sizes that say nothing about speed, and the committed table holds every row."""

from __future__ import annotations

import os
import subprocess
import sys

import pandas as pd
import pytest

from mer_lib.places import ROOT

ROWS = (
    "BIM, f32",
    "BIM, bf16 gradients judged in f32",
    "BIM, FLOP/s in f32",
    "BIM, FLOP/s in bf16",
    "BIM on waveforms, width 0.25",
    "training step, bf16, channels_last",
    "adversarial epoch",
    "memory of attacking",
)


@pytest.mark.slow
def test_the_benchmarks_run(tmp_path):
    # A worker's marks would have pytest-benchmark measure nothing
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    command = [sys.executable, "-m", "pytest", "-q", "--quick", "--write-table", "-o", "python_files=bench_*.py"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "--disable-warnings", "tests/benchmarks"],
        capture_output=True, text=True, cwd=ROOT, env={**environment, "MER_DATA": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert "QUICK" in done.stdout and "targets met" in done.stdout
    works = pd.read_csv(tmp_path / "figures" / "benchmarks.csv")["work"].tolist()
    assert not [row for row in ROWS if not any(work.startswith(row) for work in works)]
    assert (tmp_path / "figures" / "benchmarks.png").stat().st_size > 10_000


def test_the_committed_table_has_every_row_five_times_measured():
    table = pd.read_csv(ROOT / "figures" / "benchmarks.csv")
    wanted = [*ROWS, "BIM on waveforms, width 1", "preparing a corpus"]
    assert not [row for row in wanted if not table["work"].str.startswith(row).any()]
    assert (table["rounds"] >= 5).all() and table["ratio"].between(table["lowest"], table["highest"]).all()
    assert set(table["met"].dropna()) <= {"yes", "no"}
