"""The jobs of a study that wait or run on a Slurm cluster: how they are named, found again and cancelled.

Every Slurm job of a study has a name that begins with :func:`prefix`, whichever call of the launcher submitted it, from
whichever login node. So a launcher finds what an earlier one left in the queue, and cancels it before anything is
submitted again; the file :data:`MARK` in the study's folder says that there may be something to find.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import time
from pathlib import Path

import yaml

from workflow.study import StudyError

PROFILES = Path(__file__).resolve().parent
PROFILE_FILES = ("config.v8+.yaml", "config.yaml")
PLUGIN = "snakemake_executor_plugin_slurm"
MARK = ".slurm"
# Slurm sends SIGTERM, and SIGKILL after KillWait (30 s where nobody changed it); then the node cleans up.
CANCEL_SECONDS = 180
AT_ONCE = 500  # ids in one call of scancel


def find_profile(name: str) -> Path:
    """Folder of a Snakemake profile: a name in workflow/, or a path.

    Raises
    ------
    StudyError
        If there is none.
    """
    for folder in (Path(name).expanduser(), PROFILES / name):
        if any((folder / file).is_file() for file in PROFILE_FILES):
            return folder.resolve()
    raise StudyError(f"{name}: no Snakemake profile (a folder with {' or '.join(PROFILE_FILES)}); try --profile slurm")


def uses_slurm(profile: Path | None, extra: list[str]) -> bool:
    """Whether a profile, or the arguments for Snakemake, send the jobs to Slurm."""
    arguments = " ".join(extra).replace("=", " ").split()
    for flag, value in zip(arguments, arguments[1:], strict=False):
        if flag in ("--executor", "-e"):
            return value == "slurm"
    files = [profile / file for file in PROFILE_FILES if (profile / file).is_file()] if profile else []
    try:
        settings = yaml.safe_load(files[0].read_text("utf-8")) if files else {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise StudyError(f"{files[0]} cannot be read as YAML: {error}") from error
    return isinstance(settings, dict) and settings.get("executor") == "slurm"


def check_slurm() -> None:
    """Raise a StudyError that says what is missing for a study on Slurm."""
    if importlib.util.find_spec(PLUGIN) is None:
        raise StudyError('Snakemake cannot speak to Slurm yet: python -m pip install -e ".[slurm]" -c constraints.txt')
    if shutil.which("sbatch") is None:
        raise StudyError("there is no sbatch here: call this on a login node of the cluster")


def prefix(folder: Path) -> str:
    """How the names of a study's Slurm jobs begin: its name and a digest of its folder (at most 49 characters)."""
    return f"{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def queued(folder: Path) -> list[str]:
    """Ids of the study's Slurm jobs that wait, run or are just ending.

    Raises
    ------
    StudyError
        If Slurm does not answer: nothing may be submitted without knowing what runs already.
    """
    command = ["squeue", "--noheader", f"--user={os.getuid()}", "--format=%i %j"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    except FileNotFoundError:
        raise StudyError(
            f"an earlier call of this study has sent jobs to Slurm, and there is no squeue here to ask for them: "
            f"call this on the cluster, or remove {folder / MARK} if none is left"
        ) from None
    except subprocess.SubprocessError as error:
        said = (getattr(error, "stderr", "") or str(error)).strip()
        raise StudyError(f"Slurm does not say which jobs of this study are in its queue ({said})") from error
    named = [line.split(maxsplit=1) for line in lines]
    return [parts[0] for parts in named if len(parts) == 2 and parts[1].startswith(f"{prefix(folder)}_")]


def cancel(folder: Path) -> int:
    """Cancel the study's Slurm jobs and wait until none is left; how many there were.

    Raises
    ------
    StudyError
        If some do not end.
    """
    first = left = queued(folder)
    end = time.monotonic() + CANCEL_SECONDS
    while left:
        for start in range(0, len(left), AT_ONCE):
            subprocess.run(["scancel", *left[start : start + AT_ONCE]], stderr=subprocess.DEVNULL, check=False)
        if time.monotonic() > end:
            raise StudyError(f"Slurm jobs of this study do not end: {', '.join(left)}; see squeue and scancel")
        time.sleep(1.0)
        left = queued(folder)
    return len(first)
