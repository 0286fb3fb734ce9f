"""How the benchmarks measure: sizes, contenders in turns, ratios, the processor's peak, a network of full width."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from mer_lib.models import Network, build


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Width of the network, clips at once, steps of ours, steps of those that ours is compared with (they cost nothing but
    their steps, so that a tenth of these tells their speed, while ours also scores), steps of the waveform rows, mp3
    files and their length in seconds (those of Soundtracks have 10 to 37), and rounds.
    """

    quick: bool = False
    width: float = 1.0
    clips: int = 8
    steps: int = 50
    other_steps: int = 5
    wave_steps: int = 8
    mp3s: int = 48
    mp3_seconds: int = 20
    rounds: int = 5

    def __str__(self) -> str:
        return f"width {self.width:g}, {self.clips} clips"


QUICK = Size(quick=True, width=0.25, clips=2, steps=2, other_steps=1, wave_steps=2, mp3s=10, mp3_seconds=3, rounds=1)


@dataclass
class Duel:
    """Seconds of all contenders, in turns: a round runs each of them once."""

    benchmark: object

    def __call__(
        self, ours: Callable[[], object], others: Mapping[str, Callable[[], object]], rounds: int
    ) -> dict[str, list[float]]:
        """Seconds of each round, by name; ours, which pytest-benchmark times, are called "ours"."""
        taken: dict[str, list[float]] = {name: [] for name in others}

        def others_first() -> None:
            for name, other in others.items():
                begin = time.perf_counter()
                other()
                taken[name].append(time.perf_counter() - begin)

        self.benchmark.pedantic(ours, setup=others_first, rounds=rounds, iterations=1, warmup_rounds=0)
        return {"ours": list(self.benchmark.stats.stats.data), **taken}


def faster(taken: Mapping[str, list[float]], other: str, work: float = 1.0) -> list[float]:
    """How many times as fast ours are, of each round; ``work`` is how much more we did than the other in a round."""
    return [work * theirs / ours for ours, theirs in zip(taken["ours"], taken[other], strict=True)]


def most_flops(work: float, run: Callable[[], object]) -> float:
    """The most floating-point operations a second in four runs, of which the first only warms up."""
    run()
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return work / min(seconds)


def matmul_peak(dtype: torch.dtype, quick: bool = False) -> float:
    """The most floating-point operations a second that a matrix product of torch reaches here."""
    found = []
    for length in (256,) if quick else (1024, 2048, 4096):
        left, right = torch.randn(2, length, length).to(dtype)
        found.append(most_flops(2 * length**3, lambda left=left, right=right: torch.mm(left, right)))
    return max(found)


def convolution_peak(dtype: torch.dtype, quick: bool = False) -> float:
    """The same of the trunk's largest convolution alone, on eight clips."""
    inner, outer = (48, 64) if quick else (384, 512)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        layer = torch.nn.Conv2d(inner, outer, 3, padding=1).to(dtype, memory_format=torch.channels_last)
        inputs = torch.randn(8, inner, 39, 18).to(dtype, memory_format=torch.channels_last)
        return most_flops(2 * 8 * 39 * 18 * 9 * inner * outer, lambda: layer(inputs))


def gflop(run: Callable[[], object]) -> float:
    """Thousands of millions of floating-point operations, of convolutions and matrix products as they are called."""
    with FlopCounterMode(display=False) as counted:
        run()
    return counted.get_total_flops() / 1e9


def widened(model: Network, width: float) -> Network:
    """The same function in a wider network: every channel is there several times, its inputs' weights divided by that.

    So the arithmetic is that of the full-width network, and what it says that of a trained one.
    """
    times = round(width / model.width)
    wide = build(model.system.name, width, float(model.mean), float(model.std))
    state = {}
    for name, value in model.state_dict().items():
        for axis, (small, large) in enumerate(zip(value.shape, wide.state_dict()[name].shape, strict=True)):
            if small != large:
                value = value.repeat_interleave(times, dim=axis) / (times if axis == 1 else 1)
        state[name] = value
    wide.load_state_dict(state)
    return wide.eval()
