"""The memory that an attack takes beside its inputs and its result: as much for 360 clips as for 36."""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

import pytest

from mer_lib.places import ROOT
from tests.benchmarks.measuring import Size
from tests.benchmarks.report import Report, Row

PEAK = """
import resource, sys, torch
from pathlib import Path
from mer_lib.bim import BIM
from mer_lib.models import build
def peak():
    # On Linux getrusage's peak is inherited from whoever started this process; that of the status file is not
    if Path("/proc/self/status").is_file():
        return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
clips, width = int(sys.argv[1]), float(sys.argv[2])
model, inputs, ratings = build("A2E", width), torch.rand(clips, 313, 149), torch.zeros(clips, 8)
BIM(epsilon=.1, steps=1).attack(model, inputs[:8], ratings[:8])
before = peak()
BIM(epsilon=.1, steps=1).attack(model, inputs, ratings)
print(peak() - before)
"""


@pytest.mark.skipif(os.name == "nt", reason="reads the peak memory from getrusage, which Windows lacks")
def test_memory_of_an_attack(benchmark: object, size: Size, report: Report) -> None:
    width, few, many = 0.125, *((8, 24) if size.quick else (36, 360))

    def more(clips: int) -> float:
        """MB by which the peak rises, compared with one batch, beyond the result."""
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(clips), str(width)], capture_output=True, text=True, check=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        return (int(done.stdout) - clips * 2 * 313 * 149 * 4) / 1e6

    grown: dict[int, list[float]] = {few: [], many: []}

    def both() -> None:
        for clips, found in grown.items():
            found.append(more(clips))

    benchmark.pedantic(both, rounds=size.rounds)
    report.rows.append(
        Row(
            order=9,
            work=f"memory of attacking {many} clips, beyond inputs and result, MB",
            against=f"{few} clips",
            ratios=[larger - smaller for smaller, larger in zip(*grown.values(), strict=True)],
            target=20,
            at_most=True,
            sizes=f"width {width:g}, batches of 8, 1 step",
            measured=f"{median(grown[many]):.0f} against {median(grown[few]):.0f} MB over the first batch of 8; the "
            "column holds the difference",
            limit="Results are what was asked for; all else is of one batch",
        )
    )
