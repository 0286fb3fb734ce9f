"""Training for explanations that stay: IG-SUM-NORM, in this study's adversarial schedule; and smaller training sets.

Chen et al. (NeurIPS 2019, "Robust Attribution Regularization") minimise ``max over x' of l(x') + w * |IG(x, x')|``:
the loss on attacked clips, and the l1 norm of the integrated gradients of the loss from the clean clip to the attacked
one. These sum to the rise of the loss, so their norm is small only where no cell's share in it is large, and it is what
Kamath et al. (2024) train with. Here x' is what the study's own attack on the loss finds (the norm is not maximised as
well), the norm is taken in eval mode (dropout would draw another network at every point of the path), and ReLU needs
no stand-in: the derivative by input and weights is not zero where that by the input twice is. What the norm keeps small
is the change of attributions in units of the loss; ranks know no units, so that it need not keep the highest cells.

Notebook: 11_attribution_robustness
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mer_lib.bim import mse_loss
from mer_lib.losses import masked_mse
from mer_lib.models import Network
from mer_lib.preparation import Prepared
from mer_lib.runs import Run
from mer_lib.training import TrainingSettings, _Trainer, train


@dataclass(frozen=True)
class PartlyHeard(Prepared):
    """A prepared corpus of which only some of the training clips are used; validation and test clips are the same."""

    train_clips: int = 0
    draw: int = 0

    def split(self, protocol: str = "published", seed: int = 42) -> dict[str, np.ndarray]:
        """As :meth:`mer_lib.preparation.Prepared.split`, with so many of the training rows, in the same order."""
        rows = super().split(protocol, seed)
        chosen = np.sort(np.random.default_rng(self.draw).permutation(len(rows["train"]))[: self.train_clips])
        return {**rows, "train": rows["train"][chosen]}


def part_of_training(prepared: Prepared, train_clips: int, draw: int = 0, protocol: str = "published") -> Prepared:
    """The same corpus with a random part of its training clips, so that sizes are compared on the same test clips.

    A smaller part of the same draw lies within a larger one. All training clips (of ``protocol``) give the corpus
    itself.
    """
    there = len(prepared.split(protocol)["train"])
    if not 1 <= train_clips <= there:
        raise ValueError(f"{train_clips} training clips of {there} in {prepared.folder.name}")
    if train_clips == there:
        return prepared
    folder = prepared.folder.with_name(f"{prepared.folder.name}-{train_clips}train-draw{draw}")
    return PartlyHeard(**{**prepared.__dict__, "folder": folder}, train_clips=train_clips, draw=draw)


def ig_norm(model: Network, clean: Tensor, attacked: Tensor, ratings: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """l1 norm of the integrated gradients of the loss from clean clips to attacked ones, and their sum; both (clips,).

    The sum is the rise of the loss, up to the error of the ``steps`` midpoints. Differentiable by the weights.
    """
    way = attacked - clean
    path = torch.cat([clean + (step + 0.5) / steps * way for step in range(steps)]).requires_grad_()
    loss = mse_loss(model(path), ratings.repeat(steps, 1))
    (slopes,) = torch.autograd.grad(loss.sum(), path, create_graph=True)
    shares = way * slopes.float().view(steps, *clean.shape).mean(dim=0)
    return shares.abs().sum(dim=(1, 2)), shares.sum(dim=(1, 2))


@dataclass(frozen=True, kw_only=True)
class RobustSettings(TrainingSettings):
    """Adversarial training with the attribution term on its attacked clips.

    Attributes
    ----------
    attribution_weight
        Of the l1 norm beside the loss on attacked clips. The norm is no less than the rise of the loss, which training
        on attacked clips lowers already: a weight of 1 lets it rule.
    ig_steps
        Midpoints on the way from the clean clip to the attacked one.
    """

    attribution_weight: float = 0.1
    ig_steps: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.attribution_weight >= 0 or self.ig_steps < 1:
            raise ValueError(f"the attribution's weight is not negative and there is at least one step: {self}")


class _RobustTrainer(_Trainer):
    """The study's trainer, whose steps on attacked clips have the attribution term as well."""

    def step(self, batch: Tensor, emotions: Tensor, midlevel: Tensor, clean: Tensor | None = None) -> float:
        if clean is None:
            return super().step(batch, emotions, midlevel)
        with torch.autocast(batch.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            output = self.model(batch)
            self.model.eval()
            norm, _ = ig_norm(self.model, clean, batch, emotions, self.settings.ig_steps)
            self.model.train()
        loss = self.system.emotion_weight * masked_mse(output.emotions, emotions)
        if self.system.midlevel_weight:
            loss = loss + self.system.midlevel_weight * masked_mse(output.midlevel, midlevel)
        loss = loss + self.settings.attribution_weight * norm.mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.gradients["training"] += len(batch) * (1 + 2 * self.settings.ig_steps)  # a second derivative counts two
        return loss.item()


def train_robust(prepared: Prepared, folder: str | Path, *, settings: RobustSettings, **keywords: object) -> Run:
    """Train A2E with IG-SUM-NORM; a finished run is returned at once, an interrupted one goes on.

    Takes what :func:`mer_lib.training.train` takes. The run is one of aA2E, whose schedule it has; its settings hold
    the attribution term.
    """
    return train("aA2E", prepared, folder, settings=settings, trainer_class=_RobustTrainer, **keywords)
