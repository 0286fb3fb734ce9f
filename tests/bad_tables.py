"""Bad ratings and track lists in the layout of Soundtracks; the means to change one table of a right corpus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mer_lib import check_corpus
from mer_lib.dataset import EMOTIONS, Corpus, CorpusError, load_corpus
from tests.bad_case import Case
from tests.small import write_corpus, write_midlevel

CLIPS = 6
RATINGS, TRACKS = "soundtracks/mean_ratings_set1.csv", "soundtracks/set1_tracklist.csv"
TABLES_OF_MIDLEVEL = "midlevel/metadata_annotations"
ANNOTATIONS, METADATA = f"{TABLES_OF_MIDLEVEL}/annotations.csv", f"{TABLES_OF_MIDLEVEL}/metadata.csv"
Change = Callable[[str], "str | bytes"]


def soundtracks(changes: dict[str, Change], midlevel: tuple[str, ...] = (), look: Callable | None = None) -> Callable:
    """A small right corpus, with the text of some of its tables changed; ``look`` says what of it is compared."""

    def make(folder: Path) -> Callable[[], object]:
        write_corpus(folder / "soundtracks", CLIPS, seconds=0.1)
        right = ratings_of(load_corpus("soundtracks", folder))
        if midlevel:
            write_midlevel(folder / TABLES_OF_MIDLEVEL, CLIPS, columns=midlevel)
        for place, change in changes.items():
            text = change((folder / place).read_text("utf-8-sig"))
            (folder / place).write_bytes(text if isinstance(text, bytes) else text.encode())
        read = lambda: load_corpus("soundtracks", folder)  # noqa: E731
        return read if look is None else lambda: look(read(), right)

    return make


def command(folder: Path) -> int:
    """The command that checks a corpus, on the small Soundtracks."""
    return check_corpus.main(["soundtracks", "--data", str(folder), "--workers", "1"])


def ratings_of(corpus: Corpus) -> np.ndarray:
    return corpus.table[list(EMOTIONS)].to_numpy()


def unchanged(corpus: Corpus, right: np.ndarray) -> tuple[bool, list[str]]:
    """Whether the ratings are those that stood there before the change; and the notes, without their folder."""
    notes = [note.split("/")[-1] for note in corpus.notes]
    return bool(np.allclose(ratings_of(corpus), right, atol=1e-9)), notes


def lines(text: str) -> list[str]:
    return text.splitlines()


def line(number: int, change: Callable[[str], str]) -> Change:
    """Change one line, counted from 1."""
    return lambda text: "\n".join(change(s) if i == number else s for i, s in enumerate(lines(text), start=1)) + "\n"


def cell(clip: int, column: str, value: str, separator: str = ",") -> Change:
    """Change one cell of the ratings: of a clip, counted from 1."""

    def change(text: str) -> str:
        place = lines(text)[0].split(separator).index(column)
        return line(
            clip + 1, lambda s: separator.join([value if i == place else c for i, c in enumerate(s.split(separator))])
        )(text)

    return change


def all_of(*changes: Change) -> Change:
    def change(text: str) -> str:
        for each in changes:
            text = each(text)
        return text

    return change


def every(change: Callable[[str], str]) -> Change:
    return lambda text: "\n".join(change(s) for s in lines(text)) + "\n"


def wrong(name: str, change: Change, *says: str, of: str = RATINGS, midlevel: tuple[str, ...] = ()) -> Case:
    """A case in which one table is changed and the error names it."""
    named = (Path(of).name, *says)
    return Case(name, soundtracks({of: change}, midlevel), CorpusError, named, command=command)


def mended(name: str, change: Change, *notes: str) -> Case:
    """A case in which the ratings come out as they were, with notes."""
    return Case(name, soundtracks({RATINGS: change}, look=unchanged), gives=(True, list(notes)))


TABLES = [
    mended("a byte order mark and CRLF", lambda text: b"\xef\xbb\xbf" + "\r\n".join(lines(text)).encode()),
    mended("carriage returns alone", lambda text: "\r".join(lines(text))),
    mended(
        "semicolons",
        lambda text: text.replace(",", ";"),
        "mean_ratings_set1.csv is separated by ';', not by ',': read so",
    ),
    mended(
        "tabs", lambda text: text.replace(",", "\t"), "mean_ratings_set1.csv is separated by '\\t', not by ',': read so"
    ),
    mended("a comma at the end of every line", every(lambda s: s + ",")),
    mended("blanks around every cell", every(lambda s: s.replace(",", " ,  "))),
    mended("empty rows", lambda text: text + "\n,,,\n", "mean_ratings_set1.csv: empty rows left out, in the lines: 9"),
    wrong(
        "semicolons and decimal commas",
        lambda t: t.replace(",", ";").replace(".", ","),
        "decimal point, not comma",
        *EMOTIONS,
    ),
    wrong(
        "decimal commas",
        every(lambda s: s.replace(".", ",")),
        "more cells than the header",
        "decimal commas?",
        "2, 3, 4",
    ),
    wrong("a quoted decimal comma", cell(2, "sad", '"3,5"'), "column sad holds no number", "002 ('3,5')"),
    wrong(
        "no ids", every(lambda s: "," + s.partition(",")[2] if s[0] == "0" else s), "6 row(s) without an id", "1, 2, 3"
    ),
    wrong("an id twice", cell(3, "number", "2"), "the same id more than once: 002"),
    wrong("two unlike ids of one clip", cell(3, "number", "0002"), "the same id more than once: 002"),
    wrong(
        "values out of range",
        all_of(cell(1, "happy", "9.5"), cell(2, "fear", "0"), cell(3, "sad", "-inf"), cell(4, "anger", "1e999")),
        "happy lies outside 1..9 for: 001 (9.5)",
        "fear lies outside",
        "002 (0)",
        "003 (-inf)",
        "004 (inf)",
    ),
    wrong(
        "text for numbers", all_of(cell(1, "happy", "very"), cell(5, "tender", "0x10")), "001 ('very')", "005 ('0x10')"
    ),
    Case(
        "an empty cell",
        soundtracks({RATINGS: cell(4, "anger", "")}, look=lambda c, _: (c.table["anger"].isna().tolist(), c.notes)),
        gives=(
            [False] * 3 + [True] + [False] * 2,
            ("mean_ratings_set1.csv: no anger (left out of losses and metrics) for: 004",),
        ),
    ),
    wrong(
        "a table cut off",
        lambda text: text[: len(text) * 9 // 10],
        "fewer cells than the header (cut off?), in the lines: 7",
    ),
    wrong("a column twice", line(1, lambda s: s.replace("TARGET", "valence")), "has these columns twice: valence"),
    wrong(
        "columns missing",
        line(1, lambda s: s.replace("sad", "sorrow").replace("fear", "x")),
        "has no column fear, sad",
        "sorrow",
    ),
    wrong("UTF-16", lambda text: text.encode("utf-16"), "is no UTF-8 text", "CSV UTF-8"),
    wrong("Latin-1", lambda text: text.replace("SAD", "TRÄGE").encode("latin-1"), "is no UTF-8 text (line 2)"),
    wrong("null bytes", lambda text: text.replace("SAD", "S\0D"), "null bytes"),
    wrong("an open quotation mark", cell(2, "TARGET", '"SAD'), "is no table separated by ','", "quotation mark"),
    wrong("a header alone", lambda text: lines(text)[0], "holds no rows"),
    wrong("an empty table", lambda text: "", "has no column number", "it has nothing"),
    wrong("a picture for a table", lambda text: b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "no UTF-8 text"),
    wrong("a cell of 200 kB", cell(2, "TARGET", "x" * 200_000), "field larger than field limit"),
    wrong(
        "terminal codes in an id",
        all_of(cell(2, "number", "\x1b[2J\x07"), cell(2, "sad", "very")),
        "holds no number",
        "\\x1b[2J\\x07 ('very')",
    ),
    wrong(
        "a track list that misses clips",
        every(lambda s: "" if s[:3] in ("002", "005") else s),
        "names no album for: 002, 005",
        of=TRACKS,
    ),
    wrong(
        "a track list with a clip twice",
        line(3, lambda s: s.replace("002", "1")),
        "more than once: 001",
        "no album for: 002",
        of=TRACKS,
    ),
]
