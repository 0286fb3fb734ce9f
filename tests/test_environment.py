"""One list of versions for make, conda and CI; notebooks without outputs; nothing large, nothing pickled."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from stand_in import ROOT

from workflow.jobs import notebook_parameters

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
REQUIREMENTS = [
    Requirement(line)
    for line in PROJECT["dependencies"] + [r for extra in PROJECT["optional-dependencies"].values() for r in extra]
]
CONSTRAINTS = [
    line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line and not line.startswith("#")
]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ALL_NOTEBOOKS = sorted(p for p in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
LARGEST_FILE = 2_000_000  # bytes
LARGEST_WEIGHTS = 10_000_000  # of a network of full width, kept in half precision (workflow/kept_weights.py)


def pins() -> dict[str, Version]:
    return {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in CONSTRAINTS)}


def committed() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git here")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


# --- one list of versions -----------------------------------------------------------------------------------------


def test_constraints_are_plain_exact_versions_each_once():
    assert [line for line in CONSTRAINTS if not re.fullmatch(r"[A-Za-z0-9][\w.-]*==\d[\w.]*", line)] == []
    assert len(pins()) == len(CONSTRAINTS)


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_every_dependency_is_met_by_the_constraints(requirement):
    version = pins().get(canonicalize_name(requirement.name))
    assert version is not None, f"{requirement.name} has no line in constraints.txt"
    assert version in requirement.specifier


def test_torch_and_its_audio_alone_are_pinned_in_the_ranges():
    exact = {r.name for r in REQUIREMENTS if any(part.operator == "==" for part in r.specifier)}
    assert exact == {"torch", "torchaudio"}


def test_conda_installs_this_package_by_the_same_constraints():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    python, pip, lines = environment["dependencies"]
    assert environment["channels"] == ["conda-forge"]
    assert pip == "pip"
    assert lines == {"pip": ["-c constraints.txt", "-e .[test]"]}, "no second list of versions"
    version = re.fullmatch(r"python=(3\.\d+)", python)
    assert version
    assert Version(f"{version[1]}.0") in Requirement(f"python{PROJECT['requires-python']}").specifier


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "constraints.txt", "environment.yml", "Makefile", ".ci/run", ".pre-commit-config.yaml"]
)
def test_no_file_of_the_installation_names_an_index_or_a_place_on_one_machine(name):
    text = (ROOT / name).read_text("utf-8")
    found = re.findall(r"(?:index-url|find-links|trusted-host|file://|/home/|/root/|/opt/).*", text)
    assert found == []


def test_the_readme_gives_the_conda_way_and_windows():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "conda env create -f environment.yml" in readme
    assert "Windows" in readme
    assert "make demo" in readme


# --- notebooks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ALL_NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_valid_and_stored_without_outputs(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell for cell in cells if cell.outputs or cell.execution_count is not None] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_first_code_cell_holds_the_parameters_as_plain_literals(path):
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    tagged = [number for number, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])]
    assert tagged == [0]
    assert "data_dir" in notebook_parameters(path)


# --- what is committed --------------------------------------------------------------------------------------------


def test_no_committed_file_is_large():
    def limit(path: Path) -> int:
        kept = path.name == "weights.safetensors" and path.is_relative_to(ROOT / "figures")
        return LARGEST_WEIGHTS if kept else LARGEST_FILE

    large = [path.relative_to(ROOT).as_posix() for path in committed() if path.stat().st_size > limit(path)]
    assert large == []


def code() -> Iterator[tuple[str, ast.AST]]:
    """Every statement and expression of the library, the workflow and the notebooks."""
    for path in [*(ROOT / "mer_lib").rglob("*.py"), *(ROOT / "workflow").rglob("*.py")]:
        yield from ((path.name, node) for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    for path in ALL_NOTEBOOKS:
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "code":
                source = re.sub(r"^\s*[%!].*$", "", cell.source, flags=re.MULTILINE)
                yield from ((path.name, node) for node in ast.walk(ast.parse(source)))


def executes(node: ast.AST) -> bool:
    """Whether a piece of code may execute what it reads."""
    modules = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] in modules for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] in modules
    if isinstance(node, ast.keyword):
        return node.arg == "allow_pickle" and not (isinstance(node.value, ast.Constant) and node.value.value is False)
    if isinstance(node, ast.Attribute):
        return ast.unparse(node) in ("torch.load", "torch.save") or node.attr in ("read_pickle", "to_pickle")
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec")


def test_nothing_executes_what_it_reads():
    assert [f"{name}: {ast.unparse(node)}" for name, node in code() if executes(node)] == []


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from joblib import load", "torch.load(x)", "np.load(x, allow_pickle=True)", "eval(x)"],
)
def test_that_test_can_fail(source):
    assert any(executes(node) for node in ast.walk(ast.parse(source)))
