"""float32 or bfloat16, chosen by measuring: a processor's name does not tell what its units do. And which device.

Notebook: 02_train_a2e
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mer_lib.places import atomic_write, written

PRECISIONS = ("float32", "bfloat16", "auto")
FEW, HOPELESS = 3, 0.5


def times_as_fast(plain: Callable[[], object], other: Callable[[], object], rounds: int) -> float:
    """How many times as fast the second is: both run in turn, the shortest of each counts, so that other work does not.

    A first round only warms up. Where the second is hopeless (bfloat16 without units for it) a few rounds are enough.
    """
    taken: list[list[float]] = []
    while len(taken) <= rounds and not (len(taken) > FEW and _ratio(taken) < HOPELESS):
        taken.append([])
        for run in (plain, other):
            start = time.perf_counter()
            run()
            taken[-1].append(time.perf_counter() - start)
    return _ratio(taken)


def _ratio(taken: list[list[float]]) -> float:
    shortest = np.array(taken[1:]).min(axis=0)
    return float(shortest[0] / shortest[1])


def kept_measurement(name: str) -> Path:
    """``runs/.<name>-<kind of processor>.json``: machines of a cluster share the folder and may differ."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        kind = sorted({line for line in lines if line.startswith(("model name", "flags", "CPU part", "Features"))})
    except OSError:  # not Linux
        kind = [platform.processor(), platform.machine()]
    return written() / "runs" / f".{name}-{hashlib.sha256(repr(kind).encode()).hexdigest()[:8]}.json"


def measured_once(name: str, measure: Callable[[], float]) -> float:
    """What was first measured here, kept as :func:`kept_measurement` says, so that one machine makes one choice."""
    kept = kept_measurement(name)
    if not kept.is_file():
        measured = measure()
        try:
            if not kept.is_file():  # another job may have been faster
                atomic_write(kept, lambda part: part.write_text(json.dumps(measured)))
        except OSError:  # nowhere to keep it, which is no reason to stop
            return measured
    return float(json.loads(kept.read_text()))


def bfloat16_speedup(rounds: int = 15, device: str = "cpu") -> float:
    """How many times faster a device of this machine runs one of the trunk's convolutions in bfloat16 than float32."""
    with torch.random.fork_rng(devices=[]):
        layer = nn.Conv2d(64, 64, 3, padding=1).to(device, memory_format=torch.channels_last)
        inputs = torch.randn(8, 64, 80, 40).to(device, memory_format=torch.channels_last).requires_grad_()

    def there_and_back(bfloat16: bool) -> None:
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=bfloat16):
            loss = layer(inputs).float().square().mean()
        loss.backward()
        if inputs.is_cuda:
            torch.cuda.synchronize()  # the call returns before the work is done

    return times_as_fast(lambda: there_and_back(False), lambda: there_and_back(True), rounds)


def resolve(precision: str, device: str = "cpu") -> str:
    """ "float32" or "bfloat16"; "auto" takes bfloat16 where it is measured to be at least 1.2 times as fast.

    The measurement is made once a kind of device and kept as :func:`kept_measurement` says (of another device than
    the processor its name is added); remove that file to measure again. "bfloat16" is taken as asked, with a warning
    where it is slower by far.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}: one of {', '.join(PRECISIONS)}")
    check_device(device)
    if precision == "float32":
        return precision
    kind = torch.device(device).type
    name = "bfloat16-speedup" if kind == "cpu" else f"bfloat16-speedup-{kind}"
    speedup = measured_once(name, lambda: bfloat16_speedup(device=device))
    if precision == "bfloat16":
        if speedup < HOPELESS:
            warnings.warn(
                f"bfloat16 takes {1 / speedup:.0f} times as long as float32 on this machine, whose processor has no "
                "units for it: precision 'auto' takes what is faster",
                stacklevel=2,
            )
        return precision
    return "bfloat16" if speedup >= 1.2 else "float32"


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
