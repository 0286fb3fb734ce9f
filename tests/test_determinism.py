"""The same study gives the same bytes: with one job at once and with two, and however often it is killed on the way.

Real notebooks, the smallest study (tests/micro.py); an undisturbed run of it takes a minute on two idle cores.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time

import psutil
import pytest
from killing import TARGETS, alive, left_behind
from micro import ASIDE, Micro, as_it_stands

KILLS = int(os.environ.get("MER_KILLS", "20"))
SEED = int(os.environ.get("MER_KILL_SEED", "0"))


def test_times_are_left_out_and_no_digit_else(tmp_path):
    """A table is compared as it stands, to the last digit."""
    table = tmp_path / "table.csv"
    table.write_text("system,train_seconds,mae\nA2E,1.5,0.10000000000000001\n", "utf-8")
    first = as_it_stands(table)
    table.write_text("system,train_seconds,mae\nA2E,9.5,0.10000000000000001\n", "utf-8")
    assert as_it_stands(table) == first
    table.write_text("system,train_seconds,mae\nA2E,1.5,0.1\n", "utf-8")
    assert as_it_stands(table) != first
    assert set(ASIDE) == {"seconds", "train_seconds", "attack_seconds", "commit"}


@pytest.mark.faults
def test_two_jobs_at_once_change_no_byte(micro_checkout, undisturbed, tmp_path):
    """Nor does what the caller says of threads: the study's file says how many a job has."""
    micro = Micro(micro_checkout, tmp_path / "two jobs at once")
    micro.environment |= {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    micro.run("--cores", "2")
    results = micro.results()
    assert {"runs/micro/results.csv", "runs/micro/aA2E/seed-21/weights.safetensors"} <= set(results)
    assert results == undisturbed[0]


def kill_something(micro: Micro, launcher: subprocess.Popen, chance: random.Random, latest: float) -> str:
    """Wait for a random moment, then kill a random process by a random signal; what was done, or nothing."""
    kind = chance.choice(list(TARGETS))
    number = chance.choice([signal.SIGKILL, signal.SIGTERM])
    moment = time.monotonic() + chance.uniform(0, latest)
    while launcher.poll() is None:
        victims = [psutil.Process(launcher.pid)] if kind == "launcher" else alive(micro.folder, kind)
        if victims and time.monotonic() >= moment:
            with contextlib.suppress(psutil.NoSuchProcess):
                chance.choice(victims).send_signal(number)
                return f"{kind} {number.name}"
        time.sleep(0.1)
    return ""


@pytest.mark.faults
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_however_often_it_is_killed_one_call_finishes_with_the_same_bytes(micro_checkout, undisturbed, tmp_path):
    """Twenty kills at random moments; whenever a call gets through, its results are compared and it starts anew."""
    expected, seconds = undisturbed
    micro, chance, done, through = Micro(micro_checkout, tmp_path / "killed"), random.Random(SEED), [], 0
    begin = time.monotonic()

    def check() -> None:
        assert micro.results() == expected, done
        assert list(left_behind(micro.data, micro.folder)) == [], done

    while len(done) < KILLS:
        launcher = micro.start("--cores", "2")
        try:
            what = kill_something(micro, launcher, chance, 0.6 * seconds)
            if "launcher SIGKILL" not in what:  # what it does about it
                said, _ = launcher.communicate(timeout=3 * seconds + 120)
                assert "Traceback (most recent call last)" not in said or "cell" in said, said
        finally:
            launcher.kill()
            launcher.communicate()
        if what:
            done.append(what)
            print(f"kill {len(done)}, {time.monotonic() - begin:.0f} s: {what}", flush=True)
        if launcher.returncode == 0:
            check()
            shutil.rmtree(micro.data)
            through += 1
    micro.run("--cores", "2")
    check()
    print(f"{len(done)} kills with seed {SEED}, results compared {through + 1} times, {time.monotonic() - begin:.0f} s")
