"""Mid-level tables in another order or broken, and bad folders of one's own."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mer_lib.dataset import MIDLEVEL, Corpus, CorpusError, load_corpus
from tests.bad_case import Case, checked, own_folder, yaml_bait
from tests.bad_tables import ANNOTATIONS, CLIPS, METADATA, every, line, soundtracks, wrong


def by_name(corpus: Corpus, _: object) -> tuple[str, float]:
    """Which quality holds the column called "dissonance" (or that stands in its place), and its values' sum."""
    return corpus.midlevel_kind, round(float(corpus.table["dissonance"].sum()), 6)


def ordered(name: str, columns: tuple[str, ...], place: int) -> Case:
    """Mid-level columns of these names: dissonance comes from the column at this place."""
    random = np.random.default_rng(1)  # the numbers of write_midlevel
    values = [random.uniform(1, 10, CLIPS).round(2) for _ in columns]
    expected = ("annotated", round(float(values[place].sum()) / 10, 6))
    return Case(name, soundtracks({}, columns, by_name), gives=expected)


def own(
    files: tuple[str, ...],
    change: Callable[[Path], object] = lambda folder: None,
    look: Callable | None = None,
    **columns: object,
) -> Callable:
    """A folder of one's own with these files, changed; ``look`` says what of the corpus is compared."""

    def make(folder: Path) -> Callable[[], object]:
        own_folder(folder / "mine", files, **columns)
        change(folder / "mine")
        read = lambda: load_corpus(folder / "mine")  # noqa: E731
        return read if look is None else lambda: look(read())

    return make


def bad(
    name: str,
    files: tuple[str, ...],
    change: Callable[[Path], object] = lambda folder: None,
    says: tuple[str, ...] = (),
    **columns: object,
) -> Case:
    """A folder that is refused."""
    return Case(name, own(files, change, **columns), CorpusError, says, command=checked)


def secret(folder: Path) -> None:
    """Audio beside the folder, and a link to it inside."""
    (folder.parent / "secret.wav").write_bytes((folder / "a.wav").read_bytes())
    (folder / "link.wav").unlink()
    (folder / "link.wav").symlink_to("../secret.wav")


def respell(folder: Path) -> None:
    """The file's name in decomposed Unicode, as macOS archives have it; the CSV has it composed."""
    (folder / COMPOSED).rename(folder / unicodedata.normalize("NFD", COMPOSED))


def without(folder: Path) -> None:
    """A file that the CSV names is gone, and the scale is none."""
    (folder / "gone.wav").unlink()
    scale("[]")(folder)


def scale(text: str) -> Callable[[Path], object]:
    """A corpus.yaml."""
    return lambda folder: (folder / "corpus.yaml").write_text(text.replace("BAIT", yaml_bait(folder.parent)), "utf-8")


def ids(corpus: Corpus) -> tuple[list[str], list[str]]:
    """Ids, and the names of the files that they found."""
    return corpus.table["id"].tolist(), [Path(path).name for path in corpus.table["path"]]


def nowhere(name: str) -> Case:
    """A corpus that there cannot be."""
    return Case(
        f"a corpus named {name[:9]!r}",
        lambda folder: lambda: load_corpus(name, folder),
        CorpusError,
        ("neither 'etudes', 'soundtracks' nor a folder",),
    )


COMPOSED = unicodedata.normalize("NFC", "déjà vu.wav")
STRANGE = (
    "song 'one'.wav",
    'a "b" & <img src=x onerror=alert(1)>.wav',
    "=cmd|'calc'!A1.wav",
    "$x^{.wav",
    "\u97f3\u697d \U0001f3b5.wav",
    "x" * 190 + ".wav",
)
SHUFFLED = ("dissonance", "minorness", "articulation", "tonal_stability", "melodiousness", *MIDLEVEL[2:4])
CALLED = ("Dissonance", "mode", "Articulation", "Atonality", "melody", "rhythm complexity", "Rhythm_stability")
HALF_KNOWN = ("dissonance", "x1", "articulation", "x2", "melodiousness", "x3", "x4")
FOLDERS = [
    ordered("mid-level columns in another order", SHUFFLED, 0),
    ordered("mid-level columns called otherwise, in another order", CALLED, 0),
    ordered("mid-level columns without known names are taken by position", tuple("abcdefg"), 4),
    wrong(
        "mid-level columns half known, in another order",
        lambda t: t,
        "articulation, melodiousness",
        "rename the others (x1, x2, x3, x4)",
        of=ANNOTATIONS,
        midlevel=HALF_KNOWN,
    ),
    wrong(
        "a mid-level quality twice",
        lambda t: t,
        "the same quality twice: atonality, tonal_stability",
        of=ANNOTATIONS,
        midlevel=(*MIDLEVEL[:5], "atonality", "tonal_stability"),
    ),
    wrong(
        "five mid-level columns", lambda t: t, "seven mid-level columns expected", of=ANNOTATIONS, midlevel=MIDLEVEL[:5]
    ),
    wrong(
        "mid-level values of another source",
        lambda t: t.replace("soundtracks", "jamendo"),
        "no row with the Source 'soundtracks'",
        of=METADATA,
        midlevel=MIDLEVEL,
    ),
    wrong(
        "mid-level values of other songs",
        every(lambda s: "9" + s if s[0] == "1" else s),
        "none of the songs that metadata.csv names",
        of=ANNOTATIONS,
        midlevel=MIDLEVEL,
    ),
    wrong(
        "mid-level values out of range",
        line(2, lambda s: s.replace("1000,", "1000,9", 1)),
        "outside 1..10 for: 001 (9",
        of=ANNOTATIONS,
        midlevel=MIDLEVEL,
    ),
    bad(
        "files outside the folder",
        ("a.wav", "../secret.wav", "/etc/passwd", "link.wav"),
        secret,
        ("files outside the corpus folder: ../secret.wav, /etc/passwd, link.wav",),
    ),
    bad(
        "a name longer than any file's",
        ("x" * 5000 + ".wav",),
        says=("ratings without audio: xxx", "(5004 characters)"),
    ),
    bad(
        "the same file under two ids",
        ("a.wav", "a.wav"),
        says=("the same file in several rows", "one, two"),
        id=["one", "two"],
    ),
    bad("no rating at all", ("a.wav",), says=("holds no rating: valence",), valence=[""]),
    bad(
        "no emotion",
        ("a.wav",),
        lambda f: (f / "ratings.csv").write_text("file,joy\na.wav,1\n"),
        ("none of the emotions valence, energy",),
    ),
    bad(
        "two tables",
        ("a.wav",),
        lambda f: (f / "more.csv").write_text("file\n"),
        ("exactly one CSV", "more.csv", "ratings.csv"),
    ),
    bad(
        "no table", ("a.wav",), lambda f: (f / "ratings.csv").unlink(), ("exactly one CSV with a column 'file'", "none")
    ),
    bad("a scale of the wrong kind", ("a.wav",), scale("scale: [9, 1]"), ("corpus.yaml", "scale: [1, 9]")),
    bad("a scale nested to the sky", ("a.wav",), scale("scale: " + "[" * 4000), ("corpus.yaml", "scale: [1, 9]")),
    bad("a scale that is code", ("a.wav",), scale("scale: BAIT"), ("corpus.yaml", "scale: [1, 9]")),
    bad(
        "everything at once",
        ("a.wav", "gone.wav", "../b.wav"),
        without,
        (
            "corpus.yaml",
            "without audio: gone.wav",
            "outside the corpus folder",
            "column happy holds no number",
            "4 problem(s)",
        ),
        happy=["x", "", "1"],
    ),
    Case("names of every kind", own(STRANGE, look=ids), gives=(sorted(STRANGE), sorted(STRANGE))),
    Case(
        "a name in another Unicode form",
        own((COMPOSED,), respell, ids),
        gives=([COMPOSED], [unicodedata.normalize("NFD", COMPOSED)]),
    ),
    Case(
        "a name in another Unicode form in the table",
        own((unicodedata.normalize("NFD", COMPOSED),), lambda f: next(f.glob("*.wav")).rename(f / COMPOSED), ids),
        gives=([unicodedata.normalize("NFD", COMPOSED)], [COMPOSED]),
    ),
    *(nowhere(name) for name in ("", "x" * 5000, "a\0b", "~nobody-here", "../../..  /gone")),
]
