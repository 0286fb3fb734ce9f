"""Attacks on what a bottleneck says: on the emotions, on the seven qualities, on both, or on the explanation alone.

Notebook: 09_credibility
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mer_lib.bim import BIM, AttackResult, emotions_of, forward, frozen
from mer_lib.losses import SameEmotions, both_loss, midlevel_loss
from mer_lib.metrics import mean_absolute_error
from mer_lib.models import Network


def answers(model: Network, inputs: Tensor, domain: str, batch_size: int = 8) -> tuple[Tensor, Tensor]:
    """Emotions (clips, 8) and mid-level values (clips, 7) of a network with a bottleneck."""
    if model.midlevel_head is None:
        raise ValueError(f"{model.system.name} has no bottleneck: only its emotions can be attacked")
    with frozen(model), torch.no_grad():
        said = [forward(model, part, domain) for part in inputs.split(batch_size)]
    return torch.cat([emotions_of(one) for one in said]), torch.cat([one.midlevel for one in said])


def smallest_singular_value(model: Network) -> float:
    """Of the linear layer from seven qualities to eight emotions; 0 where it does not keep all seven apart."""
    return float(torch.linalg.svdvals(model.emotion_head.weight.detach().double()).min())


def explanation_bound(model: Network, tolerance: float) -> float:
    """The farthest the mid-level vector can move, in l2, while the emotions move by at most the tolerance.

    The head is linear, so a change d of the mid-level vector changes the emotions by W d, which is never shorter than
    d times W's smallest singular value: whoever keeps the emotions keeps the explanation, up to this bound.
    """
    smallest = smallest_singular_value(model)
    return tolerance / smallest if smallest > 0 else float("inf")


def other_explanation(
    model: Network, inputs: Tensor, method: BIM, tolerance: float
) -> tuple[AttackResult, pd.DataFrame]:
    """Same emotions, other explanation: move the mid-level vector while the emotions stay within a tolerance.

    Parameters
    ----------
    method
        An attack whose start is random, such as :class:`mer_lib.attacks.PGD`; its loss is replaced.
    tolerance
        Largest l2 norm of the change of the eight emotions.

    Returns
    -------
    AttackResult, pandas.DataFrame
        A row a clip: what emotions and mid-level vector moved (l2), the bound for that move of the emotions, the bound
        for the tolerance, and the share of the latter that was reached.
    """
    emotions, midlevel = answers(model, inputs, method.domain)
    result = replace(method, loss=SameEmotions(tolerance=tolerance)).attack(
        model, inputs, torch.cat([emotions, midlevel], dim=1)
    )
    after_emotions, after_midlevel = answers(model, result.adversarial, method.domain)
    moved = (after_emotions - emotions).double().norm(dim=1).numpy()
    explained = (after_midlevel - midlevel).double().norm(dim=1).numpy()
    bound, smallest = explanation_bound(model, tolerance), smallest_singular_value(model)
    table = pd.DataFrame({"emotions moved": moved, "explanation moved": explained})
    table["bound for that"] = moved / smallest if smallest > 0 else np.inf
    table["bound for the tolerance"] = bound
    return result, table.assign(**{"share of the bound": explained / bound})


def attacks_on_the_bottleneck(
    model: Network, inputs: Tensor, ratings: Tensor, midlevel: Tensor, method: BIM
) -> pd.DataFrame:
    """What attacks aimed at emotions, at mid-level values, and at both do to either.

    Parameters
    ----------
    ratings, midlevel
        (clips, 8) and (clips, 7). Where mid-level values are not known (NaN), or have no meaning (A2B2E), the network's
        own clean answers stand in: the attack then drives it away from what it said.
    method
        The attack; its loss is replaced. A random start is needed where own answers stand in (there the slope is 0).

    Returns
    -------
    pandas.DataFrame
        A row an aim: MAE of emotions and mid-level values before and after, and how far emotions and mid-level values
        moved (mean absolute change).
    """
    clean_emotions, clean_midlevel = answers(model, inputs, method.domain)
    known = torch.isfinite(midlevel) if model.system.midlevel_weight else torch.zeros_like(midlevel, dtype=torch.bool)
    wanted = torch.where(known, midlevel, clean_midlevel)
    aims = {
        "emotions": ("mse", ratings),
        "mid-level values": (midlevel_loss, wanted),
        "both": (both_loss, torch.cat([ratings, wanted], dim=1)),
    }
    rows = []
    for aim, (loss, targets) in aims.items():
        adversarial = replace(method, loss=loss).attack(model, inputs, targets).adversarial
        emotions, said = answers(model, adversarial, method.domain)
        rows.append(
            {
                "aimed at": aim,
                "emotions: MAE clean": mean_absolute_error(ratings, clean_emotions),
                "emotions: MAE attacked": mean_absolute_error(ratings, emotions),
                "emotions moved": float((emotions - clean_emotions).abs().mean()),
                "mid-level: MAE clean": mean_absolute_error(wanted, clean_midlevel),
                "mid-level: MAE attacked": mean_absolute_error(wanted, said),
                "mid-level moved": float((said - clean_midlevel).abs().mean()),
            }
        )
    return pd.DataFrame(rows).set_index("aimed at")
