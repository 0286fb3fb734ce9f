"""Every notebook runs to its end from a fresh kernel with its default parameters, and is stored as one writes it."""

import ast
import os
import re
import subprocess
import sys
import time

import filelock
import nbformat
import pandas as pd
import pytest

from mer_lib.places import ROOT

STUDY = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("[0-9][0-9]_*.ipynb"))
ALL = [*STUDY, *SOLUTIONS]
LIMIT_SECONDS = int(os.environ.get("MER_NOTEBOOK_SECONDS", "600"))  # a notebook that hangs, not one that is slow


def stem(path):
    return path.stem


class Place:
    """Where notebooks are executed, each once; later ones find the runs of earlier ones."""

    def __init__(self, folder):
        self.folder, self.data = folder, folder / "data"
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, path):
        """Papermill in a process of its own, under a limit from outside: its own limit leaves exit status 0."""
        target, part = self.folder / path.name, self.folder / f"part-{path.name}"
        if target.is_file():
            return nbformat.read(target, 4)
        environment = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}  # the kernel chooses its own
        environment |= {"MER_DATA": str(self.data), "PYTHONPATH": str(ROOT), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        command = [
            sys.executable,
            "-m",
            "papermill",
            "--kernel",
            "python3",
            "--no-progress-bar",
            "--log-level",
            "ERROR",
        ]
        begin = time.perf_counter()
        done = subprocess.run(
            [*command, "--cwd", str(path.parent), str(path), str(part)],
            env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, f"{path.stem} failed:\n{done.stderr[-3000:]}"
        print(f"{path.stem} {time.perf_counter() - begin:.0f} s")
        os.replace(part, target)
        return nbformat.read(target, 4)


@pytest.fixture
def place(tmp_path_factory):
    """One place for all workers of a parallel test run; one notebook at a time."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "executed-notebooks"
    with filelock.FileLock(str(folder) + ".lock"):
        yield Place(folder)


def outputs(notebook, kind):
    return [
        output["data"][kind]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if kind in output.get("data", {})
    ]


def test_every_notebook_has_its_solutions():
    numbers = [path.name[:2] for path in STUDY]
    assert {f"{i:02d}" for i in range(9)} <= set(numbers) and len(set(numbers)) == len(numbers)
    assert [path.name[:2] for path in SOLUTIONS] == numbers


@pytest.mark.parametrize("path", ALL, ids=stem)
def test_a_notebook_is_stored_without_outputs_and_with_fixed_ids(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    ids = [cell["id"] for cell in notebook.cells]
    assert len(set(ids)) == len(ids) and all(name.startswith(path.name[:2]) for name in ids)
    assert notebook.metadata.kernelspec.name == "python3" and "widgets" not in notebook.metadata


@pytest.mark.parametrize("path", ALL, ids=stem)
def test_the_first_code_cell_holds_the_parameters_as_plain_literals(path):
    code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert code[0].metadata.get("tags") == ["parameters"]
    assert not any("parameters" in cell.metadata.get("tags", []) for cell in code[1:])
    for statement in ast.parse(code[0].source).body:
        assert isinstance(statement, ast.Assign) and len(statement.targets) == 1
        ast.literal_eval(statement.value)
    names = {statement.targets[0].id for statement in ast.parse(code[0].source).body}
    used = {
        node.id
        for cell in code[1:]
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    assert names <= used, f"parameters that nothing uses: {names - used}"


@pytest.mark.parametrize("path", STUDY, ids=stem)
def test_a_notebook_tells_and_calls_and_holds_no_algorithm(path):
    notebook = nbformat.read(path, 4)
    told = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert told.startswith("# ") and "## Exercises" in told and "Caveat" in told
    assert "paper" in told, "says where the study does it"
    exercises = re.findall(r"^\d\. ", told.split("## Exercises")[1], re.MULTILINE)
    assert 2 <= len(exercises) <= 4
    for cell in notebook.cells:
        if cell.cell_type == "code":
            kinds = {type(node) for node in ast.walk(ast.parse(cell.source))}
            assert not kinds & {ast.FunctionDef, ast.ClassDef, ast.While, ast.Lambda}, cell.source
            assert len(cell.source.splitlines()) <= 25, "a cell fits a screen"


@pytest.mark.slow
def test_the_notebooks_run_in_their_order_and_leave_a_study(place):
    executed = {path.stem: place.run(path) for path in STUDY}
    for name, notebook in executed.items():
        assert outputs(notebook, "image/png"), f"{name} shows no picture"
    results = pd.read_csv(place.data / "runs" / "smoke" / "results.csv")
    assert "A2E" in set(results["system"]) and set(results["domain"]) == {"spectrogram", "waveform"}
    assert (results["linf_max"] <= results["epsilon"]).all(), "the budget holds"
    figures = place.data / "figures" / "smoke"
    assert {"figure-3", "figure-4", "cost"} <= {path.stem for path in figures.glob("*.png")}
    assert {path.stem for path in figures.glob("*.png")} <= {path.stem for path in figures.glob("*.csv")}
    players = [page for page in outputs(executed["07_listen"], "text/html") if "mer-player" in page]
    assert len(players) >= 2
    assert not any(re.search(r"""(?:src|href)=["']https?:""", page) for page in players), "plays without the web"
    assert all(len(page) < 1.5e6 for page in players if "mer-abx" not in page), "a player of 10 s stays small"


@pytest.mark.slow
def test_the_solutions_run_after_their_notebooks(place):
    for path in [*STUDY, *SOLUTIONS]:
        place.run(path)
