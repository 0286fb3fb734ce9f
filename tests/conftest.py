"""What all tests share: no display, no threads beyond their worker's, long tests first."""

from __future__ import annotations

import os

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
