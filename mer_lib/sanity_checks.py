"""Does an attribution depend on what the network learned? It must change when the weights are destroyed.

Adebayo et al. (2018, "Sanity Checks for Saliency Maps", Section 3): layers lose what they learned one after another,
from the answer down to the input, or one at a time, and the attribution of the broken network is compared with that of
the intact one. Weights are shuffled within their layer, so that it keeps its weights and loses their places.

What is left is judged three ways. Attributions are slopes times (clip - baseline), and the second factor stays whatever
happens to the network: *magnitudes* can go on looking alike because both look like the spectrogram. *Slopes*, with that
factor divided away, cannot.

Notebook: 10_explain
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mer_lib.explanations import attribute, rank_correlation, silence, without_batch_norm
from mer_lib.models import Network

MEASURES = ("attributions", "magnitudes", "slopes")
INTACT = "intact"


def _layers(model: Network) -> dict[str, nn.Module]:
    """The layers that learn, by name, from the answer down to the input."""
    convolutions = [layer for layer in model.trunk if isinstance(layer, nn.Conv2d)]
    heads = {"last layer": model.emotion_head}
    if model.midlevel_head is not None:
        heads["bottleneck"] = model.midlevel_head
    return heads | {f"conv {i + 1}": convolutions[i] for i in reversed(range(len(convolutions)))}


def layer_names(model: Network) -> list[str]:
    """Names of the layers that learn, from the answer down to the input."""
    return list(_layers(model))


def shuffled(model: Network, layers: Sequence[str], seed: int = 0) -> Network:
    """A copy whose named layers keep their weights, biases and folded normalisation, but not the places of these.

    Parameters
    ----------
    layers
        Some of :func:`layer_names`.
    seed
        A layer is shuffled the same way whichever others are.

    Raises
    ------
    ValueError
        For a layer that is not there.
    """
    broken = copy.deepcopy(without_batch_norm(model))
    found = _layers(broken)
    if unknown := [name for name in layers if name not in found]:
        raise ValueError(f"{model.system.name} has no layer {', '.join(unknown)}: {', '.join(found)}")
    for position, (name, layer) in enumerate(found.items()):
        generator = torch.Generator().manual_seed(seed * 1000 + position)
        for parameter in (layer.weight, layer.bias):
            order = torch.randperm(parameter.numel(), generator=generator)
            if name in layers:
                mixed = parameter.detach().contiguous().flatten()[order].view(parameter.shape)
                with torch.no_grad():
                    parameter.copy_(mixed)
    return broken


def slopes(maps: Tensor, inputs: Tensor, baseline: Tensor) -> Tensor:
    """Attributions divided by (clip - baseline), the mean slope on the line between both; 0 where these are equal."""
    factor = (inputs - baseline).double()
    there = factor.abs() > 1e-6
    return torch.where(there, maps.double() / torch.where(there, factor, 1.0), 0.0)


def randomisation_test(
    model: Network,
    inputs: Tensor,
    target: str,
    method: str = "Integrated Gradients",
    *,
    steps: int = 8,
    cascade: bool = True,
    seeds: Sequence[int] = (0,),
) -> pd.DataFrame:
    """How alike the attributions of an intact network and of one with shuffled layers are.

    Parameters
    ----------
    inputs
        Z-scored spectrograms (clips, 313, 149); the baseline is silence.
    cascade
        Each stage shuffles its layer and all above it; otherwise its layer alone.
    seeds
        A shuffle each.

    Returns
    -------
    pandas.DataFrame
        Tidy: layer (the first is "intact", where all is 1), seed, clip, measure (:data:`MEASURES`), and similarity,
        Spearman's rank correlation: 1 for the same order of cells, 0 for no relation. A last measure,
        ``like the input``, is that of the broken network's magnitudes with the spectrogram above silence.
    """
    baseline, names = silence(model, inputs), layer_names(model)
    stages = {INTACT: []} | {name: names[: i + 1] if cascade else [name] for i, name in enumerate(names)}
    rows, intact = [], None
    for stage, seed in product(stages, seeds):
        maps = attribute(shuffled(model, stages[stage], seed), inputs, target, method, steps=steps).maps
        found = (maps, slopes(maps, inputs, baseline))
        intact = found if intact is None else intact
        for clip in range(len(inputs)):
            pair = [(before[clip], after[clip]) for before, after in zip(intact, found, strict=True)]
            values = (
                rank_correlation(*pair[0]),
                rank_correlation(*pair[0], absolute=True),
                rank_correlation(*pair[1]),
                rank_correlation(inputs[clip] - baseline[0], maps[clip], absolute=True),
            )
            for measure, value in zip((*MEASURES, "like the input"), values, strict=True):
                rows.append({"layer": stage, "seed": seed, "clip": clip, "measure": measure, "similarity": value})
    return pd.DataFrame(rows)


def verdict(table: pd.DataFrame, limit: float = 0.2) -> str:
    """What a cascade says, in a sentence: whether attributions still look like the intact ones with every layer broken.

    Parameters
    ----------
    limit
        A mean rank correlation below it counts as no likeness; a convention.
    """
    last = table[table["layer"] == table["layer"].iloc[-1]].groupby("measure")["similarity"].mean()
    likeness = ", ".join(f"{measure} {last[measure]:.2f}" for measure in MEASURES)
    passed = bool(np.abs(last[["attributions", "slopes"]]).max() < limit)
    return (
        f"With every layer shuffled: {likeness}; magnitudes with the spectrogram itself {last['like the input']:.2f}. "
        + ("The test is passed: attributions and slopes" if passed else "The test is FAILED: attributions or slopes")
        + (" depend on what was learned." if passed else " look alike whatever was learned.")
    )
