"""Whatever bytes stand in a file: it is read as promised or refused with its documented error, in bounded time."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.readers import READERS

LONGEST_SECONDS = 10.0  # of computing for one file; not of waiting, which says how busy the machine is
FACTOR = int(os.environ.get("MER_FUZZ", "1"))  # so many times the examples
SCRIPT = Path(__file__).parent / "fuzz" / "fuzz.py"
EXAMPLES = {"audio": 60, "study": 60, "weights": 40, "prepared_array": 15}
few = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}

# What tables, YAML and JSON trip over
TOKENS = (
    b"", b"\0", b"\r", b"\n", b'"', b"'", b",", b";", b"\t", b": ", b"- ", b"~", b"&a", b"*a", b"{}", b"[]", b"<b>",
    b"=1+1", b"nan", b"inf", b"1e999", b"-1", b"NA", b"null", b"../../x", b"/etc/passwd", b"\xef\xbb\xbf", b"\xff\xfe",
    b"\xe2\x82\xac", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"9" * 5000, b"[" * 900, b"\x80\x04\x95", b"PK\x03\x04",
    b"!!python/object/apply:os.system [true]",
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """A right file after a few cuts, copies, flips and insertions; most near its beginning, where headers are."""
    for _ in range(draw(st.integers(1, 4))):
        size = len(data)
        start = draw(st.integers(0, min(size, 300)) | st.integers(0, size))
        end = min(size, start + draw(st.integers(0, 8) | st.integers(0, size)))
        how = draw(st.sampled_from(["cut", "flip", "insert", "replace", "copy", "end"]))
        if how == "cut":
            data = data[:start] + data[end:]
        elif how == "flip" and start < size:
            data = data[:start] + bytes([data[start] ^ (1 << draw(st.integers(0, 7)))]) + data[start + 1 :]
        elif how == "insert":
            data = data[:start] + draw(st.sampled_from(TOKENS) | st.binary(max_size=8)) + data[start:]
        elif how == "replace":
            data = data[:start] + draw(st.sampled_from(TOKENS) | st.binary(max_size=8)) + data[end:]
        elif how == "copy":
            data = data[:end] + data[start:end] + data[end:]
        elif how == "end":
            data = data[:start]
    return data


def timed(name: str, data: bytes) -> bool:
    begin = time.process_time()
    taken = READERS[name](data)
    assert time.process_time() - begin < LONGEST_SECONDS
    return taken


@pytest.mark.parametrize("name", READERS)
def test_right_files_are_taken(name):
    """Else nothing but refusals would be tested. (The archive holds a member that climbs out.)"""
    assert all(timed(name, seed) for seed in READERS[name].corpus) != (name == "archive")


@pytest.mark.parametrize("name", READERS)
def test_mutated_files_are_read_as_promised_or_refused(name):
    @settings(max_examples=FACTOR * EXAMPLES.get(name, 25), **few)
    @given(st.sampled_from(READERS[name].corpus).flatmap(mutated) | st.binary(max_size=60))
    def check(data: bytes) -> None:
        timed(name, data)

    check()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("name", ["record", "prepared_info", "plan"])
def test_no_value_in_a_record_breaks_its_reader(name):
    right = json.loads(READERS[name].corpus[0])

    @settings(max_examples=FACTOR * 25, **few)
    @given(st.dictionaries(st.sampled_from(sorted(right)), VALUES, min_size=1, max_size=3) | VALUES)
    def check(changes: object) -> None:
        timed(name, json.dumps(right | changes if isinstance(changes, dict) else changes).encode())

    check()


@pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="atheris is not installed: see tests/fuzz/fuzz.py")
def test_the_script_for_atheris_runs():
    command = [sys.executable, str(SCRIPT), "plan", "-runs=200", "-max_total_time=30"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "Done 200 runs" in done.stderr, done.stderr[-2000:]
