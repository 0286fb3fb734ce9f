"""Attributions: how much of an answer is owed to which cell of the spectrogram, or to which sample of the waveform.

An attribution explains a *difference*: the answer to a clip minus the answer to a baseline. Another baseline is another
question. In a z-scored spectrogram 0 is the corpus mean, so "as against nothing" is not 0 but silence, -mean / std.

- Integrated Gradients (Sundararajan, Taly, Yan 2017) follows the straight line from the baseline to the clip and adds
  up the slopes. The attributions sum to the difference (completeness), but for the error of adding up few of them.
- GradientShap and DeepLiftShap (Lundberg & Lee 2017) take the mean over many baselines, the background: "as against
  other clips". Either comes near to Shapley values only where cells are independent of each other, which those of a
  spectrogram are not.

All three are captum's. A network's batch normalisation is folded into its convolutions first: same answers, faster.

Notebook: 10_explain
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from captum.attr import DeepLift, DeepLiftShap, GradientShap, IntegratedGradients
from scipy import stats
from torch import Tensor, nn

from mer_lib.bim import forward, frozen
from mer_lib.dataset import EMOTIONS
from mer_lib.effects import neuron_names
from mer_lib.models import Network, folded
from mer_lib.spectrogram import FRAME_SIZE, frame_starts, number_of_frames

METHODS = ("Integrated Gradients", "GradientShap", "DeepLiftShap")
BATCH = 8


@dataclass(frozen=True, eq=False)
class Attribution:
    """What a method found, and how far its sum is from what it explains.

    Attributes
    ----------
    maps
        Shaped like the inputs, in units of the answer.
    answers, baseline_answers
        The explained output for the clips and for their baselines (mean over the background), (clips,).
    """

    method: str
    target: str
    maps: Tensor
    answers: Tensor
    baseline_answers: Tensor

    @property
    def gap(self) -> Tensor:
        """Completeness error, (clips,): sum of the attributions minus the difference of the answers."""
        return self.maps.flatten(1).double().sum(dim=1) - (self.answers - self.baseline_answers).double()

    def completeness(self) -> pd.DataFrame:
        """A row a clip: the difference explained, the sum found, and the error, plain and over the difference."""
        difference = (self.answers - self.baseline_answers).double()
        table = pd.DataFrame({"explained": difference.numpy(), "sum": (difference + self.gap).numpy()})
        table["error"] = self.gap.abs().numpy()
        return table.assign(**{"relative error": table["error"] / difference.abs().clamp(min=1e-12).numpy()})


class _Answer(nn.Module):
    """A network whose output is one tensor, (batch, outputs): captum wants that."""

    def __init__(self, model: Network, domain: str) -> None:
        super().__init__()
        self.model, self.domain = model, domain

    def forward(self, inputs: Tensor) -> Tensor:
        said = forward(self.model, inputs, self.domain)
        return said.emotions if said.midlevel is None else torch.cat([said.emotions, said.midlevel], dim=1)


def outputs_of(model: Network) -> list[str]:
    """Everything a network says that can be explained: the eight emotions, then its neurons if it has a bottleneck."""
    return [*EMOTIONS, *([] if model.midlevel_head is None else neuron_names(model))]


def silence(model: Network, inputs: Tensor, domain: str = "spectrogram") -> Tensor:
    """The baseline that stands for nothing being played, one clip: waveform 0, spectrogram -mean / std."""
    nothing = torch.zeros_like(inputs[:1])
    return nothing if domain == "waveform" else model.standardise(nothing)


class _Copy(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values.clone()


def _for_deep_lift(model: Network) -> Network:
    """The network with a copy in front of every max pooling.

    Where a ReLU's output goes straight into a max pooling, captum (0.9.0) reads the ReLU's gradient before the
    pooling's rule has changed it, and attributions miss the difference, at times by several times its size.
    """
    separated = copy.deepcopy(model)
    layers = [part for m in separated.trunk for part in ((_Copy(), m) if isinstance(m, nn.MaxPool2d) else (m,))]
    separated.trunk = nn.Sequential(*layers)
    return separated


def without_batch_norm(model: Network) -> Network:
    """The network with its batch normalisation folded in; one that has none is returned as it is."""
    return folded(model) if any(isinstance(m, nn.BatchNorm2d) for m in model.modules()) else model


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """captum draws from the global generators of numpy and torch: seed them, and leave them as they were."""
    before = np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed)
            yield
    finally:
        np.random.set_state(before)


def _integrated(answer: nn.Module, clip: Tensor, baselines: Tensor, target: int, steps: int) -> Tensor:
    explainer = IntegratedGradients(answer)
    parts = [
        explainer.attribute(clip, baseline[None], target=target, n_steps=steps, internal_batch_size=min(BATCH, steps))
        for baseline in baselines
    ]
    return torch.stack(parts).mean(dim=0)


def _gradient_shap(answer: nn.Module, clip: Tensor, baselines: Tensor, target: int, steps: int) -> Tensor:
    explainer, total = GradientShap(answer), torch.zeros_like(clip)
    for start in range(0, steps, BATCH):
        draws = min(BATCH, steps - start)
        total += draws * explainer.attribute(clip, baselines, target=target, n_samples=draws, stdevs=0.0)
    return total / steps


def _deep_lift_shap(answer: nn.Module, clip: Tensor, baselines: Tensor, target: int, steps: int) -> Tensor:
    if len(baselines) == 1:  # captum's DeepLiftShap wants two or more and names this for one
        return DeepLift(answer).attribute(clip, baselines, target=target)
    parts = baselines.tensor_split(-(-len(baselines) // BATCH))  # of two or more each
    explainer = DeepLiftShap(answer)
    return sum(len(part) * explainer.attribute(clip, part, target=target) for part in parts) / len(baselines)


_EXPLAINERS = dict(zip(METHODS, (_integrated, _gradient_shap, _deep_lift_shap), strict=True))


def attribute(
    model: Network,
    inputs: Tensor,
    target: str,
    method: str = "Integrated Gradients",
    *,
    baselines: Tensor | None = None,
    domain: str = "spectrogram",
    steps: int = 16,
    seed: int = 0,
) -> Attribution:
    """Attribute one output to the inputs, clip by clip.

    Parameters
    ----------
    inputs
        Z-scored spectrograms (clips, 313, 149), or waveforms (clips, samples) with ``domain="waveform"``.
    target
        An emotion, or a neuron of the bottleneck: see :func:`outputs_of`.
    method
        One of :data:`METHODS`.
    baselines
        (baselines, ...) shaped like the inputs: every clip is explained against all of them, and the mean is taken.
        Silence by default.
    steps
        Integrated Gradients: points on the line (Gauss-Legendre). GradientShap: random points, each on the line from a
        random baseline. DeepLiftShap needs none.
    seed
        Of GradientShap's random points.

    Raises
    ------
    ValueError
        For an unknown target or method, or DeepLiftShap through the waveform: its rule knows the network's layers and
        not the magnitude of a Fourier transform.
    """
    names = outputs_of(model)
    if target not in names:
        raise ValueError(f"{model.system.name} says nothing about {target!r}: {', '.join(names)}")
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: one of {', '.join(METHODS)}")
    if domain == "waveform" and method == "DeepLiftShap":
        raise ValueError("DeepLiftShap has no rule for the Fourier transform: use it on spectrograms")
    index = names.index(target)
    baselines = silence(model, inputs, domain) if baselines is None else baselines
    with _seeded(seed):
        fast = without_batch_norm(model)
    fast = _for_deep_lift(fast) if method == "DeepLiftShap" else fast
    with frozen(fast), _seeded(seed), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*(Setting forward, backward hooks|did not already require)")
        answer = _Answer(fast, domain)
        maps = [_EXPLAINERS[method](answer, clip.clone(), baselines, index, steps).detach() for clip in inputs.split(1)]
        with torch.no_grad():
            said, nothing = (
                torch.cat([answer(part)[:, index] for part in some.split(BATCH)]) for some in (inputs, baselines)
            )
    return Attribution(method, target, torch.cat(maps), said, nothing.mean().expand(len(inputs)))


def frame_profile(maps: Tensor) -> np.ndarray:
    """Attributions summed over what belongs to each frame, (clips, frames): bands, or samples nearest its middle.

    Parameters
    ----------
    maps
        (clips, frames, bands) or (clips, samples).
    """
    values = maps.double().numpy()
    if values.ndim == 3:
        return values.sum(axis=2)
    starts = frame_starts(number_of_frames(values.shape[1]))
    middles = starts + FRAME_SIZE // 2
    nearest = np.concatenate([[0], (middles[1:] + middles[:-1]) // 2])
    inside = nearest < values.shape[1]  # the last frames reach past the end
    sums = np.zeros((len(values), len(starts)))
    sums[:, inside] = np.add.reduceat(values, nearest[inside], axis=1)
    return sums


def rank_correlation(first: Tensor, second: Tensor, absolute: bool = False) -> float:
    """Spearman's rank correlation of two maps; of their magnitudes with ``absolute``. 0 where one is constant."""
    pair = [values.flatten().double().numpy() for values in (first, second)]
    pair = [np.abs(values) for values in pair] if absolute else pair
    return 0.0 if min(np.ptp(values) for values in pair) == 0 else float(stats.spearmanr(*pair).statistic)


def agreement(maps: dict[str, Tensor]) -> pd.DataFrame:
    """How alike attributions of the same clips are: mean over the clips of the rank correlation of each two.

    Parameters
    ----------
    maps
        Name -> (clips, ...).
    """
    names = list(maps)
    table = pd.DataFrame(1.0, index=names, columns=names)
    for i, first in enumerate(names):
        for second in names[:i]:
            pairs = zip(maps[first], maps[second], strict=True)
            table.loc[first, second] = table.loc[second, first] = np.mean([rank_correlation(*pair) for pair in pairs])
    return table
