"""What a case of bad input is, and what several tables of cases need. The tables: bad_audio, bad_tables, bad_files."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import soundfile

from mer_lib import check_corpus
from mer_lib.audio import SAMPLE_RATE
from tests.small import tone

Change = Callable[[Path], object]
BAIT = "executed"  # the file that appears if anything runs what it reads


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes
    ----------
    name
        What is wrong.
    make
        Writes it into a folder and returns what reads it.
    error, says
        What must be raised, and words of its message: what is wrong, where, the way out. Or, instead:
    gives
        A stated repair: what the reading must return.
    command
        Calls the command-line entry on the folder, where there is one: exit status, with the same words said.
    """

    name: str
    make: Callable[[Path], Callable[[], object]]
    error: type[Exception] | None = None
    says: tuple[str, ...] = ()
    gives: object = None
    command: Callable[[Path], int] | None = field(default=None, repr=False)


def snapshot(folder: Path) -> dict[str, str]:
    """Every path below a folder with what is there: bytes, a link's target, or that it is a folder."""
    seen = {}
    for path in sorted(folder.rglob("*")):
        kind = "folder"
        if path.is_symlink():
            kind = f"link to {os.readlink(path)}"
        elif path.is_file():
            kind = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.exists() and not path.is_dir():
            kind = "neither file nor folder"
        seen[path.relative_to(folder).as_posix()] = kind
    return seen


def pickled_bait(folder: Path) -> bytes:
    """A pickle that makes the file BAIT when it is loaded (written by hand: nothing here imports pickle)."""
    return f"cos\nsystem\n(S'touch {folder / BAIT}'\ntR.".encode()


def yaml_bait(folder: Path) -> str:
    """The same in YAML, for a loader that makes Python objects."""
    return f"!!python/object/apply:os.system ['touch {folder / BAIT}']"


def is_taken(bait: bytes, folder: Path) -> bool:
    """Whether a pickle does run when it is loaded: in a process of its own."""
    (folder / "bait.pkl").write_bytes(bait)
    code = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))"
    subprocess.run([sys.executable, "-I", "-c", code, str(folder / "bait.pkl")], check=True, timeout=60)
    return (folder / BAIT).exists()


def own_folder(folder: Path, files: Sequence[str] = ("a.wav",), **columns: object) -> Path:
    """A corpus of one's own: a CSV that names files, of which each one that can be is a short tone; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        if name.endswith(".wav") and len(name) < 200 and not name.startswith(("/", "..")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / name, tone(seconds=0.2), SAMPLE_RATE)
    pd.DataFrame({"file": list(files), "valence": 0.5, **columns}).to_csv(folder / "ratings.csv", index=False)
    return folder


def checked(folder: Path) -> int:
    """The command that checks a corpus of one's own."""
    return check_corpus.main([str(folder / "mine"), "--workers", "1"])


def text(name: str, content: str | bytes) -> Change:
    """A file of this content, in a folder."""
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
