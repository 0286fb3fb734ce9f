"""Run a study from its YAML file to its page: python workflow/run.py demo

Checks the file, sees to it that nobody else works on the study and that nothing is left of a killed run, has Snakemake
run what is not finished, tells how it goes, and prints what came out. Calling it again runs only what is missing or
out of date. `--profile slurm` sends the jobs to a cluster. Arguments after `--` go to Snakemake, for instance
`-- --touch` (take what is finished as up to date).
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import platformdirs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mer_lib.places import ROOT, atomic_write, figures, runs_folder
from workflow.jobs import Plan, check_prepared, corpus_folder, read_record
from workflow.kept_runs import keep
from workflow.leftovers import remove_parts, remove_scratch
from workflow.processes import CALL, CALL_MARK, STUDY_MARK, BusyError, end_marked, only_one
from workflow.progress import Progress, say
from workflow.room import UNWRITABLE, check_room, make_folder
from workflow.slurm_jobs import MARK, cancel, check_slurm, find_profile, prefix, uses_slurm
from workflow.study import StudyError, find_study, load_study

POLL_SECONDS = 0.3
POLL_SHARE = 0.05  # of the time; a look at thousands of records on shared storage takes a while
PLAN = "plan.json"


@dataclass(frozen=True)
class Place:
    """Where jobs run: on so many cores here, or as a Snakemake profile says, on Slurm perhaps."""

    cores: int | None = None
    profile: Path | None = None
    slurm: bool = False
    extra: tuple[str, ...] = ()

    def __str__(self) -> str:
        """In a few words."""
        where = [f"{self.cores} core(s)"] if self.cores else []
        where += [f"profile {self.profile.name}"] if self.profile else []
        return ", ".join(where + (["jobs sent to Slurm"] if self.slurm else []))


def snakemake_command(folder: Path, place: Place) -> list[str]:
    """The call of Snakemake for a study's folder."""
    here = ROOT / "workflow"
    command = [sys.executable, str(here / "start.py"), "snakemake", "--snakefile", str(here / "Snakefile")]
    command += ["--directory", str(folder), "--rerun-incomplete", "--keep-going", "--nocolor"]
    command += ["--cores", str(place.cores)] if place.cores else []
    command += ["--profile", str(place.profile)] if place.profile else []
    command += ["--slurm-jobname-prefix", prefix(folder)] if place.slurm else []
    return [*command, *place.extra]


def environment(folder: Path, call: str = "") -> dict[str, str]:
    """What Snakemake and all below it inherit: the study's mark, the call's and, if the home takes none, a cache."""
    inherited = os.environ | {STUDY_MARK: str(folder), CALL_MARK: call}
    try:
        Path(platformdirs.user_cache_dir("snakemake", "snakemake")).mkdir(parents=True, exist_ok=True)
    except OSError:
        inherited["XDG_CACHE_HOME"] = str(folder / ".snakemake" / "cache")
    return inherited


def clear_leftovers(plan: Plan, folder: Path) -> None:
    """Deal with what a killed run left: processes, half-written files, Snakemake's lock."""
    ended = end_marked(STUDY_MARK, str(folder))
    if ended:
        say(f"Ended {ended} process(es) that an earlier run of this study had left.")
    if (folder / MARK).exists():
        if cancelled := cancel(folder):
            say(f"Cancelled {cancelled} Slurm job(s) that an earlier run of this study had left; what they did counts.")
        (folder / MARK).unlink()
    for job in plan.jobs.values():
        record = read_record(folder, job)
        if record.get("status") == "running":  # killed: perhaps after the training was finished
            keep(job, folder, record["tracked"], record["started"])
    for place in (folder, figures() / plan.study.name):
        remove_parts(place)
    remove_scratch(folder)
    if any((folder / ".snakemake" / "locks").glob("*")):
        say("Removing the lock of an earlier run that was killed.")
        unlock = snakemake_command(folder, Place(cores=1, extra=("--unlock",)))
        done = subprocess.run(
            unlock, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode:
            raise StudyError(f"{folder / '.snakemake'} cannot be unlocked:\n{done.stdout}")


def run(plan: Plan, folder: Path, place: Place) -> tuple[int, Progress]:
    """Have Snakemake run the jobs; return its exit code and what was seen of them."""
    log = folder / "snakemake.log"
    call = uuid.uuid4().hex
    atomic_write(folder / CALL, lambda part: part.write_text(call, "utf-8"))
    if place.slurm:
        (folder / MARK).touch()
    with log.open("wb") as output:
        progress = Progress(plan, folder, log)
        child = subprocess.Popen(
            snakemake_command(folder, place),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment(folder, call),
        )
        try:
            looking = 0.0
            while child.poll() is None:
                time.sleep(max(POLL_SECONDS, looking / POLL_SHARE))
                begin = time.perf_counter()
                progress.look()
                looking = time.perf_counter() - begin
        except BaseException:
            say("Stopping ...")
            child.terminate()
            raise
        finally:
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            end_marked(STUDY_MARK, str(folder))
            if place.slurm:
                cancel(folder)
                (folder / MARK).unlink(missing_ok=True)
            progress.look()
    return child.returncode, progress


def dry_run(plan: Plan, folder: Path, extra: tuple[str, ...]) -> int:
    """Say which jobs would run, and why; change nothing."""
    if not folder.is_dir():
        say(f"{plan.study.name}: all {len(plan.jobs)} jobs would run:")
        for job in plan.jobs.values():
            say(f"  {job.name}")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        plan.write(Path(scratch) / PLAN)
        extra = ("--dry-run", "--nolock", "--config", f"plan={Path(scratch) / PLAN}", *extra)
        command = snakemake_command(folder, Place(cores=1, extra=extra))
        done = subprocess.run(
            command, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    if done.returncode:
        say(done.stdout)
        return done.returncode
    jobs = re.findall(r"^Job \d+: (\S+)\nReason: (.*)$", done.stdout, re.MULTILINE)
    say(f"{plan.study.name}: {len(jobs)} of {len(plan.jobs)} jobs would run{':' if jobs else ''}")
    for name, reason in jobs:
        say(f"  {name}  ({reason})")
    return 0


def print_results(plan: Plan, folder: Path, seconds: float) -> None:
    """Print phases, table and the page to open."""
    from workflow.page import write_page
    from workflow.report import headline, phases, read_results, summary, unfinished, unlisted

    say(f"\nSeconds per phase, as measured when each job ran (this call took {seconds:.0f} s):")
    say(phases(plan, folder).to_string(index=False))
    if missing := unfinished(plan, folder):
        say(f"\n{missing} Call this again without targets to finish the study.")
        return
    results = read_results(plan, folder)
    say(f"\n{headline(plan, results)}; means over seeds:")
    say(summary(plan, results).to_string(index=False, float_format="{:.3f}".format))
    for leftover in unlisted(plan, folder):
        say(f"Note: {folder / leftover} is a finished run that {plan.study.path.name} does not list.")
    say(f"\nAll numbers: {folder / 'results.csv'}")
    say(f"Open this page: {write_page(plan, folder)}")


def absolute_places() -> None:
    """Jobs work in other folders than the caller: make the places given by the environment absolute."""
    for variable in ("MER_DATA", "MER_SOUNDTRACKS"):
        if os.environ.get(variable):
            os.environ[variable] = str(Path(os.environ[variable]).expanduser().resolve())


def checked_plan(study: str) -> Plan:
    """The plan of a study whose file, notebooks, parameters and corpus folder are all there."""
    plan = Plan(load_study(find_study(study)))
    corpus = corpus_folder(plan.study["corpus"])
    if not os.path.isdir(corpus):  # False for a name that no folder can have, too
        raise StudyError(f"corpus {plan.study['corpus']!r}: {corpus} is not there; data/README.md says how to get it")
    plan.check()
    check_prepared(plan)
    return plan


def usable_cores() -> int:
    """Cores that this process may use: a batch system or a container may leave it fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def chosen_place(given: argparse.Namespace) -> Place:
    """Where the command line wants the jobs to run; refused if that cannot be."""
    if (given.cores is not None and given.cores < 1) or given.gpus < 0:
        raise StudyError("--cores must be at least 1 and --gpus not negative")
    profile = find_profile(given.profile) if given.profile else None
    slurm = uses_slurm(profile, given.snakemake)
    if slurm:
        check_slurm()
    elsewhere = profile or slurm
    return Place(given.cores or (None if elsewhere else usable_cores()), profile, slurm, tuple(given.snakemake))


def _stop(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


def main(arguments: list[str] | None = None) -> int:
    """Run the study that the command line names; 0 if all its jobs are done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="a name in workflow/studies, or the path of a YAML file")
    parser.add_argument("--cores", type=int, help="cores to use (default: all; with a profile, what it says)")
    parser.add_argument("--profile", help="a Snakemake profile: slurm, or the path of a folder with one of your own")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs that each training and attack asks Slurm for")
    parser.add_argument("--dry-run", action="store_true", help="only say what would run")
    parser.usage = (
        "%(prog)s [-h] [--cores CORES] [--profile PROFILE] [--gpus GPUS] [--dry-run] study [-- SNAKEMAKE ...]"
    )
    arguments = sys.argv[1:] if arguments is None else arguments
    ours = (
        arguments.index("--") if "--" in arguments else len(arguments)
    )  # argparse would take it only right after study
    given = parser.parse_args(arguments[:ours])
    given.snakemake = arguments[ours + 1 :]
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started with it ignored
    absolute_places()
    begin = time.perf_counter()
    try:
        plan = checked_plan(given.study)
        folder = runs_folder(plan.study.name)
        if given.dry_run:
            return dry_run(plan, folder, tuple(given.snakemake))
        place = chosen_place(given)
        make_folder(plan, folder)
        with only_one(folder):
            clear_leftovers(plan, folder)
            text = plan.study.path.read_bytes()
            atomic_write(folder / "study.yaml", lambda part: part.write_bytes(text))
            plan.write(folder / PLAN, gpus=given.gpus)
            say(f"Study {plan.study.name}: {len(plan.jobs)} jobs in all, {place}; writing to {folder}")
            code, progress = run(plan, folder, place)
            if code:
                return _explain_failure(progress, folder)
            if not progress.ended:
                say("Everything was up to date: nothing ran.")
            print_results(plan, folder, time.perf_counter() - begin)
    except (StudyError, BusyError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; call this again to go on.", file=sys.stderr)
        return 130
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        print(f"\n{error}\nWhat is finished stays; mend that and call this again.", file=sys.stderr)
        return 1
    return 0


def _explain_failure(progress: Progress, folder: Path) -> int:
    check_room(folder)  # a full disk is the reason, whatever else was said
    if progress.failed:
        names = ", ".join(f"{job.title} ({job.notebook})" for job in progress.failed)
        print(f"\n{len(progress.failed)} job(s) failed: {names}. What is finished stays.", file=sys.stderr)
    else:
        lines = (folder / "snakemake.log").read_text("utf-8", errors="replace").splitlines()[-15:]
        print("\nSnakemake stopped:\n" + "\n".join(f"    {line}" for line in lines), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
