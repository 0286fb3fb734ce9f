"""Full disks, folders that cannot be written to, processes that die: said in words, and one call later all is well."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import psutil
import pytest
import soundfile
import torch
from killing import alive, left_behind, until
from safetensors.torch import save_file
from stand_in import LEAVE, NOTEBOOKS, STUDY, TRAINING, Tree

from mer_lib.places import atomic_write

resource = pytest.importorskip("resource", reason="limits of Unix")
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")

# --- every kind of file is there whole or not at all ----------------------------------------------------------------

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 30_000).astype(np.float32)


def draw(path: Path) -> None:
    figure, axes = plt.subplots()
    axes.imshow(NOISE[:10_000].reshape(100, 100))
    figure.savefig(path)
    plt.close(figure)


WRITERS: dict[str, Callable[[Path], object]] = {
    "array.npy": lambda path: np.save(path, NOISE),
    "weights.safetensors": lambda path: save_file({"weights": torch.from_numpy(NOISE)}, path),
    "table.csv": lambda path: pd.DataFrame({"value": NOISE}).to_csv(path, index=False),
    "record.json": lambda path: path.write_text("x" * 9000, "utf-8"),
    "figure.png": draw,
    "sound.flac": lambda path: soundfile.write(path, NOISE, 22_050, format="FLAC", subtype="PCM_24"),
}


@pytest.mark.parametrize("missing", [1, 5000])
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_for_which_there_is_no_room_is_refused_and_the_old_one_stays(tmp_path, name, missing):
    """A limit on the size of files stands for a full disk: writes come back short in the same way."""
    path = tmp_path / name
    whole = atomic_write(path, WRITERS[name]).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) - missing, hard))
    try:
        with pytest.raises(Exception, match=r"(?i)space|large|written|system error|i/o|flac"):
            atomic_write(path, WRITERS[name])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


def test_a_copy_keeps_the_time_of_its_original(tmp_path):
    (tmp_path / "original").write_text("made long ago", "utf-8")
    os.utime(tmp_path / "original", (200, 200))
    copy = atomic_write(tmp_path / "copy", lambda part: shutil.copy2(tmp_path / "original", part))
    assert copy.stat().st_mtime == 200
    assert copy.read_text("utf-8") == "made long ago"


# --- a study on a disk that fills up, in a folder that cannot be written to ------------------------------------------

TWO = {"systems": {"A2E": [21], "aA2E": [21]}, "analyses": STUDY["analyses"][:1]}


@pytest.fixture
def tree(tmp_path) -> Tree:
    tree = Tree.make(tmp_path / "a tree & its $HOME")
    tree.study(**TWO)
    return tree


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A disk of so many bytes, and how to give it another size."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder in which nothing can be written: root is not held by permissions, but by a mount."""
    if os.geteuid():
        folder.chmod(0o555)
    else:
        subprocess.run(["mount", "--bind", folder, folder], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
    try:
        yield
    finally:
        folder.chmod(0o755) if os.geteuid() else subprocess.run(["umount", folder], check=True)


def results(tree: Tree) -> str:
    return (tree.folder / "results.csv").read_text("utf-8")


def finished(tree: Tree) -> str:
    """One call finishes the study and leaves nothing behind; its results."""
    done = tree.run()
    assert done.returncode == 0, done.stdout
    assert not list(tree.data.rglob(".*.part*"))
    return results(tree)


@pytest.mark.faults
@root
def test_a_study_on_a_disk_that_fills_up_goes_on_when_there_is_room(tree, tmp_path):
    undisturbed = finished(tree)
    tree.data = tmp_path / "small disk"
    tree.environment["MER_DATA"] = str(tree.data)
    notebook = (
        LEAVE + 'leave(f"runs/{study}/{system}/seed-{seed}/ballast", "x" * 2_000_000)\n' + NOTEBOOKS["06_attack"][1]
    )
    tree.notebook("06_attack", NOTEBOOKS["06_attack"][0], notebook)
    with disk(tree.data, "8k") as resize:
        for size in ("8k", "24k", "64k", "160k", "400k", "1m"):
            resize(size)
            done = tree.run()
            assert done.returncode in (1, 2), (size, done.stdout)
            assert "No space left" in done.stdout, (size, done.stdout)
            assert "Traceback" not in done.stdout.replace("Traceback (most recent call last)\n    Cell", ""), (
                done.stdout
            )
        resize("100m")
        assert finished(tree) == undisturbed


@pytest.mark.faults
def test_what_nobody_may_write_is_said_before_anything_starts(tree):
    undisturbed = finished(tree)
    tree.study(**TWO, epochs=3)
    for place in (tree.folder, tree.folder / "A2E" / "seed-21", tree.data / "prepared" / "etudes-60clips"):
        with read_only(place):
            done = tree.run()
        assert done.returncode == 2
        assert "cannot be written to" in done.stdout
        assert os.path.relpath(place, tree.data) in done.stdout
        assert "Traceback" not in done.stdout
        assert results(tree) == undisturbed
    assert finished(tree) == undisturbed


# --- two at once ----------------------------------------------------------------------------------------------------


@pytest.mark.faults
def test_two_studies_at_once_share_a_prepared_corpus(tree):
    """The second waits until the first has prepared it, and finds it done."""
    parameters, code = NOTEBOOKS["01_prepare_data"]
    tree.notebook(
        "01_prepare_data",
        parameters,
        LEAVE + 'info = written / f"prepared/{corpus}-{clips}clips/info.json"\n'
        'print("DONE BEFORE" if info.is_file() else "PREPARED", file=(written / "prepared.log").open("a"))\n'
        "time.sleep(3)\n" + f"info.is_file() or {code}",
    )
    other = tree.study(**TWO, study="tiny2").rename(tree.root / "workflow" / "studies" / "tiny2.yaml")
    tree.study(**TWO)
    launchers = [tree.start(), subprocess.Popen([*tree.command()[:2], other.stem], **tree.options)]
    try:
        said = [launcher.communicate(timeout=300)[0] for launcher in launchers]
    finally:
        for launcher in launchers:
            launcher.kill()
    assert [launcher.returncode for launcher in launchers] == [0, 0], said
    assert (tree.data / "prepared.log").read_text().split("\n")[:-1] == ["PREPARED", "DONE BEFORE"]
    assert results(tree) == (tree.data / "runs" / "tiny2" / "results.csv").read_text("utf-8")


# --- what a killed job leaves on other disks ------------------------------------------------------------------------


APART = [pytest.param(kind, marks=pytest.mark.faults) for kind in ("launcher", "job", "papermill")]


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("kind", ["snakemake", "kernel", *APART])
def test_whoever_is_killed_one_call_finishes_the_study(tree, kind):
    """The kernel of a training that waits, or one of those above it; make test-faults kills at random moments."""
    parameters, code = NOTEBOOKS["02_train_a2e"]
    wait = tree.root / "notebooks" / "wait"
    wait.touch()
    tree.notebook("02_train_a2e", parameters, f"{LEAVE}while Path('wait').exists():\n    time.sleep(0.1)\n{code}")
    tree.study(systems={"A2E": [21]}, analyses=STUDY["analyses"][:1])
    started = tree.folder / "A2E" / "seed-21" / "02_train_a2e.json"
    launcher = tree.start()
    try:
        until(lambda: started.is_file() and alive(tree.folder, "kernel"))
        victim = launcher if kind == "launcher" else alive(tree.folder, kind)[0]
        os.kill(victim.pid, signal.SIGKILL)
        said, _ = launcher.communicate(timeout=120)
    finally:
        launcher.kill()
        launcher.communicate()
    assert launcher.returncode == (-signal.SIGKILL if kind == "launcher" else 1), said
    assert not (tree.folder / "A2E" / "seed-21" / "run.json").exists()
    wait.unlink()
    assert ",21,bim," in finished(tree)
    assert list(left_behind(tree.data, tree.folder)) == []


@pytest.mark.faults
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel ends what belongs to a dead job")
def test_nothing_of_a_killed_job_lives_on_or_stays_behind(tree, tmp_path):
    (tmp_path / "tmp").mkdir()
    tree.environment["TMPDIR"] = str(tmp_path / "tmp")
    tree.notebook(
        "02_train_a2e", TRAINING, "import os, time\nprint(os.getpid(), file=open('pid', 'w'))\ntime.sleep(600)"
    )
    launcher = tree.start()
    noted = tree.root / "notebooks" / "pid"
    try:
        until(lambda: noted.is_file() and noted.read_text())
        kernel = psutil.Process(int(noted.read_text()))
        papermill = kernel.parent()
        job = papermill.parent()
        os.kill(job.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs([papermill, kernel], timeout=30)
        assert alive == []
        launcher.communicate(timeout=120)
        assert launcher.returncode == 1
    finally:
        launcher.kill()
        launcher.communicate()
    parameters, code = NOTEBOOKS["02_train_a2e"]
    tree.notebook("02_train_a2e", parameters, LEAVE + code)
    half = tree.data / "prepared" / "etudes-60clips" / ".waveforms.1.part.npy"
    half.touch()
    (half.parent / "info.json").unlink()
    finished(tree)
    assert not half.exists()
    assert list((tmp_path / "tmp").glob("mer-*")) == []
