"""A trained network on disk: weights.safetensors, history.csv and, written last, run.json. Nothing is pickled.

Notebooks: 02 to 05 write runs; 06 and later read them.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
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
from mer_lib.models import SYSTEMS, Network, build
from mer_lib.places import ROOT, atomic_write, run_folder, runs_folder

FORMAT = 1
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
        git = ["git", "-C", str(ROOT)]
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
    about = {"format": str(FORMAT), "system": model.system.name, "width": repr(float(model.width))}
    atomic_write(folder / "weights.safetensors", lambda part: save_file(weights, part, metadata=about))
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
        If the file is missing, damaged, no safetensors file, or of another system, width or format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a safetensors handle)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path}: not a readable safetensors file ({error}); train the run again") from error
    wanted = {"format": str(FORMAT), "system": system, "width": repr(float(width))}
    differing = [
        f"{key} {about.get(key)} instead of {value}" for key, value in wanted.items() if about.get(key) != value
    ]
    if differing:
        raise RunError(f"{path}: holds {', '.join(differing)}")
    model = build(system, width)
    try:
        # Published weights may be stored in half precision; the network computes in float32
        model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    except RuntimeError as error:
        raise RunError(f"{path}: weights do not fit {system} at width {width:g} ({error})") from error
    return model.eval()


def read_info(folder: str | Path) -> dict:
    """How a finished run was made: its run.json, without its weights.

    Raises
    ------
    RunError
        If it is unfinished, damaged or of another format.
    """
    folder = Path(folder)
    if not (folder / "run.json").is_file():
        raise RunError(f"{folder}: no finished run here (run.json is missing); train it with notebooks 02 to 05")
    try:
        info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        known = info["format"] == FORMAT and info["system"] in SYSTEMS
        _ = info["width"], info["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder}: run.json cannot be read ({error!r}); train the run again") from error
    if not known:
        raise RunError(
            f"{folder}: run of format {info['format']} and system {info['system']!r}; this version reads {FORMAT}"
        )
    return info


def load_run(folder: str | Path) -> Run:
    """Read a finished run.

    Raises
    ------
    RunError
        If it is unfinished, damaged, or its weights are not those that run.json names.
    """
    folder, info = Path(folder), read_info(folder)
    try:
        history = pd.read_csv(folder / "history.csv")
    except (OSError, ValueError) as error:
        raise RunError(f"{folder}: history.csv cannot be read ({error}); train the run again") from error
    model = load_weights(folder / "weights.safetensors", info["system"], info["width"])
    if weights_digest(folder) != info["weights_sha256"]:
        raise RunError(f"{folder}: weights.safetensors is not the file that run.json describes; train the run again")
    return Run(folder, model, info, history)


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
    """Folders of a study's finished runs, in the order of the systems and seeds."""
    found = []
    for system in SYSTEMS:
        folders = [path.parent for path in (runs_folder(study) / system).glob("seed-*/run.json")]
        found += sorted(folders, key=lambda folder: int(folder.name.removeprefix("seed-")))
    return found
