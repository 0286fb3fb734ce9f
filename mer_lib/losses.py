"""What training makes fall, and what an attack makes rise.

The latter are functions (output, ratings) -> (clips,), for :class:`mer_lib.bim.BIM` and its relatives.

``output`` is what the network returned, ``ratings`` what the attack was given with the clips: emotions (clips, 8); for
the losses on the bottleneck, mid-level values (clips, 7); for :func:`both_loss` and :class:`SameEmotions` both side by
side (clips, 15). NaN is left out.

Notebooks: 06_attack, 09_credibility
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mer_lib.bim import emotions_of, mse_loss
from mer_lib.dataset import EMOTIONS


def masked_mse(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error over the cells that are rated; 0 where none is."""
    rated = torch.isfinite(targets)
    errors = torch.where(rated, predictions.float() - torch.where(rated, targets, 0.0), 0.0)
    return errors.square().sum() / rated.sum().clamp(min=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class CorrelationLoss:
    """Rises where the corpus correlation falls: minus the sum over emotions of (rating - mean) x prediction / spread.

    The correlation of a corpus is no sum over clips, but with means and spreads held it is one, and so every clip can
    be attacked on its own. Build it with :meth:`of`.

    Parameters
    ----------
    mean, spread
        (outputs,): mean rating, and the spread that the product is divided by.
    """

    mean: Tensor
    spread: Tensor

    @classmethod
    def of(cls, ratings: Tensor, predictions: Tensor | None = None) -> CorrelationLoss:
        """From the ratings of a corpus and, so that every emotion weighs the same in the correlation, a network's
        clean predictions on it; both (clips, outputs).
        """
        rated = torch.isfinite(ratings)
        count = rated.sum(dim=0).clamp(min=1)
        mean = torch.where(rated, ratings, 0.0).sum(dim=0) / count
        spread = (torch.where(rated, ratings - mean, 0.0).square().sum(dim=0) / count).sqrt()
        if predictions is not None:
            spread = spread * predictions.std(dim=0, correction=0)
        # An emotion that does not vary has no correlation that could fall
        return cls(mean=mean, spread=torch.where(spread > 1e-8, spread, torch.inf))

    def __call__(self, output: object, ratings: Tensor) -> Tensor:
        """The loss of each clip, (clips,)."""
        deviation = torch.nan_to_num(ratings - self.mean.to(ratings.device))
        return -(deviation * emotions_of(output).float() / self.spread.to(ratings.device)).sum(dim=1)


def _midlevel(output: object) -> Tensor:
    values = getattr(output, "midlevel", None)
    if values is None:
        raise ValueError("this network has no bottleneck: only its emotions can be attacked")
    return values.float()


def midlevel_loss(output: object, ratings: Tensor) -> Tensor:
    """Mean squared error of the mid-level values; ratings (clips, 7)."""
    return mse_loss(_midlevel(output), ratings)


def both_loss(output: object, ratings: Tensor) -> Tensor:
    """Mean of the squared errors of emotions and mid-level values, A2M2E's training loss; ratings (clips, 8 + 7)."""
    emotions, midlevel = ratings[:, : len(EMOTIONS)], ratings[:, len(EMOTIONS) :]
    return 0.5 * mse_loss(output, emotions) + 0.5 * mse_loss(_midlevel(output), midlevel)


@dataclass(frozen=True, kw_only=True)
class SameEmotions:
    """Another explanation for the same emotions: how far the mid-level vector moves while the emotions stay.

    Within the tolerance the loss is the l2 distance of the mid-level vector from where it was; outside it is negative,
    the more the farther the emotions have gone, so that the step leads back. It is 0 on the clean clip and the best
    iterate is kept, hence whatever an attack returns lies within the tolerance. The slope at the clean clip is 0: start
    at random (:class:`mer_lib.attacks.PGD`). ``ratings`` are the network's own clean answers, (clips, 8 + 7).

    Parameters
    ----------
    tolerance
        Largest l2 norm of the change of the eight emotions.
    """

    tolerance: float

    def __call__(self, output: object, ratings: Tensor) -> Tensor:
        """The loss of each clip, (clips,)."""
        clean, explained = ratings[:, : len(EMOTIONS)], ratings[:, len(EMOTIONS) :]
        moved = (emotions_of(output).float() - clean).norm(dim=1)
        return torch.where(
            moved <= self.tolerance, (_midlevel(output) - explained).norm(dim=1), 10 * (self.tolerance - moved)
        )
