"""What a credibility check compares: one network attacked in all the ways that could prove an attack weak.

Notebook: 09_credibility
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pandas as pd
import torch
from torch import Tensor, nn

from mer_lib.attacks import APGD, BIM, FGSM, PGD, Noise, Square, Transfer
from mer_lib.bim import AttackResult, forward, frozen, mse_loss
from mer_lib.gradient_free import KINDS
from mer_lib.losses import CorrelationLoss
from mer_lib.metrics import mean_absolute_error, mean_correlation


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How hard the checks try.

    Parameters
    ----------
    domain, epsilon, steps
        Of the attack that is judged: BIM with its default step size, from the clean clip.
    epsilons
        Of the curve, from nothing to where every system is at chance.
    step_factors
        Step sizes tried, in units of the default 2.5 * epsilon / steps.
    queries
        Questions that Square may ask about each clip.
    """

    domain: str = "spectrogram"
    epsilon: float = 0.03
    steps: int = 10
    epsilons: tuple[float, ...] = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    step_factors: tuple[float, ...] = (0.25, 0.5, 2.0)
    queries: int = 100
    seed: int = 0
    precision: str = "float32"
    batch_size: int = 8

    def attack(self, method: type[BIM] = BIM, /, **changes: object) -> BIM:
        """An attack of the family with these settings."""
        names = ("domain", "epsilon", "steps", "seed", "precision", "batch_size")
        return method(**{**{name: getattr(self, name) for name in names}, **changes})


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was measured on one network: attack -> result, the curve, and its slopes at the clean clips."""

    ratings: Tensor
    reference: Tensor
    results: dict[str, AttackResult] = field(repr=False)
    curve: pd.DataFrame
    slopes: dict[str, float]
    transfer: tuple[str, ...] = ()

    def rise(self, name: str) -> float:
        """Rise of the MAE under an attack."""
        result = self.results[name]
        return mean_absolute_error(self.ratings, result.attacked) - mean_absolute_error(self.ratings, result.clean)

    def loss(self, name: str) -> float:
        """Mean squared error that an attack reached, mean over the clips."""
        return float(mse_loss(self.results[name].attacked, self.ratings).mean())

    def chance(self) -> float:
        """MAE of the mean predictor, who says the mean training rating whatever is played."""
        return mean_absolute_error(self.ratings, self.reference.expand_as(self.ratings))


class Masked(nn.Module):
    """A network whose gradients are hidden on purpose: its inputs are rounded to a grid. It is no more robust for it.

    The positive control: checks that let this pass would let anything pass.
    """

    def __init__(self, model: nn.Module, grid: float) -> None:
        super().__init__()
        self.model, self.grid = model, grid

    def _rounded(self, inputs: Tensor) -> Tensor:
        return torch.round(inputs / self.grid) * self.grid

    def forward(self, inputs: Tensor) -> object:
        """What the network says to rounded inputs."""
        return self.model(self._rounded(inputs))

    def from_waveform(self, waveform: Tensor) -> object:
        """The same for waveforms."""
        return self.model.from_waveform(self._rounded(waveform))


def slopes(model: nn.Module, inputs: Tensor, ratings: Tensor, domain: str, batch_size: int = 8) -> dict[str, float]:
    """Gradients of the loss at the clean clips: share of zero cells, of clips without any, and the median norm."""
    gradients = []
    with frozen(model):
        for part, rated in zip(inputs.split(batch_size), ratings.split(batch_size), strict=True):
            part = part.clone().requires_grad_()
            loss = mse_loss(forward(model, part, domain), rated).sum()
            gradients.append(torch.autograd.grad(loss, part)[0].flatten(1))
    flat = torch.cat(gradients)
    norms = flat.double().norm(dim=1)
    return {
        "zero cells": float((flat == 0).float().mean()),
        "clips without slope": float((norms == 0).float().mean()),
        "median norm": float(norms.median()),
        "smallest norm": float(norms.min()),
        "largest norm": float(norms.max()),
    }


def gather(
    model: nn.Module,
    inputs: Tensor,
    ratings: Tensor,
    reference: Tensor,
    settings: Settings,
    others: Mapping[str, nn.Module] | None = None,
) -> Evidence:
    """Attack one network in all the ways that the checks compare.

    Parameters
    ----------
    model, inputs, ratings
        As for :meth:`mer_lib.bim.BIM.attack`.
    reference
        (outputs,): the mean training rating.
    others
        Name -> network from which attacks are transferred.
    """
    attack, steps = settings.attack, settings.steps
    default = 2.5 * settings.epsilon / steps
    clean = attack(steps=0).attack(model, inputs, ratings).clean
    aimed = CorrelationLoss.of(ratings, clean) if len(ratings) > 1 else "mse"
    methods: dict[str, BIM | Transfer] = {
        "BIM": attack(),
        "FGSM": attack(FGSM, steps=1),
        "PGD": attack(PGD),
        "APGD": attack(APGD),
        "APGD on the correlation": attack(APGD, loss=aimed),
        "Square": attack(Square, steps=settings.queries),
        "BIM, steps doubled": attack(steps=2 * steps),
        "BIM, restarts doubled": attack(restarts=2),
        **{f"BIM, step x {factor:g}": attack(step_size=factor * default) for factor in settings.step_factors},
        **{f"{kind} noise": attack(Noise, kind=kind, steps=1) for kind in KINDS},
        **{f"from {name}": Transfer(method=attack(), source=other) for name, other in (others or {}).items()},
    }
    results = {name: method.attack(model, inputs, ratings) for name, method in methods.items()}
    return Evidence(
        ratings=ratings,
        reference=reference,
        results=results,
        curve=curve(model, inputs, ratings, settings),
        slopes=slopes(model, inputs, ratings, settings.domain, settings.batch_size),
        transfer=tuple(f"from {name}" for name in others or {}),
    )


def curve(model: nn.Module, inputs: Tensor, ratings: Tensor, settings: Settings) -> pd.DataFrame:
    """MAE and correlation against the budget: columns epsilon, mae, corr."""
    rows = []
    for epsilon in settings.epsilons:
        said = settings.attack(epsilon=epsilon).attack(model, inputs, ratings).attacked
        rows.append([epsilon, mean_absolute_error(ratings, said), mean_correlation(ratings, said)])
    return pd.DataFrame(rows, columns=["epsilon", "mae", "corr"])


def masked_evidence(
    model: nn.Module, inputs: Tensor, ratings: Tensor, reference: Tensor, settings: Settings
) -> Evidence:
    """Evidence of the network with its gradients hidden; attacks are transferred from the network itself."""
    small = replace(settings, epsilons=(0.0,), step_factors=())
    hidden = Masked(model, settings.epsilon)
    methods = {
        "BIM": settings.attack(),
        "Square": settings.attack(Square, steps=settings.queries),
        "from itself, unmasked": Transfer(method=settings.attack(), source=model),
    }
    return Evidence(
        ratings=ratings,
        reference=reference,
        results={name: method.attack(hidden, inputs, ratings) for name, method in methods.items()},
        curve=curve(hidden, inputs, ratings, small),
        slopes=slopes(hidden, inputs, ratings, settings.domain, settings.batch_size),
        transfer=("from itself, unmasked",),
    )
