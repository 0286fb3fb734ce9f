"""Where things lie: what is read from the repository, and what is written.

``MER_DATA`` moves everything that is written (prepared corpora, runs, figures) out of a read-only checkout.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def data_folder(data_dir: str | Path = "data") -> Path:
    """Folder of the corpora that are read; a relative path counts from the repository's root."""
    return ROOT / data_dir


def written() -> Path:
    """Folder for prepared corpora and runs: ``MER_DATA`` where it is set, else ``data`` in the repository."""
    return Path(os.environ["MER_DATA"]).expanduser().resolve() if os.environ.get("MER_DATA") else ROOT / "data"


def figures() -> Path:
    """Folder for figures: ``MER_DATA/figures`` where ``MER_DATA`` is set, else ``figures`` in the repository."""
    return written() / "figures" if os.environ.get("MER_DATA") else ROOT / "figures"


def prepared_folder(name: str) -> Path:
    """Folder of one prepared corpus."""
    return written() / "prepared" / name


def runs_folder(study: str) -> Path:
    """Folder of all runs of one study."""
    return written() / "runs" / study


def run_folder(study: str, system: str, seed: int) -> Path:
    """Folder of one trained network."""
    return runs_folder(study) / system / f"seed-{seed}"


def prepared_name(
    corpus: str,
    *,
    clips: int | None = None,
    shortcut: float = 0.0,
    midlevel: str = "corpus",
    split: str = "published",
) -> str:
    """Name of the folder that holds a corpus prepared so, for instance "etudes-60clips".

    Raises
    ------
    ValueError
        If the corpus is a path that does not end in a name: what is prepared would land beside its place.
    """
    name = short_name(Path(corpus).name)
    if name in ("", "..") or "\0" in name:
        raise ValueError(f"corpus {corpus!r} does not end in the name of a folder")
    name += f"-{clips}clips" if clips else ""
    name += f"-shortcut{shortcut:g}-{split}" if shortcut else ""
    return name + ("-computed" if midlevel == "computed" else "")


def short_name(name: str, limit: int = 120) -> str:
    """A name of at most ``limit`` bytes: a longer one is cut and marked with its digest, so that no two become one."""
    data = name.encode("utf-8", "surrogateescape")
    if len(data) <= limit:
        return name
    return data[: limit - 13].decode("utf-8", "ignore") + "-" + hashlib.sha256(data).hexdigest()[:12]


def file_stems(names: Sequence[str]) -> list[str]:
    """Names from data as names of files: letters, digits, "-" and "_", short enough, and no two alike."""
    plain = ["".join(c if c.isalnum() or c in "-_" else "_" for c in name) for name in names]
    marked = [
        f"{stem}-{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:12]}"
        for stem, name in zip(plain, names, strict=True)
    ]
    return [short_name(mark if plain.count(stem) > 1 else stem) for stem, mark in zip(plain, marked, strict=True)]


def _check_room(path: Path) -> None:
    """Raise OSError where not one byte more has room behind a file, or what was written does not reach the disk."""
    written_at = path.stat()
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(b"\0")
        file.flush()
        file.truncate(written_at.st_size)
        os.fsync(file.fileno())
    os.utime(path, ns=(written_at.st_atime_ns, written_at.st_mtime_ns))  # a copy keeps its original's


def atomic_write(path: str | Path, write: Callable[[Path], None]) -> Path:
    """Write a file under a temporary name in its folder and rename it, so that it is there whole or not at all.

    A file that a full disk cut short is refused even where the library that wrote it did not notice (NumPy and
    libsndfile lose the last bytes in silence). No two processes, on whatever machines, share a temporary name.

    Parameters
    ----------
    path
        The file's final name; missing folders above it are made.
    write
        Called with the temporary path, which keeps the final name's ending.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        write(temporary)
        _check_room(temporary)
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # some writers leave files that only their owner may read
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
