"""One launcher a study at a time, and nothing left running after it.

Every process that a study starts, kernels included, inherits an environment variable that names the study's folder (and
one that names its job). What carries the mark after its parent has died is a leftover and is ended, by its id. What
runs in a job of a cluster is left to the cluster (:mod:`workflow.slurm_jobs`).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import psutil

STUDY_MARK = "MER_STUDY_FOLDER"
JOB_MARK = "MER_STUDY_JOB"
# Names the call of the launcher that a job belongs to; the study's folder holds the name of the latest.
CALL_MARK = "MER_STUDY_CALL"
CALL = ".call"
GRACE_SECONDS = 5.0


class BusyError(RuntimeError):
    """Another process is at work on the same thing."""


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold a study's lock; the system frees it when its process dies, however it dies.

    Raises
    ------
    BusyError
        If another launcher holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / ".lock.pid"
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        who = holder.read_text("utf-8").strip() if holder.is_file() else "unknown"
        raise BusyError(
            f"{folder} is being worked on by another launcher (process {who}). Wait for it, or stop it with Ctrl-C "
            "where it runs; then call this again: what is finished stays."
        ) from None
    try:
        holder.write_text(f"{os.getpid()} on {platform.node()}\n", "utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def marked(mark: str, value: str) -> list[psutil.Process]:
    """Processes of this user that carry a mark; not this one, those above it, or those of other jobs of a cluster."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    here = {None, os.environ.get("SLURM_JOB_ID")}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid in own:
                continue
            inherited = process.environ()
            if inherited.get(mark) == value and inherited.get("SLURM_JOB_ID") in here:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # another user's, or gone already
    return found


def end(processes: list[psutil.Process]) -> int:
    """Ask processes to stop, then stop them; return how many there were."""
    for process in processes:
        _signal(process, "terminate")
    _, alive = psutil.wait_procs(processes, timeout=GRACE_SECONDS)
    for process in alive:
        _signal(process, "kill")
    psutil.wait_procs(alive, timeout=GRACE_SECONDS)
    return len(processes)


def end_marked(mark: str, value: str) -> int:
    """End everything that carries a mark, until nothing does; return how many processes there were."""
    ended = 0
    for _ in range(5):  # a process may start another while it is being ended
        processes = marked(mark, value)
        if not processes:
            break
        ended += end(processes)
    return ended


def _signal(process: psutil.Process, how: str) -> None:
    try:
        getattr(process, how)()
    except psutil.Error:
        pass  # gone already
