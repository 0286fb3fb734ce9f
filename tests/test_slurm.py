"""The workflow on a real Slurm of one node: jobs lost are run again, a submitter that dies leaves no duplicates.

The training notebook is a stand-in that notes each of its starts, holds a lock as long as it lives (so that a second
one at the same time would be seen) and waits until it is told to go on.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator

import pandas as pd
import psutil
import pytest
import slurm_node
from stand_in import LEAVE, NOTEBOOKS, STUDY, TRAINING, Tree

from workflow import processes

pytestmark = [pytest.mark.slurm, pytest.mark.skipif(bool(slurm_node.missing()), reason=slurm_node.missing())]

SEEDS = (21, 42)
WAITING = """
import fcntl
written.mkdir(parents=True, exist_ok=True)
lock = (written / f"lock-{seed}").open("w")
starts = (written / f"starts-{seed}").open("a")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print(os.environ["SLURM_JOB_ID"], file=starts, flush=True)
except OSError:
    print("ANOTHER IS AT WORK", file=starts, flush=True)
while not (written / "go").exists():
    time.sleep(0.2)
"""
NOTE = """
print(os.environ["SLURM_JOB_ID"], os.environ.get("CUDA_VISIBLE_DEVICES"), file=(written / f"attacked-{seed}").open("w"))
"""
ARGUMENTS = [
    *("--profile", "slurm", "--gpus", "1", "--"),
    *("--slurm-status-command", "squeue", "--default-resources", "mem_mb=500", "--latency-wait", "10"),
    # Its intervals grow by ten seconds whenever nothing has ended
    *("--slurm-init-seconds-before-status-checks", "12", "--seconds-between-status-checks", "4"),
]


@pytest.fixture(scope="module")
def node() -> Iterator[slurm_node.Node]:
    with slurm_node.running() as node:
        yield node


@pytest.fixture(scope="module")
def tree(node, tmp_path_factory) -> Iterator[Tree]:
    tree = Tree.make(tmp_path_factory.mktemp("slurm") / "a tree & its $HOME")
    tree.environment |= {name: node.environment[name] for name in ("SLURM_CONF", "PATH")}
    tree.notebook("02_train_a2e", TRAINING, LEAVE + WAITING + NOTEBOOKS["02_train_a2e"][1])
    parameters, code = NOTEBOOKS["06_attack"]
    tree.notebook("06_attack", parameters, LEAVE + NOTE + code)
    yield tree
    end_all_of(tree)


def end_all_of(tree: Tree) -> None:
    """A node that is said to be down goes on in truth, and without cgroups Slurm loses sight of what ran on it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get("MER_DATA") == str(tree.data):
                found.append(process)
    processes.end(found)


def study(tree: Tree, **changes: object) -> None:
    """Write the study and forget what the trainings have noted so far."""
    tree.study(systems={"A2E": list(SEEDS)}, analyses=STUDY["analyses"][:1], **changes)
    for path in (*tree.data.glob("starts-*"), tree.data / "go"):
        path.unlink(missing_ok=True)


def starts(tree: Tree, seed: int) -> list[str]:
    path = tree.data / f"starts-{seed}"
    return path.read_text("utf-8").split("\n")[:-1] if path.is_file() else []


def until(true: Callable[[], object], seconds: float = 150) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.2)


def both_started(tree: Tree, times: int = 1) -> Callable[[], bool]:
    return lambda: all(len(starts(tree, seed)) >= times for seed in SEEDS)


def finished(tree: Tree, launcher: object) -> str:
    """Let the trainings go on and wait for the launcher."""
    (tree.data / "go").touch()
    said, _ = launcher.communicate(timeout=240)
    assert launcher.returncode == 0, said + (tree.folder / "snakemake.log").read_text("utf-8")[-5000:]
    assert not [seed for seed in SEEDS if "ANOTHER IS AT WORK" in starts(tree, seed)]
    results = pd.read_csv(tree.folder / "results.csv")
    assert sorted(results["seed"]) == sorted(SEEDS)
    return said


def test_a_cancelled_job_and_one_of_a_failed_node_run_again(tree, node):
    study(tree)
    launcher = tree.start(*ARGUMENTS)
    try:
        until(both_started(tree))
        first, second = (starts(tree, seed)[0] for seed in SEEDS)
        assert set(node.jobs("RUNNING")) == {first, second}, "a run is one Slurm job"
        asked = node.call("scontrol", "show", "job", first).stdout
        assert re.search(r"TresPerJob=\S*gpu:1\b", asked), asked
        assert "CPUs/Task=1" in asked
        node.call("scancel", first)
        until(lambda: first not in node.jobs())
        node.call("scontrol", "update", "nodename=node", "state=down", "reason=test")  # it comes back by itself
        until(both_started(tree, 2))
        said = finished(tree, launcher)
    finally:
        launcher.kill()
        launcher.communicate()
    again = [starts(tree, seed) for seed in SEEDS]
    assert [len(times) for times in again] == [2, 2]
    assert again[0][1] != first, "Snakemake submits what was cancelled as a new job"
    assert again[1][1] == second, "Slurm starts the node's job again itself"
    for times, seed in zip(again, SEEDS, strict=True):
        job, gpu = (tree.data / f"attacked-{seed}").read_text("utf-8").split()
        assert job == times[-1], "training and attacks of a run are one Slurm job"
        assert gpu in ("0", "1"), "it is given the GPU that it asked for"
    assert "6 of 6" in said
    assert node.jobs() == []


def test_a_submitter_that_is_stopped_or_killed_leaves_no_duplicates(tree, node):
    study(tree, epochs=3)
    launcher = tree.start(*ARGUMENTS)
    try:
        until(both_started(tree))
        launcher.send_signal(signal.SIGTERM)
        launcher.communicate(timeout=120)
        assert launcher.returncode == 128 + signal.SIGTERM
        assert node.jobs() == []

        launcher = tree.start(*ARGUMENTS)
        until(both_started(tree, 2))
        launcher.kill()
        launcher.communicate()
        left = node.jobs("RUNNING")
        assert len(left) == len(SEEDS), "Slurm's jobs live on"

        launcher = tree.start(*ARGUMENTS)
        until(both_started(tree, 3))
        assert set(node.jobs("RUNNING")).isdisjoint(left)
        said = finished(tree, launcher)
    finally:
        launcher.kill()
        launcher.communicate()
    assert f"Cancelled {len(SEEDS)} Slurm job(s)" in said
    assert all(len(starts(tree, seed)) == 3 for seed in SEEDS)
