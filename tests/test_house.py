"""The library is a house: every file has its place in the list, and stands only on files named before it."""

from __future__ import annotations

import ast
import re

import mer_lib
from mer_lib.places import ROOT

LISTED = re.findall(r"``(\w+)``", mer_lib.__doc__)
LONGEST = 310  # lines; a file is read at one sitting


def imported(name: str) -> set[str]:
    """Files of the library that a file imports, at its top or within a function."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / "mer_lib" / f"{name}.py").read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "mer_lib":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mer_lib."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("mer_lib.")}
    return found - {"__version__"}


def test_every_file_is_listed_once():
    assert sorted(LISTED) == sorted(path.stem for path in (ROOT / "mer_lib").glob("*.py") if path.stem != "__init__")


def test_a_file_imports_only_from_those_named_before_it():
    above = {name: imported(name) - set(LISTED[: LISTED.index(name)]) for name in LISTED}
    assert {name: later for name, later in above.items() if later} == {}


def test_a_file_is_read_at_one_sitting():
    lengths = {name: len((ROOT / "mer_lib" / f"{name}.py").read_text("utf-8").splitlines()) for name in LISTED}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}
