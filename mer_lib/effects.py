"""The bottleneck's own explanation: what every neuron contributes to every emotion, and what a neuron is worth.

With a linear last layer an emotion is a sum: bias plus, for every neuron, weight times value. Each summand is the
neuron's *effect* (Chowdhury et al. 2019), and nothing is left over. It is Integrated Gradients at the bottleneck with
baseline 0. An effect says what the network computed; that the neuron called dissonance has anything to do with
dissonance must be shown apart from it.

Notebook: 10_explain
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import torch
from captum.attr import LayerIntegratedGradients
from scipy import stats
from torch import Tensor, nn

from mer_lib.dataset import EMOTIONS, MIDLEVEL
from mer_lib.metrics import absolute_errors, correlations
from mer_lib.models import Network


def neuron_names(model: Network) -> list[str]:
    """The seven qualities where the neurons were taught them, else "neuron 1" to "neuron 7".

    Raises
    ------
    ValueError
        If the network has no bottleneck.
    """
    if model.midlevel_head is None:
        raise ValueError(f"{model.system.name} has no bottleneck, and no effects of one")
    return list(MIDLEVEL) if model.system.midlevel_weight else [f"neuron {i + 1}" for i in range(len(MIDLEVEL))]


def effects(model: Network, midlevel: np.ndarray, baseline: np.ndarray | float = 0.0) -> np.ndarray:
    """What every neuron contributes to every emotion: weight times (value minus baseline).

    Parameters
    ----------
    midlevel
        What the bottleneck says, (clips, 7).
    baseline
        0 for the effect as published; the corpus mean (7,) for *relative* effects: what sets a clip apart from others.

    Returns
    -------
    numpy.ndarray
        (clips, 8, 7). Summed over the neurons they are the emotions minus those at the baseline; for baseline 0 that is
        the last layer's bias.
    """
    neuron_names(model)
    weights = model.emotion_head.weight.detach().double().numpy()
    return (np.asarray(midlevel, dtype=np.float64) - baseline)[:, None, :] * weights


def effects_table(model: Network, midlevel: np.ndarray, clips: pd.Series) -> pd.DataFrame:
    """Effects in tidy form: clip, emotion, neuron, value, effect, relative.

    ``relative`` is the effect minus its mean over these clips, and a sum of relative effects is how far an emotion lies
    from its mean.
    """
    names = neuron_names(model)
    plain, relative = effects(model, midlevel), effects(model, midlevel, np.mean(midlevel, axis=0))
    index = pd.MultiIndex.from_product([clips.astype(str), EMOTIONS, names], names=["clip", "emotion", "neuron"])
    values = np.broadcast_to(np.asarray(midlevel)[:, None, :], plain.shape)
    table = pd.DataFrame({"value": values.ravel(), "effect": plain.ravel(), "relative": relative.ravel()}, index=index)
    return table.reset_index()


class _FromBottleneck(nn.Module):
    """What follows the bottleneck, with a layer of its own at the bottleneck that captum can hold on to."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.bottleneck, self.emotion_head = nn.Identity(), model.emotion_head

    def forward(self, midlevel: Tensor) -> Tensor:
        return self.emotion_head(self.bottleneck(midlevel))


def effects_by_captum(model: Network, midlevel: np.ndarray, steps: int = 8) -> np.ndarray:
    """The same as :func:`effects` for baseline 0, by captum's LayerIntegratedGradients at the bottleneck.

    captum takes a layer's baseline from a baseline of its inputs, and no input makes all seven neurons say 0; so the
    network is entered at the bottleneck, where 0 can be given.
    """
    tail = _FromBottleneck(model).eval()
    explainer = LayerIntegratedGradients(tail, tail.bottleneck)
    values = torch.as_tensor(np.array(midlevel, dtype=np.float32))
    found = [
        explainer.attribute(values, torch.zeros_like(values), target=target, n_steps=steps).detach().numpy()
        for target in range(len(EMOTIONS))
    ]
    return np.stack(found, axis=1)


def like_emotions_other_reasons(model: Network, midlevel: np.ndarray, tolerance: float = 0.03) -> tuple[int, int]:
    """Two clips that get nearly the same emotions for different reasons: rows of ``midlevel``.

    Of all pairs whose emotions differ by at most the tolerance (mean over the eight), the one whose effects lie
    farthest apart (l2 norm over all emotions); where there is none, the pair with the most similar emotions. A last
    layer that leaves no freedom has no such pairs: see :func:`mer_lib.bottleneck.explanation_bound`.

    Parameters
    ----------
    tolerance
        In rating units; mean ratings by a dozen listeners are uncertain by about .07.
    """
    if len(midlevel) < 2:
        raise ValueError("two clips are needed")
    found = effects(model, midlevel)
    pairs = np.array(list(combinations(range(len(midlevel)), 2)))
    first, second = found[pairs[:, 0]], found[pairs[:, 1]]
    emotions = np.abs((first - second).sum(axis=2)).mean(axis=1)
    reasons = np.linalg.norm((first - second).reshape(len(pairs), -1), axis=1)
    alike = emotions <= max(tolerance, emotions.min())
    return tuple(int(row) for row in pairs[np.flatnonzero(alike)[reasons[alike].argmax()]])


def partial_correlations(values: np.ndarray, causes: np.ndarray) -> np.ndarray:
    """Correlation of each column of ``values`` with the same column of ``causes``, the other causes held fixed.

    Both are freed of what a linear regression on the other causes explains. NaN where too few clips are left.

    Parameters
    ----------
    values, causes
        (clips, columns).
    """
    clips, columns = causes.shape
    if clips < columns + 3:
        return np.full(columns, np.nan)
    found = []
    for column in range(columns):
        others = np.column_stack([np.ones(clips), np.delete(causes, column, axis=1)])
        pair = np.column_stack([values[:, column], causes[:, column]])
        rest = pair - others @ np.linalg.lstsq(others, pair, rcond=None)[0]
        found.append(np.corrcoef(rest.T)[0, 1])
    return np.array(found)


def neuron_quality(said: np.ndarray, known: np.ndarray, level: float = 0.95) -> pd.DataFrame:
    """How well every neuron predicts the quality it is named after: the trust that its effects deserve.

    Parameters
    ----------
    said, known
        What the neurons say and the known qualities, (clips, 7); clips without known values are left out.

    Returns
    -------
    pandas.DataFrame
        A row a quality: correlation ``r`` with its interval over these clips (Fisher's z), ``partial r`` with the other
        six qualities held fixed (does the neuron know its quality, or a neighbour of it?), MAE, and the standard
        deviation of what is said and of what is known.
    """
    rated = np.isfinite(known).all(axis=1)
    said, known = np.asarray(said, dtype=np.float64)[rated], np.asarray(known, dtype=np.float64)[rated]
    if len(said) < 4:
        raise ValueError(f"{len(said)} clips with known qualities: too few for a correlation with an interval")
    r = correlations(known, said)
    half = stats.norm.ppf(0.5 + level / 2) / np.sqrt(len(said) - 3)
    z = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
    return pd.DataFrame(
        {
            "r": r,
            "low": np.tanh(z - half),
            "high": np.tanh(z + half),
            "partial r": partial_correlations(said, known),
            "MAE": absolute_errors(known, said),
            "sd said": said.std(axis=0),
            "sd known": known.std(axis=0),
        },
        index=list(MIDLEVEL),
    )


def closest_causes(said: np.ndarray, causes: pd.DataFrame, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """For every neuron the cause that it goes with most, and how large such a correlation gets by chance.

    Parameters
    ----------
    said
        (clips, 7).
    causes
        (clips, causes), known values.
    draws
        Shuffles of the clips, from which ``chance`` is taken: the largest of all |r| of a neuron, in 95 % of them
        smaller.
    """
    wanted = causes.to_numpy(np.float64)
    wanted = (wanted - wanted.mean(axis=0)) / wanted.std(axis=0)
    neurons = np.asarray(said, dtype=np.float64)
    neurons = (neurons - neurons.mean(axis=0)) / np.maximum(neurons.std(axis=0), 1e-12)
    r = neurons.T @ wanted / len(wanted)
    rng = np.random.default_rng(seed)
    chance = [np.abs(neurons[rng.permutation(len(neurons))].T @ wanted / len(wanted)).max(axis=1) for _ in range(draws)]
    best = np.abs(r).argmax(axis=1)
    return pd.DataFrame(
        {
            "closest cause": causes.columns[best],
            "r": r[np.arange(len(r)), best],
            "chance": np.quantile(chance, 0.95, axis=0),
        },
        index=[f"neuron {i + 1}" for i in range(len(r))],
    )
