"""float32 or bfloat16, chosen by measuring: a processor's name does not tell what its units do. And which device.

Notebook: 02_train_a2e
"""

from __future__ import annotations

import json
import time

import torch
from torch import nn

from mer_lib.places import atomic_write, written

PRECISIONS = ("float32", "bfloat16", "auto")


def _seconds(layer: nn.Module, inputs: torch.Tensor, bfloat16: bool) -> float:
    """Seconds of one forward and backward pass."""
    start = time.perf_counter()
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=bfloat16):
        loss = layer(inputs).float().square().mean()
    loss.backward()
    if inputs.is_cuda:
        torch.cuda.synchronize()  # the call returns before the work is done
    return time.perf_counter() - start


def bfloat16_speedup(rounds: int = 15, device: str = "cpu") -> float:
    """How many times faster a device of this machine runs one of the trunk's convolutions in bfloat16 than in float32.

    Both are timed in turn and the shortest of each counts, so that other work on the machine does not decide.
    """
    with torch.random.fork_rng(devices=[]):
        layer = nn.Conv2d(64, 64, 3, padding=1).to(device, memory_format=torch.channels_last)
        inputs = torch.randn(8, 64, 80, 40).to(device, memory_format=torch.channels_last).requires_grad_()
    timed = [[_seconds(layer, inputs, bfloat16) for bfloat16 in (False, True)] for _ in range(rounds + 1)]
    full, half = (min(taken) for taken in zip(*timed[1:], strict=True))
    return full / half


def _measured_once(device: str) -> float:
    """The speed-up as first measured here: kept beside the runs, so that one machine makes one choice."""
    kind = torch.device(device).type
    kept = written() / "runs" / (".bfloat16-speedup.json" if kind == "cpu" else f".bfloat16-speedup-{kind}.json")
    if not kept.is_file():
        measured = json.dumps(bfloat16_speedup(device=device))
        if not kept.is_file():  # another job may have been faster
            atomic_write(kept, lambda part: part.write_text(measured))
    return float(json.loads(kept.read_text()))


def resolve(precision: str, device: str = "cpu") -> str:
    """ "float32" or "bfloat16"; "auto" takes bfloat16 where it is measured to be at least 1.2 times as fast.

    The measurement is made once a kind of device and kept in ``runs/.bfloat16-speedup.json`` (of another device than
    the processor its name is added); remove that file to measure again.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}: one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    return "bfloat16" if _measured_once(device) >= 1.2 else "float32"


def check_device(device: str) -> str:
    """The device itself.

    Raises
    ------
    ValueError
        If torch has no such device here.
    """
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"device {device!r}: torch {torch.__version__} cannot use it here ({reason}); say device 'cpu', or install "
            "a build of torch for it"
        ) from None
    return device
