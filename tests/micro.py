"""The smallest study with real notebooks, in a copy of the checkout: what comes out of it as bytes."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from stand_in import ROOT

MICRO = {
    "study": "micro",
    "corpus": "etudes",
    "clips": 20,
    "describe": 1,
    "width": 0.0625,
    "epochs": 4,
    "threads": 1,
    "systems": {"A2M2E": [21], "aA2E": [21]},
    "adversarial": {"every": 2, "epsilon": 0.1, "steps": 2},
    "attacks": [
        {"name": "bim-spec", "domain": "spectrogram", "epsilon": 0.1, "steps": 2},
        {"name": "bim-wave", "domain": "waveform", "epsilon": 0.001, "steps": 2},
    ],
    "examples": 1,
    "analyses": [{"notebook": "08_robustness"}],
}
COPIED = ("workflow", "mer_lib", "notebooks", "data/etudes", "data/published", "data/pretrained")
# Columns that may differ, and the only ones: times, and of whatever commit a copy or a clone is
ASIDE = ("seconds", "train_seconds", "attack_seconds", "commit")


class Micro:
    """A copy of the checkout and a place where its studies are written."""

    def __init__(self, root: Path, data: Path, **changes: Any) -> None:
        self.root, self.data = root, data
        self.environment = os.environ | {"MER_DATA": str(data), "OMP_NUM_THREADS": "1"}
        self.file = data.with_name(f"{data.name} file") / "micro.yaml"
        self.file.parent.mkdir(parents=True)
        self.file.write_text(yaml.safe_dump(MICRO | changes, sort_keys=False), "utf-8")

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return self.data / "runs" / "micro"

    def command(self, *arguments: str) -> list[str]:
        """The launcher's command line."""
        return [sys.executable, str(self.root / "workflow" / "run.py"), str(self.file), *arguments]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Call the launcher and do not wait."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(self.command(*arguments), env=self.environment, text=True, **pipes)

    def run(self, *arguments: str) -> str:
        """Call the launcher and wait for its success."""
        launcher = self.start(*arguments)
        said, _ = launcher.communicate(timeout=1800)
        log = self.folder / "snakemake.log"
        assert launcher.returncode == 0, said + (log.read_text("utf-8")[-5000:] if log.is_file() else "")
        return said

    def results(self) -> dict[str, str]:
        """A digest of all numbers that came out: tables without the columns ASIDE, weights, prepared arrays, sounds."""
        found = {}
        for path in sorted(self.data.rglob("*")):
            if path.suffix in (".safetensors", ".npy", ".flac"):
                content = path.read_bytes()
            elif path.suffix == ".csv" and "snakemake" not in str(path):
                content = as_it_stands(path)
            else:
                continue
            found[path.relative_to(self.data).as_posix()] = hashlib.sha256(content).hexdigest()
        return found


def as_it_stands(path: Path) -> bytes:
    """A table as bytes, as they stand, without the columns ASIDE."""
    text = path.read_text("utf-8")
    table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    left = table.drop(columns=[name for name in ASIDE if name in table])
    return left.to_csv(index=False).encode() if len(left.columns) < len(table.columns) else path.read_bytes()


def copy_checkout(target: Path) -> Path:
    """A copy that nobody edits while tests run."""
    for name in COPIED:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return target
