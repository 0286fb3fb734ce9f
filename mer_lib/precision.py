"""float32 or bfloat16, chosen by measuring: a processor's name does not tell what its units do.

Notebook: 02_train_a2e
"""

from __future__ import annotations

import time
from functools import lru_cache

import torch
from torch import nn

PRECISIONS = ("float32", "bfloat16", "auto")


def _seconds(precision: torch.dtype) -> float:
    """Shortest of five forward and backward passes of one convolution of the trunk."""
    with torch.random.fork_rng(devices=[]):
        layer = nn.Conv2d(64, 64, 3, padding=1).to(memory_format=torch.channels_last)
        inputs = torch.randn(8, 64, 80, 40).to(memory_format=torch.channels_last).requires_grad_()
    taken = []
    for _ in range(6):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            loss = layer(inputs).float().square().mean()
        loss.backward()
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


@lru_cache(maxsize=1)
def bfloat16_speedup() -> float:
    """How many times faster this machine runs the trunk's convolution in bfloat16 than in float32."""
    return _seconds(torch.float32) / _seconds(torch.bfloat16)


def resolve(precision: str) -> str:
    """ "float32" or "bfloat16"; "auto" takes bfloat16 where it is measured to be at least 1.3 times as fast."""
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}: one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    return "bfloat16" if bfloat16_speedup() >= 1.3 else "float32"
