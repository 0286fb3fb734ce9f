"""Bad checkpoints and prepared corpora: damaged, of another system, width or version, forged, or pickled."""

from __future__ import annotations

import functools
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from mer_lib.audio import EXCERPT_SAMPLES
from mer_lib.dataset import EMOTIONS, MIDLEVEL
from mer_lib.models import build
from mer_lib.prepared import INFO, PreparedError, load_prepared
from mer_lib.runs import RunError, load_run, save_run, weights_digest
from tests.bad_case import Case, Change, pickled_bait, text

HISTORY = pd.DataFrame({"epoch": [1], "valid_score": [0.5]})


@functools.cache
def right_run(system: str = "A2E", width: float = 0.0625) -> dict[str, bytes]:
    """The files of a finished run."""
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        save_run(folder, build(system, width), {"study": "s", "seed": 3}, HISTORY)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def run(change: Change) -> Callable:
    """A finished run, changed."""

    def make(folder: Path) -> Callable[[], object]:
        for name, data in right_run().items():
            (folder / name).write_bytes(data)
        change(folder)
        return lambda: load_run(folder)

    return make


def weights(data: bytes | Callable[[bytes], bytes]) -> Change:
    """Other bytes for the weights."""

    def change(folder: Path) -> None:
        path = folder / "weights.safetensors"
        path.write_bytes(data(path.read_bytes()) if callable(data) else data)

    return change


def tensors(
    change: Callable[[dict[str, torch.Tensor]], object], about: str = "A2E", signed: bool = True, **metadata: str
) -> Change:
    """Other tensors under the right name; signed: run.json names their digest, as a forger would see to."""

    def apply(folder: Path) -> None:
        path = folder / "weights.safetensors"
        found = load_file(path)
        change(found)
        save_file(found, path, metadata={"format": "1", "system": about, "width": "0.0625", **metadata})
        if signed:
            record(weights_sha256=weights_digest(folder))(folder)

    return apply


def record(**changes: object) -> Change:
    """Other entries in run.json; None takes one out."""

    def change(folder: Path) -> None:
        info = json.loads((folder / "run.json").read_text()) | changes
        (folder / "run.json").write_text(json.dumps({key: value for key, value in info.items() if value is not None}))

    return change


def archived_bait(folder: Path) -> None:
    """Weights as torch.save leaves them: an archive with a pickle."""
    with zipfile.ZipFile(folder / "weights.safetensors", "w") as file:
        file.writestr("archive/data.pkl", pickled_bait(folder))


def a_folder(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    (folder / "weights.safetensors").mkdir()


def checkpoint(name: str, change: Change, *says: str) -> Case:
    return Case(f"a checkpoint {name}", run(change), RunError, says)


FORGED = {"format": 2, "system": "<b>", "width": "wide", "weights_sha256": None}
CHECKPOINTS = [
    checkpoint(
        "of another system",
        weights(lambda _: right_run("A2B2E")["weights.safetensors"]),
        "system A2B2E instead of A2E",
        "give the folder of the right one",
    ),
    checkpoint(
        "of another width",
        weights(lambda _: right_run("A2E", 0.125)["weights.safetensors"]),
        "width 0.125 instead of 0.0625",
    ),
    checkpoint(
        "of another system and width",
        weights(lambda _: right_run("A2M2E", 0.125)["weights.safetensors"]),
        "A2M2E",
        "0.125",
    ),
    checkpoint("of another version", tensors(lambda t: None, format="2"), "holds format 2 instead of 1"),
    checkpoint("record of another version", record(format=2), "format 2, this version reads 1"),
    checkpoint(
        "cut off",
        weights(lambda data: data[:-100]),
        "weights.safetensors: not a readable safetensors file",
        "train the run again",
    ),
    checkpoint(
        "with a damaged header", weights(lambda data: data[:8] + b"x" + data[9:]), "not a readable safetensors file"
    ),
    checkpoint(
        "with a damaged weight",
        weights(lambda data: data[:-1] + bytes([data[-1] ^ 1])),
        "not the file that run.json describes",
    ),
    checkpoint("that is empty", weights(b""), "not a readable safetensors file"),
    checkpoint(
        "that is a pickle", lambda folder: weights(pickled_bait(folder))(folder), "not a readable safetensors file"
    ),
    checkpoint("that torch.save wrote", archived_bait, "not a readable safetensors file"),
    checkpoint("that is a folder", a_folder, "not a readable safetensors file"),
    checkpoint("with NaN", tensors(lambda t: t["emotion_head.bias"].fill_(np.nan)), "not finite: emotion_head.bias"),
    checkpoint(
        "with whole numbers",
        tensors(lambda t: t.update({"emotion_head.bias": torch.zeros(8, dtype=torch.int32)})),
        "of another kind of number: emotion_head.bias",
    ),
    checkpoint(
        "with wrong tensors",
        tensors(lambda t: (t.pop("emotion_head.bias"), t.update({"extra": torch.zeros(1), "mean": torch.zeros(3)}))),
        "missing: emotion_head.bias",
        "unknown: extra",
        "of another shape: mean",
    ),
    checkpoint("whose record is cut off", text("run.json", '{"system": '), "run.json cannot be read"),
    checkpoint("whose record is a list", text("run.json", "[]"), "run.json holds no JSON object"),
    checkpoint("whose record is nested to the sky", text("run.json", "[" * 200_000), "run.json cannot be read"),
    checkpoint(
        "whose record is wrong throughout",
        record(**FORGED),
        "format 2",
        "system '<b>' is none of A2E, A2B2E",
        "width 'wide'",
        "no weights_sha256",
    ),
    checkpoint(
        "of a width that takes all memory", record(width=1e9), "width '1000000000.0' is no number above 0 and up to 4"
    ),
    checkpoint("of infinite width", record(width=float("inf")), "width 'inf' is no number"),
    checkpoint(
        "whose curve and record are no text",
        lambda folder: (text("history.csv", b"\xff\xfe\0")(folder), text("run.json", b"\xff")(folder)),
        "history.csv cannot be read",
        "run.json cannot be read",
    ),
]


def arrays(change: Change) -> Callable:
    """A prepared corpus of two clips, changed."""

    def make(folder: Path) -> Callable[[], object]:
        np.save(folder / "waveforms.npy", np.zeros((2, EXCERPT_SAMPLES), np.float32))
        np.save(folder / "spectrograms.npy", np.zeros((2, 313, 149), np.float32))
        pd.DataFrame({"id": ["a", "b"], "group": "g", **dict.fromkeys(EMOTIONS + MIDLEVEL, 0.5)}).to_csv(
            folder / "table.csv", index=False
        )
        (folder / "info.json").write_text(json.dumps(dict.fromkeys(INFO, "x") | {"format": 1, "shortcut": {}}))
        change(folder)
        return lambda: load_prepared(folder)

    return make


def header(text: bytes, data: bytes = b"") -> Change:
    """An array whose header, a Python dictionary, says this."""
    start = b"\x93NUMPY\x01\0" + bytes([118, 0]) + text.ljust(117) + b"\n"
    return lambda folder: (folder / "waveforms.npy").write_bytes(start + data)


def objects(folder: Path) -> None:
    """An array of Python objects, which numpy stores as a pickle."""
    header(b"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", pickled_bait(folder))(folder)


def damaged(name: str, change: Change, *says: str) -> Case:
    return Case(f"a prepared corpus {name}", arrays(change), PreparedError, ("remove it and prepare it again", *says))


def throughout(folder: Path) -> None:
    """Every file wrong in its own way."""
    (folder / "info.json").write_text("{}")
    (folder / "table.csv").write_text("id,valence\na,loud\n")
    np.save(folder / "waveforms.npy", np.zeros((2, 7)))
    (folder / "spectrograms.npy").unlink()


PREPARED = [
    damaged("with pickled arrays", objects, "waveforms.npy is no array of numbers"),
    damaged(
        "that is a pickle",
        lambda folder: (folder / "waveforms.npy").write_bytes(pickled_bait(folder)),
        "waveforms.npy is no array",
    ),
    damaged(
        "cut off",
        lambda folder: (folder / "waveforms.npy").write_bytes((folder / "waveforms.npy").read_bytes()[:-9]),
        "waveforms.npy is no array of numbers, or cut off",
    ),
    damaged("with a header cut off", header(b"{'descr': '<f4', 'shape': (2,"), "waveforms.npy is no array of numbers"),
    damaged("with a header that is no dictionary", header(b"  {\n {"), "waveforms.npy is no array of numbers"),
    damaged(
        "of other clips",
        lambda folder: np.save(folder / "spectrograms.npy", np.zeros((3, 313, 149), np.float32)),
        "spectrograms.npy holds float32 (3, 313, 149) instead of float32 (2, 313, 149)",
    ),
    damaged("without a record", text("info.json", "null"), "info.json is no JSON object"),
    damaged(
        "wrong throughout",
        throughout,
        "info.json lacks format, corpus",
        "lacks the columns group, energy",
        "no number in valence",
        "float64 (2, 7)",
        "spectrograms.npy",
        "5 problem(s)",
    ),
    Case(
        "a prepared corpus of another version",
        arrays(lambda f: (f / "info.json").write_text('{"format": 9}')),
        PreparedError,
        ("format 9, this version reads 1: prepare it again",),
    ),
]
