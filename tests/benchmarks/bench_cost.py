"""What an attack costs against the number of clips, of steps, and the width of the network."""

from __future__ import annotations

import time
from statistics import median

import pytest
import torch

from mer_lib.bim import BIM
from mer_lib.models import build
from mer_lib.winograd import direct_only
from tests.benchmarks.measuring import Size, gflop
from tests.benchmarks.report import Report

WIDTHS = (0.25, 0.5, 0.75, 1.0)


@pytest.fixture(scope="module")
def networks() -> dict[float, torch.nn.Module]:
    """Untrained networks of several widths: the cost does not depend on the weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {width: build("A2E", width).eval() for width in WIDTHS}


def test_cost(benchmark: object, size: Size, report: Report, networks: dict[float, torch.nn.Module]) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs, ratings = torch.randn(64, 313, 149, generator=generator), torch.rand(64, 8, generator=generator)
    points = [("clips", 0.25, clips, 5) for clips in (8, 16, 24, 32)]
    points += [("steps", 0.25, 8, steps) for steps in (5, 10, 20, 30)]
    points += [("width", width, 8, 5) for width in WIDTHS]
    if size.quick:
        points = [(axis, width, clips // 8, steps // 5) for axis, width, clips, steps in points if width <= 0.5]

    def attack(width: float, clips: int, steps: int) -> None:
        BIM(epsilon=0.1, steps=steps).attack(networks[width], inputs[:clips], ratings[:clips])

    seconds: dict[tuple, list[float]] = {point: [] for point in points}

    def all_points() -> None:
        for point in points:
            begin = time.perf_counter()
            attack(*point[1:])
            seconds[point].append(time.perf_counter() - begin)

    attack(0.25, 8, 1)
    benchmark.pedantic(all_points, rounds=size.rounds, iterations=1)
    for (axis, width, clips, steps), taken in seconds.items():
        with direct_only():
            work = clips * gflop(lambda width=width, steps=steps: attack(width, clips=1, steps=steps))
        report.cost.append(
            {
                "against": axis,
                "width": width,
                "clips": clips,
                "steps": steps,
                "seconds": median(taken),
                "seconds_least": min(taken),
                "seconds_most": max(taken),
                "gflop": work,
            }
        )
