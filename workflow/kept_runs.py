"""Training is dear, drawing its curves is cheap: a finished run outlives the job that failed after it.

Snakemake deletes a job's output before the job runs and when it fails. For training notebooks that is ``run.json``,
the mark of a finished run; hours of training would be lost to a mistake in a figure. So a copy is kept beside it and
put back before the notebook runs again, if parameters and library are what they were and the corpus was not prepared
anew. The notebook then finds its run finished, and only draws.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
from pathlib import Path

from mer_lib.places import atomic_write
from workflow.jobs import Job

TRAINING = ("train", "adversarial")


def keep(job: Job, folder: Path, tracked: str, started: str) -> None:
    """Keep a copy of a finished run's mark, with what the run was made with.

    Parameters
    ----------
    started
        When the job was started, as its record has it. A mark older than that is of a run that the notebook found
        finished: what it was made with is not what the job would make it with now.
    """
    marker, begin = folder / job.marker, datetime.datetime.fromisoformat(started).timestamp()
    if job.phase in TRAINING and marker.is_file() and marker.stat().st_mtime >= begin:
        atomic_write(_kept(marker), lambda part: shutil.copy2(marker, part))
        atomic_write(_made_with(marker), lambda part: part.write_text(_without_notebook(tracked), "utf-8"))


def put_back(job: Job, folder: Path, upstream: Path) -> bool:
    """Put a kept mark back if the run that it stands for is still the one that is wanted; else forget it.

    Parameters
    ----------
    upstream
        The marker of the job whose result this one reads: a run made before it is out of date.
    """
    marker = folder / job.marker
    kept, made_with = _kept(marker), _made_with(marker)
    if job.phase not in TRAINING or not (kept.is_file() and made_with.is_file()):
        return False
    same = made_with.read_text("utf-8") == _without_notebook(job.tracked)
    if same and upstream.is_file() and kept.stat().st_mtime_ns >= upstream.stat().st_mtime_ns:
        shutil.copy2(kept, part := marker.with_name(f".{marker.name}.{os.getpid()}.part"))
        os.replace(part, marker)
        return True
    for path in (kept, made_with):
        path.unlink()
    return False


def _without_notebook(tracked: str) -> str:
    """Parameters and library alone: what the notebook does beside training makes no other run."""
    return json.dumps({key: value for key, value in json.loads(tracked).items() if key != "notebook"}, sort_keys=True)


def _kept(marker: Path) -> Path:
    return marker.with_name(f".{marker.name}.kept")


def _made_with(marker: Path) -> Path:
    return marker.with_name(f".{marker.name}.made-with")
