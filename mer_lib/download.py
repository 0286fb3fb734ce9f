"""Fetching the research data that has a stable address; the rest is named, with where it goes.

Notebook: 01_prepare_data
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import pooch

from mer_lib.places import atomic_write, data_folder


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
            atomic_write(target, lambda part, fetched=fetched: part.write_bytes(Path(fetched).read_bytes()))
        except Exception as error:  # no network, a changed file: told, not fatal
            missing.append(f"{source.place}: {source.what}, file id {source.id}; not fetched ({error})")
            continue
        if target.suffix == ".zip":
            unpack(target, target.parent)
    missing += [line for line in BY_HAND if not (data / line.split(":")[0].split(" to ")[0]).exists()]
    return missing


def unpack(archive: str | Path, folder: str | Path) -> list[Path]:
    """Unpack a zip archive's files; existing files are kept.

    Raises
    ------
    ValueError
        If any member would land outside the folder, naming all that would; then nothing is unpacked.
    """
    folder = Path(folder).resolve()
    with zipfile.ZipFile(archive) as file:
        members = [member for member in file.infolist() if not member.is_dir()]
        strays = [m.filename for m in members if not (folder / m.filename).resolve().is_relative_to(folder)]
        if strays:
            raise ValueError(f"{archive}: members that would climb out of {folder}: {', '.join(strays)}")
        written = []
        for member in members:
            target = folder / member.filename
            if not target.exists():
                atomic_write(target, lambda part, member=member: part.write_bytes(file.read(member)))
                written.append(target)
    return written


if __name__ == "__main__":
    print("\n".join(download()) or "everything is there")
