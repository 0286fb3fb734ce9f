"""A trained network on disk: weights.safetensors, history.csv and, written last, run.json. Nothing is pickled.

Notebooks: 02 to 05 write runs; 06 and later read them.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mer_lib import __version__
from mer_lib.checks import shown
from mer_lib.models import SYSTEMS, Network, build
from mer_lib.places import ROOT, atomic_write, run_folder, runs_folder

FORMAT = 1
LARGEST_WIDTH = 4  # as in a study's YAML file: a damaged record must not ask for all memory
AGAIN = "train the run again, or give the folder of the right one"
PACKAGES = ("torch", "torchaudio", "numpy", "scipy", "pandas", "librosa", "soundfile", "soxr", "captum")


class RunError(ValueError):
    """A run that cannot be read or must not be mixed; the message names the folder and the way out."""


@dataclass(frozen=True)
class Run:
    """A trained network: the model in eval mode, how it was made (``info``) and its learning curve (``history``)."""

    folder: Path
    model: Network = field(repr=False)
    info: dict = field(repr=False)
    history: pd.DataFrame = field(repr=False)


def commit() -> str:
    """The repository's commit, with "+changes" where tracked files differ from it; "unknown" outside a checkout."""
    try:
        # Git says nothing of a checkout of another user's unless it is told that this is meant
        git = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=20)
        status = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no", "--", "mer_lib", "notebooks", "workflow", "data"],
            capture_output=True, text=True, check=True, timeout=20,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head.stdout.strip() + ("+changes" if status.stdout.strip() else "")


def provenance() -> dict:
    """How a result came about: versions, commit, machine and threads."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "mer_lib": __version__,
        "commit": commit(),
        "python": sys.version.split()[0],
        "versions": versions,
        "platform": platform.platform(terse=True),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def weights_digest(folder: str | Path) -> str:
    """SHA-256 of a run's weights: attacks and figures carry it, so that results of other weights are never mixed in."""
    return hashlib.sha256((Path(folder) / "weights.safetensors").read_bytes()).hexdigest()


def save_run(folder: str | Path, model: Network, info: dict, history: pd.DataFrame) -> Run:
    """Write a finished run; run.json, which marks it as finished, comes last.

    ``info`` must hold at least what identifies the run (study, seed, corpus); system, width, mean, std, the weights'
    digest and the provenance are added here.
    """
    folder = Path(folder)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    about = json.dumps({"format": str(FORMAT), "system": model.system.name, "width": repr(float(model.width))})
    # One key alone: safetensors writes several in any order, and the same weights would have two digests
    atomic_write(folder / "weights.safetensors", lambda part: save_file(weights, part, metadata={"about": about}))
    atomic_write(folder / "history.csv", lambda part: history.to_csv(part, index=False))
    info = {
        "format": FORMAT,
        "system": model.system.name,
        "width": float(model.width),
        "mean": float(model.mean),
        "std": float(model.std),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        **info,
        "weights_sha256": weights_digest(folder),
        "provenance": provenance(),
    }
    text = json.dumps(info, indent=1, allow_nan=False)
    atomic_write(folder / "run.json", lambda part: part.write_text(text, encoding="utf-8"))
    return load_run(folder)


def load_weights(path: Path, system: str, width: float) -> Network:
    """A network with the weights of a safetensors file.

    Raises
    ------
    RunError
        If the file is missing, damaged, no safetensors file, of another system, width or format, or holds other
        tensors than the network has, or values that are not finite.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            about = dict(json.loads(about["about"])) if "about" in about else about
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a safetensors handle)
    except (OSError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise RunError(f"{path}: not a readable safetensors file ({error}); train the run again") from error
    if not _is_width(width):
        raise RunError(f"{path}: a network of width {shown(width)!r} is wanted, which there is none of; {AGAIN}")
    wanted = {"format": str(FORMAT), "system": system, "width": repr(float(width))}
    differing = [
        f"{key} {shown(about.get(key))} instead of {value}" for key, value in wanted.items() if about.get(key) != value
    ]
    if differing:
        raise RunError(f"{path}: holds {', '.join(differing)}; {AGAIN}")
    model = build(system, width)
    if unfit := _unfit(weights, model.state_dict()):
        raise RunError(f"{path}: weights do not fit {system} at width {width:g} ({'; '.join(unfit)}); {AGAIN}")
    # Published weights may be stored in half precision; the network computes in float32
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    return model.eval()


def _is_width(width: object) -> bool:
    return isinstance(width, int | float) and not isinstance(width, bool) and 0 < width <= LARGEST_WIDTH


def _unfit(weights: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> list[str]:
    """What is wrong with the tensors of a file, in words."""
    both = [name for name in wanted if name in weights]
    found = {
        "missing": [name for name in wanted if name not in weights],
        "unknown": [name for name in weights if name not in wanted],
        "of another shape": [name for name in both if weights[name].shape != wanted[name].shape],
        "of another kind of number": [
            n for n in both if weights[n].dtype.is_floating_point != wanted[n].dtype.is_floating_point
        ],
        "not finite": [n for n in both if weights[n].is_floating_point() and not weights[n].float().isfinite().all()],
    }
    return [f"{words}: {', '.join(shown(name) for name in names)}" for words, names in found.items() if names]


def _read_record(folder: Path) -> tuple[dict, list[str]]:
    """What run.json says, and what is wrong with it."""
    if not os.path.isfile(folder / "run.json"):
        raise RunError(f"{folder}: no finished run here (run.json is missing); train it with notebooks 02 to 05")
    try:
        info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return {}, [f"run.json cannot be read ({error})"]
    return info, _record_problems(info)


def _refuse(folder: Path, problems: list[str]) -> None:
    if problems:
        raise RunError(f"{folder}: {'; '.join(shown(problem, 300) for problem in problems)}; train the run again")


def read_info(folder: str | Path) -> dict:
    """How a finished run was made: its run.json, without its weights.

    Raises
    ------
    RunError
        If it is unfinished, damaged or of another format.
    """
    info, problems = _read_record(Path(folder))
    _refuse(Path(folder), problems)
    return info


def digests_of(info: dict) -> set[str]:
    """The digests by which results of a run are its own: of its weights, and of those it is a copy of.

    A copy in half precision (workflow/kept_weights.py) answers as the network that was attacked, up to .001.
    """
    copied = info.get("kept_in_half_precision", {}).get("of_weights_sha256")
    return {info["weights_sha256"], *([copied] if copied else [])}


def load_run(folder: str | Path) -> Run:
    """Read a finished run.

    Raises
    ------
    RunError
        If it is unfinished, damaged, or its weights are not those that run.json names.
    """
    folder = Path(folder)
    info, problems = _read_record(folder)
    try:
        history = pd.read_csv(folder / "history.csv")
    except (OSError, ValueError, OverflowError) as error:
        problems.append(f"history.csv cannot be read ({error})")
    _refuse(folder, problems)
    model = load_weights(folder / "weights.safetensors", info["system"], info["width"])
    if weights_digest(folder) != info["weights_sha256"]:
        raise RunError(f"{folder}: weights.safetensors is not the file that run.json describes; train the run again")
    return Run(folder, model, info, history)


def _record_problems(info: object) -> list[str]:
    """What is wrong with what run.json holds; the rest of it is checked by those who use it."""
    if not isinstance(info, dict):
        return ["run.json holds no JSON object"]
    problems = []
    if info.get("format") != FORMAT:
        problems.append(f"run of format {info.get('format')!r}, this version reads {FORMAT}")
    if not isinstance(info.get("system"), str) or info["system"] not in SYSTEMS:
        problems.append(f"run.json: system {shown(info.get('system'))!r} is none of {', '.join(SYSTEMS)}")
    if not _is_width(info.get("width")):
        problems.append(f"run.json: width {shown(info.get('width'))!r} is no number above 0 and up to {LARGEST_WIDTH}")
    if not isinstance(info.get("weights_sha256"), str):
        problems.append("run.json names no weights_sha256")
    return problems


def load_pretrained(system: str) -> Run:
    """One of the small networks that come with the repository, trained on the Études at reduced width."""
    if system not in SYSTEMS:
        raise ValueError(f"unknown system {system!r}: one of {', '.join(SYSTEMS)}")
    return load_run(ROOT / "data" / "pretrained" / system)


def run_or_pretrained(study: str, system: str, seed: int) -> tuple[Run, bool]:
    """The study's own run where it is finished, else the small pretrained network; and whether it is the latter."""
    folder = run_folder(study, system, seed)
    if (folder / "run.json").is_file():
        return load_run(folder), False
    return load_pretrained(system), True


def find_runs(study: str) -> list[Path]:
    """Folders of a study's finished runs, in the order of the systems and seeds.

    Raises
    ------
    RunError
        If a folder with a run is not named after a seed, as a copy would be: it must not count as a run of its own.
    """
    found = []
    for system in SYSTEMS:
        folders = [path.parent for path in (runs_folder(study) / system).glob("seed-*/run.json")]
        if strange := [str(folder) for folder in folders if not re.fullmatch(r"seed-[0-9]+", folder.name)]:
            raise RunError(f"{', '.join(strange)}: not named seed-<number>; rename or remove it")
        found += sorted(folders, key=lambda folder: int(folder.name.removeprefix("seed-")))
    return found


def as_asked(run: Run, identity: dict) -> Run:
    """The run itself, if it was made as asked (what identifies it is in run.json); "auto" takes either precision.

    Raises
    ------
    RunError
        Names what differs.
    """
    known = {"excerpt_seed": identity.get("excerpt_seed"), **run.info}  # runs by earlier versions do not name it
    if identity["settings"]["precision"] == "auto":
        known["settings"] = {**known["settings"], "precision": "auto"}
    differing = sorted(key for key, value in identity.items() if known.get(key) != value)
    if differing:
        raise RunError(
            f"{run.folder}: holds a run made otherwise ({', '.join(differing)}); remove it or name another study"
        )
    return run
