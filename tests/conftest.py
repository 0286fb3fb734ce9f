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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the slow tests first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
