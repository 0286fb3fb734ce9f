"""Bad archives, answers of a blind test and published logs."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pooch
import pytest

from mer_lib import download
from mer_lib.download import ArchiveError, unpack
from mer_lib.listening import abx_result
from mer_lib.published import PublishedError, read_clips
from tests.bad_case import BAIT, Case, Change, text, yaml_bait


def archive(*members: tuple[str, bytes | None] | zipfile.ZipInfo, change: Change = lambda folder: None) -> Callable:
    """An archive, and a folder to unpack it into where a file lies already."""

    def make(folder: Path) -> Callable[[], object]:
        (folder / "into").mkdir()
        (folder / "into" / "mine.csv").write_text("mine")
        with zipfile.ZipFile(folder / "a.zip", "w") as file, pytest.MonkeyPatch.context() as quiet:
            quiet.setattr("warnings.warn", lambda *_, **__: None)  # of names that stand there twice
            for name, data in members:
                file.writestr(name, data)
        change(folder)
        return lambda: unpack(folder / "a.zip", folder / "into")

    return make


def fetched(folder: Path) -> int:
    """The download command, for which the network gives the archive (and nothing else)."""

    def retrieve(url: str, known_hash: str | None, path: Path) -> Path:
        if url.endswith("4v3xh"):
            return folder / "a.zip"
        raise OSError("no network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooch, "retrieve", retrieve)
        patch.setattr(download, "data_folder", lambda _: folder)
        return download.main()


def climbing(
    name: str,
    *members: tuple,
    says: tuple[str, ...],
    change: Change = lambda folder: None,
    command: Callable | None = fetched,
) -> Case:
    return Case(
        f"an archive {name}",
        archive(("good.csv", b"a"), *members, change=change),
        ArchiveError,
        ("a.zip", *says),
        command=command,
    )


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link.csv")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def bytes_of(change: Callable[[bytes], bytes]) -> Change:
    return lambda folder: (folder / "a.zip").write_bytes(change((folder / "a.zip").read_bytes()))


def encrypted(data: bytes) -> bytes:
    """The flag of encryption set on every member."""
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for part in range(data.count(mark)):
            at = [i for i in range(len(data)) if data.startswith(mark, i)][part] + place
            data = data[:at] + bytes([data[at] | 1]) + data[at + 1 :]
    return data


def linked_folder(folder: Path) -> None:
    (folder / "outside").mkdir()
    (folder / "into" / "linked").symlink_to("../outside")


ARCHIVES = [
    climbing(
        "that climbs out",
        ("../bad.csv", b"b"),
        ("/etc/worse.csv", b"c"),
        ("a/../../x", b""),
        says=("climb out of", "../bad.csv, /etc/worse.csv, a/../../x", "nothing was unpacked"),
    ),
    climbing("with a link", (link(), b"/etc/passwd"), says=("members that are links: link.csv",)),
    climbing(
        "through a link that is there",
        ("linked/x.csv", b""),
        says=("climb out of", "linked/x.csv"),
        change=linked_folder,
        command=None,
    ),
    climbing("with a name twice", ("a.csv", b"1"), ("a.csv", b"2"), says=("twice: a.csv",)),
    climbing(
        "with a file for a folder",
        ("b", b"1"),
        ("b/c.csv", b"2"),
        ("mine.csv/x", b""),
        says=("a folder is needed for: b/c.csv, mine.csv/x",),
        command=None,
    ),
    climbing("with a name of 5000 letters", ("x" * 5000, b""), says=("names too long for a file: xxx",)),
    climbing(
        "of 3 GB in 3 kB",
        change=bytes_of(lambda data: data.replace(b"\x01\0\0\0\x01\0\0\0", b"\x01\0\0\0\0\0\0\xc0")),
        says=("3.2 GB when unpacked, 2 GB at most",),
    ),
    climbing(
        "with a damaged file",
        ("b.csv", b"data"),
        change=bytes_of(lambda data: data.replace(b"data", b"date", 1)),
        says=("no zip archive that can be read", "CRC", "get it again"),
    ),
    climbing("that is encrypted", change=bytes_of(encrypted), says=("no zip archive that can be read", "encrypted")),
    climbing("that is cut off", change=bytes_of(lambda data: data[:-30]), says=("no zip archive that can be read",)),
    climbing("that is no archive", change=bytes_of(lambda _: b"<!doctype html>"), says=("not a zip file",)),
]


def answers(content: str | bytes) -> Callable:
    """Answers of a blind test."""

    def make(folder: Path) -> Callable[[], object]:
        text("abx.csv", content)(folder)
        return lambda: abx_result(folder / "abx.csv")

    return make


def logs(vector: str = "[[1 2 3 4 5 6 7 8]]", settings: str = "clip_eps: 0.001\nlr: 0.002\n") -> Callable:
    """One published run of one clip."""

    def make(folder: Path) -> Callable[[], object]:
        place = folder / "21_b0d56_2024-03-21_17-35-21_0.001_corr_0.002_test"
        place.mkdir()
        (place / "hparams.yaml").write_text(settings.replace("BAIT", yaml_bait(folder)))
        header = "file,epoch,db,norm,converged,true-label,orig-pred,new-pred\n"
        log = f"['001.mp3.spec'],9,40,1,False,[[1 2 3 4 5 6 7 8]],[[1 2 3 4 5 6 7 8]],\"{vector}\"\n"
        (place / "log.csv").write_text(
            header + log.replace("BAIT", f"__import__('os').system('touch {folder / BAIT}')")
        )
        return lambda: read_clips(folder)

    return make


COUNTED = {"correct": 1, "trials": 1, "p_value": 0.5}
ABX, ROW = "trial,clip,x,answer,correct\n", "1,c,A,A,1\n"
LOGS = [
    Case(
        "answers that are text",
        answers(ABX + ROW + "2,c,A,B,yes\n3,c,X,A,0\n4,c,A,B,1\n"),
        ValueError,
        ("trials 2, 3: x or answer is not A or B", "trials 4: column 'correct' contradicts"),
    ),
    Case("answers in an empty file", answers(""), ValueError, ("abx.csv: no answers of a blind test",)),
    Case("answers that are a picture", answers(b"\x89PNG\xff"), ValueError, ("abx.csv: no answers of a blind test",)),
    Case("answers with a cell too many", answers(ABX + "1,c,d,A,A,1\n"), ValueError, ("abx.csv: no answers",)),
    Case("answers with a byte order mark", answers(b"\xef\xbb\xbf" + (ABX + ROW).encode()), gives=COUNTED),
    Case(
        "answers of something else",
        answers("a,b\n1,2\n"),
        ValueError,
        ("columns trial, clip, x, answer, correct are missing",),
    ),
    Case(
        "a clip that is a formula",
        answers(ABX + '1,"\'=HYPERLINK(""http://x"")",A,A,1\n'),
        gives=COUNTED,
    ),
    Case(
        "a log that is code",
        logs("[[1 2 3 4 5 6 7 BAIT]]"),
        PublishedError,
        ("log.csv, clip 1: expected [[ 8 finite numbers ]]",),
    ),
    Case(
        "a log with an infinite number",
        logs("[[1 2 3 4 5 6 7 1e999]]"),
        PublishedError,
        ("log.csv, clip 1: expected [[ 8 finite numbers ]]",),
    ),
    Case(
        "settings that are code",
        logs(settings="clip_eps: BAIT\nlr: 1\n"),
        PublishedError,
        ("hparams.yaml: clip_eps and lr cannot be read",),
    ),
    Case(
        "settings nested to the sky, a bad log too",
        logs("[[]]", "- " * 3000),
        PublishedError,
        ("hparams.yaml", "log.csv, clip 1"),
    ),
]
