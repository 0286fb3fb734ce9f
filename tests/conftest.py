"""What all tests share: no display, no threads beyond their worker's, long tests first."""

from __future__ import annotations

import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: workers share the cores
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import pytest

# No time limit for an example: workers share the cores. The same examples every time where many must agree.
hypothesis.settings.register_profile("study", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("study")


# Minutes each, and a Slurm of their own or much killing: they have targets of their own
APART = {
    "slurm": "a study on a real Slurm of one node: make test-slurm",
    "faults": "many kills, full disks, strangers' machines: make test-faults",
}


@pytest.fixture(scope="session")
def micro_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout for the smallest study with real notebooks."""
    from micro import copy_checkout

    return copy_checkout(tmp_path_factory.mktemp("micro") / "copy")


@pytest.fixture(scope="session")
def undisturbed(micro_checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], float]:
    """What an undisturbed run of that study leaves, as digests by file, and its seconds."""
    from micro import Micro

    micro = Micro(micro_checkout, tmp_path_factory.mktemp("undisturbed") / "one job at once")
    begin = time.monotonic()
    micro.run("--cores", "1")
    return micro.results(), time.monotonic() - begin


def pytest_addoption(parser: pytest.Parser) -> None:
    """--slurm and --faults."""
    for name, what in APART.items():
        parser.addoption(f"--{name}", action="store_true", help=f"run what is marked so too: {what}")


def pytest_configure(config: pytest.Config) -> None:
    """Register their markers."""
    for name, what in APART.items():
        config.addinivalue_line("markers", f"{name}: {what}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start the slow tests first, so that no worker is left alone with one at the end; skip what has a target apart."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for name, what in APART.items():
        if not config.getoption(name):
            for item in items:
                if item.get_closest_marker(name):
                    item.add_marker(pytest.mark.skip(reason=what))
