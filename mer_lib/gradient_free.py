"""Attacks that only ask for predictions: random search over squares, and noise as the control without any aim.

Import them from :mod:`mer_lib.attacks`.

Notebook: 09_credibility
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from mer_lib.bim import AttackResult, _flat_norm, project
from mer_lib.family import Relative, wide

KINDS = ("uniform", "gaussian", "sign")


@dataclass(frozen=True, kw_only=True)
class GradientFree(Relative):
    """What attacks that only ask for predictions have in common; ``steps`` counts the questions."""

    def attack(self, model: nn.Module, inputs: Tensor, ratings: Tensor, progress: bool = False) -> AttackResult:
        """As :meth:`mer_lib.bim.BIM.attack`; no gradients are spent."""
        return replace(super().attack(model, inputs, ratings, progress), gradients=0)

    def _fit(self, delta: Tensor, inputs: Tensor, epsilon: float | Tensor) -> Tensor:
        """A perturbation brought to its budget: l2 ones are made exactly as large as allowed."""
        if self.norm == "2":
            delta = delta * (epsilon / _flat_norm(delta).clamp(min=1e-30))
        return project(delta, inputs, epsilon, self.norm, self.domain)


@dataclass(frozen=True, kw_only=True)
class Square(GradientFree):
    """Random search over squares (Andriushchenko et al. 2020), for networks whose gradients cannot be trusted.

    On pictures each question sets a rectangle to plus or minus epsilon; on waveforms a stretch to a square wave of
    random pitch, since a constant would be inaudible to network and listener alike. With l2 budgets the whole
    perturbation is then rescaled (simpler than the paper's way of moving its mass).

    Parameters
    ----------
    area
        Share of the input that the first squares cover; it halves on the paper's schedule, stretched to ``steps``.
    """

    area: float = 0.3

    def _climb(
        self, surrogate: nn.Module, inputs: Tensor, ratings: Tensor, epsilon: float | Tensor, restart: int, bar: tqdm
    ) -> tuple[list[Tensor], Tensor]:
        generator, shape = self._generator(restart), inputs.shape[1:]
        delta, losses = torch.zeros_like(inputs), []
        with torch.no_grad():
            losses.append(self._losses(surrogate, inputs, delta, ratings).float())
            for step in range(self.steps):
                if step == 0:  # stripes along the first axis (for a spectrogram: in each band, through all frames)
                    signs = (
                        torch.randint(0, 2, (1, *shape[1:]) if len(shape) > 1 else shape, generator=generator) * 2.0 - 1
                    )
                    there, drawn = torch.ones(shape, dtype=torch.bool), signs.expand(shape)
                else:
                    there, drawn = self._square(shape, step, generator)
                there, drawn = there.to(inputs.device), drawn.to(inputs.device)
                candidate = self._fit(torch.where(there, drawn * self._reach(delta, epsilon), delta), inputs, epsilon)
                loss = self._losses(surrogate, inputs, candidate, ratings).float()
                better = loss > losses[-1]
                delta = torch.where(wide(better, inputs), candidate, delta)
                losses.append(torch.where(better, loss, losses[-1]))
                bar.update(len(inputs))
        return [delta], torch.stack(losses)

    def _reach(self, delta: Tensor, epsilon: float | Tensor) -> float | Tensor:
        """How strong a square is drawn before everything is fitted to the budget."""
        return epsilon if self.norm == "inf" else epsilon / math.sqrt(delta[0].numel())

    def _square(self, shape: torch.Size, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Where (a mask) and what (signs) one question sets, both shaped like one input."""
        halvings = sum(step > at * self.steps for at in (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8))
        side = (self.area / 2**halvings) ** (1 / len(shape))
        there, uniform = torch.ones(shape, dtype=torch.bool), torch.rand(len(shape) + 3, generator=generator)
        for axis, length in enumerate(shape):
            covered = max(1, min(length, round(side * length)))
            begin = int(uniform[axis] * (length - covered + 1))
            along = torch.arange(length)
            along = (along >= begin) & (along < begin + covered)
            there &= along.view([-1 if other == axis else 1 for other in range(len(shape))])
        sign, phase, pitch = uniform[-1] * 2 - 1, uniform[-2], uniform[-3]
        if len(shape) > 1:
            return there, sign.sign().expand(shape)
        period = 2 * 256**pitch  # samples: at 22 050 Hz from the highest pitch down to 43 Hz
        return there, torch.where((torch.arange(shape[0]) / period + phase) % 1 < 0.5, 1.0, -1.0)


@dataclass(frozen=True, kw_only=True)
class Noise(GradientFree):
    """Noise within the budget: what a change of that size does without any aim.

    ``steps`` is the number of draws; the worst is returned, row k of ``loss_per_step`` is draw k. With l-inf budgets
    uniform noise fills it, signs lie on its edge, and Gaussian noise has half of epsilon as its standard deviation and
    is clipped; with l2 budgets, or ``snr_db``, every kind is exactly as large as allowed.

    Parameters
    ----------
    kind
        "uniform", "gaussian" or "sign".
    """

    kind: str = "uniform"
    steps: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in KINDS:
            raise ValueError(f"Noise: kind is one of {KINDS}")

    def _climb(
        self, surrogate: nn.Module, inputs: Tensor, ratings: Tensor, epsilon: float | Tensor, restart: int, bar: tqdm
    ) -> tuple[list[Tensor], Tensor]:
        generator, shape = self._generator(restart), inputs.shape[1:]
        best = torch.zeros_like(inputs)
        with torch.no_grad():
            losses = [self._losses(surrogate, inputs, best, ratings).float()]
            best_loss = losses[0]
            for _ in range(self.steps):
                drawn = torch.rand(shape, generator=generator) * 2 - 1
                if self.kind == "gaussian":
                    drawn = torch.randn(shape, generator=generator) / 2
                drawn = (drawn.sign() if self.kind == "sign" else drawn).to(inputs.device)
                delta = self._fit(drawn.expand_as(inputs) * epsilon, inputs, epsilon)
                losses.append(self._losses(surrogate, inputs, delta, ratings).float())
                better = losses[-1] > best_loss
                best, best_loss = torch.where(wide(better, inputs), delta, best), torch.maximum(best_loss, losses[-1])
                bar.update(len(inputs))
        return [best], torch.stack(losses)
