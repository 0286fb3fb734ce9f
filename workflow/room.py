"""Whether a study can be written where it belongs, said in words before it starts and when it has stopped."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from mer_lib.places import figures
from workflow.jobs import Plan
from workflow.study import StudyError

ROOM = 100_000  # bytes without which a study cannot go on; what fails for want of them may not get round to saying so
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


def make_folder(plan: Plan, folder: Path) -> None:
    """Make the study's folder, or say which folders cannot be written to (Snakemake would stop half-way)."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"{folder} cannot be written to ({error}); MER_DATA names another place") from error
    files = [folder / file for job in plan.jobs.values() for file in (job.marker, job.record)]
    places = [folder, *(file.parent for file in files), figures() / plan.study.name]
    there = dict.fromkeys(_existing(place.resolve()) for place in places)
    if protected := [str(place) for place in there if not os.access(place, os.W_OK)]:
        raise StudyError(f"cannot be written to (MER_DATA names another place): {', '.join(protected)}")


def _existing(place: Path) -> Path:
    return next(folder for folder in (place, *place.parents) if folder.is_dir())


def check_room(folder: Path) -> None:
    """Raise an OSError that names the folder where its disk is full."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(ROOM))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error
