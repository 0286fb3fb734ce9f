"""Who can be killed of a study at work, and what must not be left when it has been finished after that."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from workflow import processes
from workflow.leftovers import scratch_prefix

# The workflow's processes and those of a job, by words of their command lines
TARGETS = {
    "launcher": "run.py",
    "snakemake": "start.py snakemake",
    "job": "execute.py",
    "papermill": "start.py papermill",
    "kernel": "ipykernel_launcher",
}


def alive(folder: Path, kind: str = "") -> list[psutil.Process]:
    """Processes of one kind, or of any, that belong to the study in a folder."""
    found = []
    for process in processes.marked(processes.STUDY_MARK, str(folder)):
        with contextlib.suppress(psutil.Error):
            if TARGETS.get(kind, "") in " ".join(process.cmdline()):
                found.append(process)
    return found


def left_behind(data: Path, folder: Path) -> Iterator[object]:
    """Processes, half-written files, locks and scratch folders of a study."""
    yield from alive(folder)
    yield from data.rglob(".*.part*")
    yield from (folder / ".snakemake" / "locks").glob("*")
    yield from (folder / ".snakemake" / "incomplete").glob("*")
    yield from Path(tempfile.gettempdir()).glob(f"{scratch_prefix(folder)}*")


def until(true: Callable[[], object], seconds: float = 120) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.1)
