"""Remove what can be made again in minutes: caches, prepared arrays, the runs of the two short studies.

Downloads (data/soundtracks, data/midlevel), committed data, longer studies and .venv stay. Standard library only,
so that it runs without the environment.
"""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHES = (".pytest_cache", ".ruff_cache", ".hypothesis", ".benchmarks", ".snakemake", "build", "mer_lib.egg-info")
SHORT_STUDIES = ("smoke", "demo")
SEARCHED = ("mer_lib", "notebooks", "tests", "workflow", "data/etudes")


def removable(root: Path = ROOT) -> list[Path]:
    """List the folders that `make clean` removes from a checkout at `root`."""
    folders = [root / name for name in CACHES] + [root / "data" / "prepared"]
    folders += [root / "data" / "runs" / study for study in SHORT_STUDIES]
    for searched in SEARCHED:
        for name in ("__pycache__", ".ipynb_checkpoints"):
            folders += (root / searched).rglob(name)
    return [folder for folder in folders if folder.is_dir() and not folder.is_symlink()]


def main(root: Path = ROOT) -> None:
    """Remove them, and say which longer studies stay."""
    for folder in removable(root):
        shutil.rmtree(folder)
        print(f"removed {folder.relative_to(root).as_posix()}")
    kept = sorted(folder.name for folder in (root / "data" / "runs").glob("*/"))
    if kept:
        print(f"kept data/runs/: {', '.join(kept)} (remove these by hand if you mean to)")


if __name__ == "__main__":
    main()
