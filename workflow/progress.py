"""What the launcher says while a study is at work: one line for each job that ends."""

from __future__ import annotations

import re
import time
from pathlib import Path

from workflow.jobs import Job, Plan, read_record


def say(text: str = "") -> None:
    """Print at once: progress is no use late."""
    print(text, flush=True)


class Progress:
    """Prints one line for each job that ends, by watching the records that jobs leave."""

    def __init__(self, plan: Plan, folder: Path, log: Path) -> None:
        self.plan, self.folder, self.log = plan, folder, log
        self.begin = time.perf_counter()
        self.reported = {job.name: self._stamp(job) for job in plan.jobs.values()}
        self.ended = 0
        self.jobs = 0
        self.failed: list[Job] = []

    def _stamp(self, job: Job) -> int:
        path = self.folder / job.record
        return path.stat().st_mtime_ns if path.is_file() else 0

    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.begin

    def total(self) -> str:
        """How many jobs there are, as Snakemake says in its log."""
        if not self.jobs:
            counted = re.search(r"^total\s+(\d+)\s*$", self.log.read_text("utf-8", errors="replace"), re.MULTILINE)
            self.jobs = int(counted[1]) - 1 if counted else 0  # its rule `all` is no job of ours
        return str(self.jobs or "?")

    def look(self) -> None:
        """Print what has ended since the last look."""
        for job in self.plan.jobs.values():
            stamp = self._stamp(job)
            record = read_record(self.folder, job) if stamp != self.reported[job.name] else {}
            if record.get("status") == "stopped":
                self.reported[job.name] = stamp
                say(f"[{self.seconds():6.0f} s] {job.title} was stopped after {record['seconds']:.1f} s")
            if record.get("status") not in ("finished", "failed"):
                continue
            self.reported[job.name] = stamp
            self.ended += 1
            head = f"[{self.seconds():6.0f} s] {self.ended:>3} of {self.total()}  {job.title}"
            if record["status"] == "finished":
                say(f"{head} ({record['seconds']:.1f} s)")
                continue
            self.failed.append(job)
            say(f"{head} FAILED in notebook {job.notebook} after {record['seconds']:.1f} s:")
            for line in record["error"]:
                say(f"    {line}")
            kept = (self.folder / job.executed).with_suffix(".failed.ipynb")
            if kept.is_file():
                say(f"    the notebook up to there: {kept}")
