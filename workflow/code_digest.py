"""What a notebook computes, as two short digests: of its code, and of the mer_lib files that this code reaches.

Snakemake runs a job again when one of them changes. Text cells, comments and docstrings do not count, nor do the files
that only draw or play: mending a sentence or a figure's colour must not cost hours of training.
"""

from __future__ import annotations

import ast
import hashlib
import json
from functools import cache
from pathlib import Path


def draws(module: str) -> bool:
    """Whether a module of mer_lib only draws or plays."""
    return module.endswith("plots") or module.startswith("listening")


def notebook_code(path: Path) -> list[str]:
    """Sources of a notebook's code cells, magics left out and the `parameters` cell too (its values are parameters)."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return [
        "\n".join(line for line in "".join(cell["source"]).splitlines() if not line.lstrip().startswith(("%", "!")))
        for cell in cells
        if cell["cell_type"] == "code" and "parameters" not in cell.get("metadata", {}).get("tags", [])
    ]


def imported_modules(source: str) -> set[str]:
    """Names of the mer_lib modules that a piece of code imports, absolutely or (inside mer_lib) relatively."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("mer_lib.")}
        elif isinstance(node, ast.ImportFrom):
            module = ("mer_lib." + (node.module or "") if node.level else node.module or "").rstrip(".")
            if module == "mer_lib":
                names |= {alias.name for alias in node.names}
            elif module.startswith("mer_lib."):
                names.add(module.split(".")[1])
    return names


def meaning(source: str) -> str:
    """The code without comments, layout and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


@cache
def notebook_digest(notebook: Path) -> str:
    """Digest of a notebook's own code."""
    return _digest([meaning(source) for source in notebook_code(notebook)])


@cache
def library_digest(notebook: Path, library: Path, *, drawn: bool = False) -> str:
    """Digest of every library file that a notebook's code reaches.

    Parameters
    ----------
    notebook
        The ``.ipynb`` file.
    library
        The folder ``mer_lib``.
    drawn
        Count the files that draw and play too: true for notebooks whose result is figures.
    """
    waiting = {name for source in notebook_code(notebook) for name in imported_modules(source)}
    reached: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        path = library / f"{name}.py"
        if name in reached or not path.is_file() or (draws(name) and not drawn):
            continue
        reached[name] = path.read_text("utf-8")
        waiting |= imported_modules(reached[name])
    return _digest([f"{name}: {meaning(reached[name])}" for name in sorted(reached)])


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
