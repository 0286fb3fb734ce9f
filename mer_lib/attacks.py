"""The relatives of BIM, with its interface: ``attack(model, inputs, ratings)`` gives an ``AttackResult``.

All keep their budget as BIM does (projection, then the float32 sum settled into it), score every iterate by the network
itself and keep the best of each clip, the clean one included. Every random draw serves all clips alike, so that a
clip's result does not depend on its neighbours. They attack any regressor, in this study or not::

    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
    APGD(epsilon=0.1, steps=50, norm="2").attack(model, torch.randn(5, 8, 8), torch.zeros(5, 3)).attacked_loss

Notebooks: 06_attack, 09_credibility
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from mer_lib.bim import BIM, AttackResult, Loss, mse_loss, project
from mer_lib.family import Relative, predictions_on, wide
from mer_lib.gradient_free import Noise, Square

__all__ = ["APGD", "BIM", "FGSM", "PGD", "Noise", "Square", "Transfer", "checkpoints", "from_settings", "worst_over"]


@dataclass(frozen=True, kw_only=True)
class FGSM(Relative):
    """The Fast Gradient Sign Method (Goodfellow et al. 2015): one step to the edge of the budget."""

    steps: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps != 1 or self.step_size is not None:
            raise ValueError("FGSM: takes one step, as large as the budget")


@dataclass(frozen=True, kw_only=True)
class PGD(Relative):
    """Projected gradient descent (Madry et al. 2018): BIM whose every start, the first too, is random in the budget."""

    def _start(self, inputs: Tensor, restart: int, epsilon: float | Tensor) -> Tensor:
        return super()._start(inputs, restart + 1, epsilon)


def checkpoints(steps: int) -> list[int]:
    """Steps after which APGD looks whether its step size still serves (Croce & Hein 2020, Section 3.1)."""
    shares = [0.0, 0.22]
    while shares[-1] + (gap := max(shares[-1] - shares[-2] - 0.03, 0.06)) <= 1:
        shares.append(shares[-1] + gap)
    return sorted({math.ceil(round(share * steps, 9)) for share in shares[1:]})


@dataclass(frozen=True, kw_only=True)
class APGD(Relative):
    """Auto-PGD (Croce & Hein 2020): momentum, and a step size that halves where it no longer serves.

    ``step_size`` is the first one, by default 2 * epsilon. At each checkpoint a clip's step is halved, and the clip
    goes back to its best iterate, if fewer than 3/4 of the steps since the last checkpoint raised the loss, or if
    neither the step size nor the best loss has changed since. As with BIM the first start is the clean clip.
    """

    def _climb(
        self, surrogate: nn.Module, inputs: Tensor, ratings: Tensor, epsilon: float | Tensor, restart: int, bar: tqdm
    ) -> tuple[list[Tensor], Tensor]:
        size = wide(torch.ones(len(inputs), device=inputs.device), inputs)
        size = size * (2 * epsilon if self.step_size is None else self.step_size)
        delta = previous = self._start(inputs, restart, epsilon)
        best, best_loss = delta, torch.full((len(inputs),), -torch.inf, device=inputs.device)
        best_direction, reached, last = torch.zeros_like(delta), best_loss, 0
        rises = torch.zeros(len(inputs), device=inputs.device)
        halved = torch.ones(len(inputs), dtype=torch.bool, device=inputs.device)
        losses: list[Tensor] = []
        for step in range(self.steps + 1):
            if step < self.steps:
                loss, direction = self._slope(surrogate, inputs, delta, ratings, bar)
            else:
                with torch.no_grad():
                    loss, direction = self._losses(surrogate, inputs, delta, ratings).float(), best_direction
            rises += (loss > losses[-1]) if losses else 0
            losses.append(loss)
            better = loss > best_loss
            best, best_direction = (
                torch.where(wide(better, inputs), new, old) for new, old in ((delta, best), (direction, best_direction))
            )
            best_loss = torch.where(better, loss, best_loss)
            if step == self.steps:
                break
            if step in checkpoints(self.steps):
                halved = (rises < 0.75 * (step - last)) | (~halved & (best_loss <= reached))
                size = torch.where(wide(halved, inputs), size / 2, size)
                back = wide(halved, inputs)
                delta, previous = torch.where(back, best, delta), torch.where(back, best, previous)
                direction = torch.where(back, best_direction, direction)
                rises, reached, last = torch.zeros_like(rises), best_loss, step
            ahead = project(delta + size * direction, inputs, epsilon, self.norm, self.domain)
            if step > 0:
                ahead = delta + 0.75 * (ahead - delta) + 0.25 * (delta - previous)
                ahead = project(ahead, inputs, epsilon, self.norm, self.domain)
            previous, delta = delta, ahead
        # The surrogate ranks iterates with bfloat16's error: let float32 judge the last one too
        return [best, delta] if self.precision == "bfloat16" else [best], torch.stack(losses)


def from_settings(settings: Mapping[str, object], precision: str = "float32") -> BIM:
    """The attack that an entry of a study's ``attacks`` asks for.

    Parameters
    ----------
    settings
        Keywords of the attack; ``method`` names its class ("BIM" where it is missing), ``name`` is passed over.
    precision
        Where the settings name none.

    Notebook: 06_attack
    """
    methods = {method.__name__: method for method in (BIM, FGSM, PGD, APGD, Square, Noise)}
    keywords = {"precision": precision, **settings}
    name = keywords.pop("method", "BIM")
    keywords.pop("name", None)
    if name not in methods:
        raise ValueError(f"unknown attack {name!r}: one of {', '.join(methods)}")
    return methods[name](**keywords)


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Clips attacked on another network, tried on this one: what an attacker reaches who cannot look inside.

    Parameters
    ----------
    method, source
        The attack, and the network it is made on.
    """

    method: BIM
    source: nn.Module

    def attack(self, model: nn.Module, inputs: Tensor, ratings: Tensor, progress: bool = False) -> AttackResult:
        """As :meth:`mer_lib.bim.BIM.attack`; a clip on which the transferred change helps stays clean.

        Raises
        ------
        ValueError
            If the networks z-score spectrograms in different ways, so that the same numbers are other sounds.
        """
        scales = [(float(net.mean), float(net.std)) for net in (self.source, model) if hasattr(net, "front_end")]
        if self.method.domain == "spectrogram" and len({(round(m, 4), round(s, 4)) for m, s in scales}) > 1:
            raise ValueError(f"Transfer: the networks z-score with other means and standard deviations: {scales}")
        made = self.method.attack(self.source, inputs, ratings, progress)
        inputs, ratings = torch.as_tensor(inputs), torch.as_tensor(ratings, dtype=torch.float32)
        said = [predictions_on(model, clips, ratings, self.method) for clips in (inputs, made.adversarial)]
        (clean, clean_loss), (attacked, attacked_loss) = said
        worse = attacked_loss > clean_loss
        adversarial = torch.where(wide(worse, inputs), made.adversarial, inputs)
        attacked = torch.where(worse[:, None], attacked, clean)
        tried = torch.stack([clean_loss, attacked_loss])
        losses = (clean_loss, tried.amax(dim=0), tried)
        return AttackResult(adversarial, adversarial - inputs, clean, attacked, *losses, made.gradients)


def worst_over(
    results: Mapping[str, AttackResult], ratings: Tensor, loss: Loss = mse_loss
) -> tuple[AttackResult, list[str]]:
    """Of several attacks on the same clips, for each clip the one with the highest loss, and its name.

    Attacks may have been aimed at different losses: all are judged by ``loss`` on the emotions they reached.
    ``loss_per_step`` of the result has two rows, before and after.
    """
    names, found = list(results), list(results.values())
    ratings = torch.as_tensor(ratings, dtype=torch.float32)
    reached = torch.stack([loss(result.attacked, ratings) for result in found])
    before, (after, chosen) = loss(found[0].clean, ratings), reached.max(dim=0)
    clips = torch.arange(len(ratings))
    adversarial, delta, attacked = (
        torch.stack([getattr(result, name) for result in found])[chosen, clips]
        for name in ("adversarial", "delta", "attacked")
    )
    spent = sum(result.gradients for result in found)
    merged = AttackResult(
        adversarial, delta, found[0].clean, attacked, before, after, torch.stack([before, after]), spent
    )
    return merged, [names[index] for index in chosen.tolist()]
