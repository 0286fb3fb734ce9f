"""What has a stable id is fetched and checked, the rest is named, and no archive climbs out of its folder."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pooch
import pytest

from mer_lib import download as module
from mer_lib.download import SOURCES, download, unpack


def archive(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, text in members.items():
            file.writestr(name, text)
    return path


def test_the_files_of_the_papers_are_asked_for_by_their_ids(tmp_path, monkeypatch):
    asked = []

    def retrieve(url, known_hash, path):
        asked.append(url)
        if url.endswith("4v3xh"):
            return archive(tmp_path / "got.zip", {"metadata_annotations/metadata.csv": "a"})
        if url.endswith("4wzc9"):
            raise OSError("no network")
        (tmp_path / "got").write_text(url)
        return tmp_path / "got"

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    missing = download(tmp_path / "data")
    assert asked == [f"https://osf.io/download/{i}" for i in ("g2h8w", "4wzc9", "4v3xh")]
    assert (tmp_path / "data/soundtracks/mean_ratings_set1.csv").exists()
    assert (tmp_path / "data/midlevel/metadata_annotations/metadata.csv").read_text() == "a"
    named = "\n".join(missing)
    assert "4wzc9" in named and "no network" in named and "Set1" in named and "set1_tracklist.csv" in named


def test_a_file_that_is_there_is_never_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(pooch, "retrieve", lambda *a, **k: pytest.fail("fetched again"))
    for source in SOURCES:
        (tmp_path / source.place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / source.place).write_text("mine")
    download(tmp_path)
    assert all((tmp_path / source.place).read_text() == "mine" for source in SOURCES)


def test_an_archive_that_climbs_out_is_refused_whole(tmp_path):
    wrong = archive(tmp_path / "a.zip", {"good.csv": "a", "../bad.csv": "b", "/etc/worse.csv": "c"})
    with pytest.raises(ValueError, match=r"\.\./bad\.csv, /etc/worse\.csv"):
        unpack(wrong, tmp_path / "in")
    assert not (tmp_path / "bad.csv").exists() and not (tmp_path / "in").exists()


def test_unpacking_keeps_what_is_there(tmp_path):
    (tmp_path / "a.csv").write_text("mine")
    assert unpack(archive(tmp_path / "a.zip", {"a.csv": "x", "b/c.csv": "y"}), tmp_path) == [tmp_path / "b" / "c.csv"]
    assert (tmp_path / "a.csv").read_text() == "mine"


def test_the_checksum_of_the_ratings_is_known():
    assert module.SOURCES[0].sha256 and len(module.SOURCES[0].sha256) == 64
