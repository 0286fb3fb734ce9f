"""Files that a killed job leaves: half-written ones, and its scratch folder in the system's folder for such."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path


def remove_parts(folder: Path) -> None:
    """Remove what was being written below a folder (see :func:`mer_lib.places.atomic_write`)."""
    for part in folder.rglob(".*.part*"):
        part.unlink(missing_ok=True)


def scratch_prefix(folder: Path) -> str:
    """How the names of the scratch folders of a study's jobs begin."""
    return f"mer-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}-"


def remove_scratch(folder: Path) -> None:
    """Remove the scratch folders that jobs of a study have left on this machine."""
    for left in Path(tempfile.gettempdir()).glob(f"{scratch_prefix(folder)}*"):
        shutil.rmtree(left, ignore_errors=True)
