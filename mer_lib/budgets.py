"""Budgets that hold: a perturbation is brought to its l-inf or l2 budget, rounded sums and waveforms' range included.

Notebook: 06_attack
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def _flat_norm(values: Tensor) -> Tensor:
    """L2 norm of each clip, shaped to multiply it."""
    norms = values.flatten(1).double().norm(dim=1)
    return norms.to(values.dtype).view(-1, *[1] * (values.ndim - 1))


def float32_below(value: float) -> float:
    """The largest float32 that does not exceed a number, so that a budget of .1 is not 0.10000000149."""
    rounded = np.float32(value)
    return float(rounded if float(rounded) <= value else np.nextafter(rounded, np.float32(0)))


def project(delta: Tensor, inputs: Tensor, epsilon: float | Tensor, norm: str, domain: str) -> Tensor:
    """The nearest perturbation within the budget, and within [-1, 1] for waveforms."""
    if norm == "inf":
        delta = delta.clamp(-epsilon, epsilon)
    else:
        delta = delta * torch.clamp(epsilon * (1 - 1e-6) / _flat_norm(delta).clamp(min=1e-30), max=1.0)
    # Moving towards an input that lies in the range itself only ever shortens a perturbation
    return (inputs + delta).clamp_(-1, 1).sub_(inputs) if domain == "waveform" else delta


def settle(inputs: Tensor, delta: Tensor, epsilon: float | Tensor, norm: str) -> Tensor:
    """inputs + delta, with roundings of that sum that would step over the budget taken back."""
    adversarial = inputs + delta
    if norm == "2":
        while ((size := _flat_norm(adversarial.double() - inputs.double())) > epsilon).any():
            # As float64: with budgets near the inputs' own rounding, a smaller delta may round to the same sum
            delta = torch.where(size > epsilon, delta.double() * (epsilon / size) * (1 - 1e-6), delta.double())
            adversarial = (inputs + delta).to(inputs.dtype)
    if norm == "inf":
        # Few elements step over it, each by a rounding or two
        where = ((adversarial.double() - inputs.double()).abs_() > epsilon).nonzero(as_tuple=True)
        outside, towards = adversarial[where], inputs[where]
        while (over := (outside.double() - towards.double()).abs_() > epsilon).any():
            outside = torch.where(over, torch.nextafter(outside, towards), outside)
        adversarial[where] = outside
    return adversarial
