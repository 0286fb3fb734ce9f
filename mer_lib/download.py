"""Fetching the research data that has a stable address; the rest is named, with where it goes.

Notebook: 01_prepare_data
"""

from __future__ import annotations

import lzma
import os
import stat
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import pooch

from mer_lib.checks import shown
from mer_lib.places import atomic_write, data_folder

LARGEST_CONTENT = 2_000_000_000  # bytes; the annotations are a thousandth of it


# What zipfile lets through of what its decompressors say about damaged, encrypted or unknown contents
UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, LookupError)


class ArchiveError(ValueError):
    """An archive that is not unpacked; the message names every member that is wrong."""


@dataclass(frozen=True)
class Source:
    """One file at the Open Science Framework: its id there, its place below data/, and its SHA-256 where known."""

    id: str
    place: str
    sha256: str | None
    what: str


SOURCES = (
    Source(
        "g2h8w",
        "soundtracks/mean_ratings_set1.csv",
        "e4f86cdf70d30cb694d156e37ec425653cc5334952716d583bc2ef8eeb10ad67",
        "mean ratings of Soundtracks Set 1 (Eerola & Vuoskoski 2011, OSF node p6vkg)",
    ),
    Source("4wzc9", "soundtracks/readme.md", None, "its readme"),
    Source(
        "4v3xh",
        "midlevel/metadata_annotations.zip",
        None,
        "mid-level annotations (Aljanaki & Soleymani 2018, OSF node 5aupt)",
    ),
)
BY_HAND = (
    "soundtracks/Set1/001.mp3 to 360.mp3: Set1.zip at osf.io/p6vkg, unpacked",
    "soundtracks/set1_tracklist.csv: the album of each clip, from the track listing at osf.io/p6vkg "
    "(columns Nro, Emotion, Album name, Track, Min:Sec)",
)


def download(data_dir: str | Path = "data") -> list[str]:
    """Fetch what has a stable id into the data folder; nothing that is there already is touched.

    Returns
    -------
    list of str
        What could not be fetched, or has no stable id and is to be put there by hand.
    """
    data, missing = data_folder(data_dir), []
    for source in SOURCES:
        target = data / source.place
        if target.exists():
            continue
        try:
            known = None if source.sha256 is None else f"sha256:{source.sha256}"
            fetched = pooch.retrieve(f"https://osf.io/download/{source.id}", known, path=data / ".download")
            if target.suffix == ".zip":
                unpack(fetched, target.parent)  # before it counts as fetched
            atomic_write(target, lambda part, fetched=fetched: part.write_bytes(Path(fetched).read_bytes()))
        except Exception as error:  # no network, a changed file: told, not fatal
            missing.append(f"{source.place}: {source.what}, file id {source.id}; not fetched ({shown(error, 500)})")
    missing += [line for line in BY_HAND if not (data / line.split(":")[0].split(" to ")[0]).exists()]
    return missing


def unpack(archive: str | Path, folder: str | Path) -> list[Path]:
    """Unpack a zip archive's files; existing files are kept.

    Raises
    ------
    ArchiveError
        If the archive is damaged, or any member would land outside the folder or on another's place, naming all that
        would; then nothing is unpacked.
    """
    folder = Path(os.path.realpath(folder))
    try:
        with zipfile.ZipFile(archive) as file:
            members = [member for member in file.infolist() if not member.is_dir()]
            if problems := _member_problems(members, folder):
                raise ArchiveError(f"{archive}: nothing was unpacked\n" + "\n".join(f"  - {p}" for p in problems))
            wanted = [member for member in members if not (folder / member.filename).exists()]
            contents = [file.read(member) for member in wanted]  # all of it, before anything is written
    except ArchiveError:
        raise
    except UNREADABLE as error:
        raise ArchiveError(
            f"{archive}: no zip archive that can be read ({error}); remove it and get it again"
        ) from error
    targets = [folder / member.filename for member in wanted]
    for target, content in zip(targets, contents, strict=True):
        atomic_write(target, lambda part, content=content: part.write_bytes(content))
    return targets


def _member_problems(members: list[zipfile.ZipInfo], folder: Path) -> list[str]:
    """Members that must not be unpacked, in words."""
    names = [member.filename for member in members]
    places = {name: Path(os.path.realpath(folder / name)) for name in names}
    files = set(places.values())

    def above(place: Path) -> set[Path]:
        return {parent for parent in place.parents if parent != folder and parent.is_relative_to(folder)}

    def blocked(place: Path) -> bool:
        return any(os.path.isfile(parent) for parent in above(place))

    found = {
        f"members that would climb out of {folder}": [n for n in names if not places[n].is_relative_to(folder)],
        "members that are links": [m.filename for m in members if stat.S_ISLNK(m.external_attr >> 16)],
        "names that stand there twice": sorted({n for n in names if names.count(n) > 1}),
        "names too long for a file": [n for n in names if max(len(p.encode()) for p in Path(n).parts or [""]) > 200],
        "a file where a folder is needed for": [n for n in names if above(places[n]) & files or blocked(places[n])],
        "a folder where a file is needed for": [n for n in names if os.path.isdir(places[n])],
    }
    problems = [f"{words}: {', '.join(shown(n, 200) for n in cases)}" for words, cases in found.items() if cases]
    if (size := sum(member.file_size for member in members)) > LARGEST_CONTENT:
        problems.append(f"{size / 1e9:.1f} GB when unpacked, {LARGEST_CONTENT / 1e9:g} GB at most are expected")
    return problems


def main() -> int:
    """Fetch, say what is missing; 0 if everything is there."""
    missing = download()
    print("\n".join(missing) or "everything is there")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
