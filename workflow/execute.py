"""Execute one job of a study: its notebook, through papermill, in processes of its own.

    python workflow/execute.py STUDY_FOLDER JOB        for instance data/runs/demo train:A2E:21

This process only watches: papermill and the kernel run below it and are ended with it, at the time limit too. The
executed notebook appears under its name when it has run to the end; a failed one is kept as ``*.failed.ipynb``.
Beside it lie ``*.json``, the job's record, and ``*.html``.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import filelock
import yaml

from mer_lib.places import ROOT, atomic_write
from workflow.jobs import Job, notebook_path, parameter_problems, read_jobs
from workflow.kept_runs import keep, put_back
from workflow.leftovers import remove_parts, scratch_prefix
from workflow.notebook_page import export_html
from workflow.processes import CALL, CALL_MARK, JOB_MARK, end_marked
from workflow.study import StudyError

START = Path(__file__).resolve().with_name("start.py")
KERNEL = "python3"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
TRACEBACK_LINES = 12


class JobError(RuntimeError):
    """A notebook failed; the message is short enough to print."""


class CellError(JobError):
    """A cell of the notebook raised an error, as it would again: not a matter of the machine that it ran on."""


def check_kernel() -> None:
    """Refuse a kernel of another environment: the notebooks must run with the packages of this interpreter."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        command = KernelSpecManager().get_kernel_spec(KERNEL).argv[0]
    except NoSuchKernel:
        raise JobError(f"{sys.executable} has no kernel {KERNEL!r}: python -m pip install 'ipykernel<7'") from None
    # jupyter_client starts a bare "python" with the interpreter that asks for it
    if not re.fullmatch(r"python(3(\.\d+)?)?", command) and Path(command).resolve() != Path(sys.executable).resolve():
        raise JobError(f"kernel {KERNEL!r} belongs to {command}, not to {sys.executable}: remove that kernel spec")


def execute(
    job: Job, folder: Path, *, upstream: Path | None = None, threads: int = 1, limit_minutes: float = 720
) -> dict[str, Any]:
    """Run one job to its end and return its record.

    Parameters
    ----------
    job
        Paths in it are relative to ``folder``, the study's.
    upstream
        The prepared corpus's marker; training that finished after it need not be done again for a figure's sake.
    threads
        Threads of the kernel's libraries.
    limit_minutes
        After so long everything is ended and the job has failed.

    Raises
    ------
    JobError
        If the notebook fails, lasts too long, lacks a parameter, or leaves no result.
    """
    notebook, executed = notebook_path(job.notebook), folder / job.executed
    problems = parameter_problems(notebook, job.parameters)
    if problems:
        raise JobError("\n".join(problems))
    check_kernel()
    executed.parent.mkdir(parents=True, exist_ok=True)
    if upstream and put_back(job, folder, upstream):
        print(f"{job.name}: the finished run is kept, the notebook is executed again")
    record = {"job": job.name, "phase": job.phase, "notebook": job.notebook, "started": _now(), "tracked": job.tracked}
    record |= {"call": os.environ.get(CALL_MARK, ""), "machine": platform.node()}
    _write_record(folder / job.record, record | {"status": "running"})
    part = executed.with_name(f".{executed.stem}.{os.getpid()}.part.ipynb")
    failed = executed.with_name(f"{executed.stem}.failed.ipynb")
    begin = time.perf_counter()
    try:
        _run_papermill(job, folder, notebook, part, threads=threads, seconds=limit_minutes * 60)
        if job.marker.endswith(".done"):  # a notebook whose results are figures leaves no small file of its own
            atomic_write(folder / job.marker, lambda path: path.write_text(f"{job.notebook}\n", "utf-8"))
        elif not (folder / job.marker).is_file():
            raise JobError(f"{job.notebook} ran to its end but wrote no {job.marker}")
    except BaseException as error:
        lines = _last_lines(str(error) or type(error).__name__)
        status = "failed" if isinstance(error, Exception) else "stopped"  # the latter by a signal
        record |= {"status": status, "seconds": round(time.perf_counter() - begin, 2), "error": lines}
        with contextlib.suppress(OSError):  # a full disk must not hide what went wrong first
            _tidy(job, folder, part, failed, record["started"], hopeless=isinstance(error, CellError))
        with contextlib.suppress(OSError):
            _write_record(folder / job.record, record)
        raise
    keep(job, folder, job.tracked, record["started"])
    os.replace(part, executed)
    for old in (failed, _hopeless(job, folder)):
        old.unlink(missing_ok=True)
    export_html(executed)
    record |= {"status": "finished", "seconds": round(time.perf_counter() - begin, 2), "finished": _now()}
    _write_record(folder / job.record, record)
    return record


def _run_papermill(job: Job, folder: Path, notebook: Path, part: Path, *, threads: int, seconds: float) -> None:
    """Papermill in a process of its own; whatever happens, nothing of it stays behind."""
    mark = str(part)
    with tempfile.TemporaryDirectory(prefix=scratch_prefix(folder)) as scratch:
        (Path(scratch) / "tmp").mkdir()
        parameters = Path(scratch) / "parameters.yaml"
        parameters.write_text(yaml.safe_dump(job.parameters, sort_keys=False), "utf-8")
        command = [sys.executable, str(START), "papermill", str(notebook), str(part)]
        command += ["--parameters_file", str(parameters)]
        command += ["--cwd", str(notebook.parent), "--kernel", KERNEL, "--language", "python"]
        command += ["--no-progress-bar", "--log-level", "ERROR"]
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)) | {JOB_MARK: mark}
        environment |= {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "JUPYTER_PREFER_ENV_PATH": "1",
            "IPYTHONDIR": str(Path(scratch) / "ipython"),  # no start-up files, no history, no need for a home folder
            "JUPYTER_RUNTIME_DIR": str(Path(scratch) / "runtime"),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "TMPDIR": str(Path(scratch) / "tmp"),
        }
        complaints = Path(scratch) / "stderr.txt"  # a file: a kernel that outlives papermill would keep a pipe open
        with complaints.open("wb") as stderr:
            child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=stderr)
            try:
                child.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                raise JobError(f"{job.notebook} was ended: it took longer than {seconds / 60:g} min") from None
            finally:
                end_marked(JOB_MARK, mark)
                child.wait()
        if child.returncode:
            if cell := failing_cell(part):
                raise CellError(cell)
            last_words = "\n".join(_last_lines(complaints.read_text("utf-8", errors="replace")))
            raise JobError(last_words or f"papermill ended with {child.returncode}")


def _tidy(job: Job, folder: Path, part: Path, failed: Path, started: str, *, hopeless: bool) -> None:
    """After a failure: keep a finished training and the notebook up to there, remove what is out of date."""
    for old in (folder / job.executed, (folder / job.executed).with_suffix(".html")):
        old.unlink(missing_ok=True)
    _keep_failed(part, failed)
    keep(job, folder, job.tracked, started)
    if hopeless:
        atomic_write(_hopeless(job, folder), lambda path: path.write_text(_attempt(job), "utf-8"))


def failing_cell(executed: Path) -> str:
    """The error of an executed notebook's failing cell, in a few lines; empty if there is none to be read."""
    try:
        cells = json.loads(executed.read_text("utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return ""
    for number, cell in enumerate(cells, start=1):
        for output in cell.get("outputs", []):
            if output.get("output_type") == "error":
                trace = _plain("\n".join(output.get("traceback", []))).splitlines()
                summary = f"{output.get('ename', 'Error')}: {output.get('evalue', '')}"
                return "\n".join([f"cell {number} failed:", *_last_lines("\n".join(trace) or summary)])
    return ""


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


def _last_lines(text: str, lines: int = TRACEBACK_LINES) -> list[str]:
    return [line.rstrip() for line in _plain(text).splitlines() if line.strip(" -")][-lines:]


def _keep_failed(part: Path, failed: Path) -> None:
    """Keep a failed notebook for its traceback, if it is whole."""
    try:
        json.loads(part.read_text("utf-8"))
        os.replace(part, failed)
    except (OSError, ValueError):
        part.unlink(missing_ok=True)


def _write_record(path: Path, record: dict[str, Any]) -> None:
    text = json.dumps(record, indent=1)
    atomic_write(path, lambda part: part.write_text(text, "utf-8"))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def check_call(job: Job, folder: Path) -> None:
    """Refuse what belongs to an earlier call of the launcher, and what has failed in this one and would again.

    On a cluster a job may start long after its launcher was killed, and Snakemake tries what failed once more.
    """
    call = os.environ.get(CALL_MARK)
    latest = (folder / CALL).read_text("utf-8") if (folder / CALL).is_file() else call
    if not call:
        return  # by hand
    if call != latest:
        raise JobError("submitted by an earlier call of the launcher; nothing was done")
    hopeless = _hopeless(job, folder)
    if hopeless.is_file() and hopeless.read_text("utf-8") == _attempt(job):
        raise JobError("its notebook failed a moment ago and is not tried again")


def _hopeless(job: Job, folder: Path) -> Path:
    """What an attempt leaves that would fail again (not in the record: Snakemake removes that before each attempt)."""
    executed = folder / job.executed
    return executed.with_name(f".{executed.stem}.hopeless")


def _attempt(job: Job) -> str:
    return f"{os.environ.get(CALL_MARK, '')}\n{job.tracked}"


def _stop(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


def main(arguments: list[str] | None = None) -> None:
    """Execute the job that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the study's folder, which holds plan.json")
    parser.add_argument("job", help="for instance prepare, train:A2E:21, attack:A2E:21 or analyse:08_robustness")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    folder = given.folder.resolve()
    try:
        jobs, settings = read_jobs(folder / "plan.json")
        if given.job not in jobs:
            raise StudyError(f"{folder.name} has no job {given.job!r}; it has: {', '.join(jobs)}")
        job = jobs[given.job]
        check_call(job, folder)
        threads, limit = settings["threads"], settings["limit_minutes"]
        if job.phase == "prepare":  # studies share prepared corpora
            prepared = (folder / job.marker).resolve().parent
            prepared.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(prepared.with_name(f".{prepared.name}.lock")):
                remove_parts(prepared)
                execute(job, folder, threads=threads, limit_minutes=limit)
        else:
            execute(job, folder, upstream=folder / jobs["prepare"].marker, threads=threads, limit_minutes=limit)
    except (JobError, StudyError, OSError) as error:
        sys.exit(f"{given.job}: {error}")


if __name__ == "__main__":
    main()
