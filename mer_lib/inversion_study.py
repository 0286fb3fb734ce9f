"""Inversion of several networks side by side: the same clips, the same starts, the same effort, and a control.

The control is an *untrained* network of the same shape. Random weights keep much of a picture, too: what a trained
network shows counts only where it differs from that.

Notebook: 12_invert_and_generate
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mer_lib.captions import ENOUGH_SEEDS
from mer_lib.inversion import Inversion, layers_of, noise, relative_distance, represent
from mer_lib.models import Network, build
from mer_lib.places import run_folder
from mer_lib.preparation import Prepared
from mer_lib.runs import Run
from mer_lib.starting import networks_at_hand

UNTRAINED = "untrained"
NOISE, ANOTHER = "noise", "another clip"
STARTS = (NOISE, ANOTHER)
IN_UNIT = 16  # clips whose mutual distance is the unit
ITSELF, TWIN, NATURAL, ADVERSARIAL = "itself", "twin", "natural", "adversarial"
Networks = Mapping[tuple[str, int], Network]  # (system or UNTRAINED, seed of training) -> network


def untrained(model: Network, seed: int = 0) -> Network:
    """A network of the same shape and z-scores with fresh random weights, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(model.system.name, model.width, float(model.mean), float(model.std)).eval()


def networks_with_control(
    study: str, systems: Sequence[str], seeds: Sequence[int], prepared: str, data_dir: str | Path = "data"
) -> tuple[dict[tuple[str, int], Network], list[Run], Prepared, str]:
    """Trained networks of several systems and seeds, and untrained ones: the study's own, else the pretrained.

    Returns
    -------
    dict, list of Run, Prepared, str
        (system, seed) -> network, with ("untrained", seed) last, shaped like a system with a bottleneck where there is
        one; the runs; the corpus; and a sentence that says what they are.
    """
    runs: dict[tuple[str, int], Run] = {}
    said = []
    for seed in seeds:
        found, data, about = networks_at_hand(study, systems, seed, prepared, data_dir)
        runs = {(name, int(run.info["seed"])): run for name, run in found.items()} | runs
        said.append(about)
    # Where the study trained some of these seeds, the pretrained networks do not stand in for the others
    runs = {key: run for key, run in runs.items() if run.folder == run_folder(study, *key)} or runs
    networks = {key: run.model for key, run in runs.items()}
    for seed in dict.fromkeys(seed for _, seed in runs):
        shapes = [model for (_, own), model in networks.items() if own == seed]
        shape = next((model for model in shapes if model.system.bottleneck), shapes[0])
        networks[UNTRAINED, seed] = untrained(shape, seed)
    if said == [f"Networks of study {study!r}, seed {seed}." for seed in seeds]:
        said = [f"Networks of study {study!r}, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}."]
    return networks, list(runs.values()), data, " ".join(dict.fromkeys(said))


def caption(runs: Sequence[Run], said: str, clips: int, draws: int, steps: int) -> str:
    """The line under every figure: networks, corpus, who rated, width, epochs, seeds, clips, draws and effort."""
    of_all = {
        key: "/".join(dict.fromkeys(f"{run.info[key]:g}" for run in runs)) for key in ("width", "epochs_run", "seed")
    }
    corpus = " and ".join(dict.fromkeys(f"{run.info['corpus']} ({run.info['ratings_kind']})" for run in runs))
    seeds = len({run.info["seed"] for run in runs})
    few = " Few seeds: what is shown holds for these networks." if seeds < ENOUGH_SEEDS else ""
    return (
        f"{said} Corpus {corpus}; width {of_all['width']}, {of_all['epochs_run']} epochs, seed {of_all['seed']}; "
        f"{clips} test clips, draws of the start: {draws}, {steps} steps.{few}"
    )


@dataclass(frozen=True)
class Inverted:
    """What :func:`invert_all` found.

    Attributes
    ----------
    rows
        One a network, layer, start, draw and clip: system, seed, layer, start, draw, clip, distance_start, distance,
        of_two_clips (``distance`` in units of that of two different clips), picture_distance_start, picture_distance,
        outline_start, outline, last (distance of the last iterate), best_step.
    paths
        The same keys with step, of_two_clips, picture_distance and outline, for every iterate.
    found
        (system, seed, layer, start, draw) -> log spectrograms (clips, 313, 149), not z-scored.
    starts
        (start, draw) -> log spectrograms the search began with.
    """

    rows: pd.DataFrame
    paths: pd.DataFrame
    found: dict[tuple, Tensor]
    starts: dict[tuple[str, int], Tensor]


def start_pictures(
    originals: Tensor, pool: Tensor, starts: Sequence[str], draws: int, mean: float, std: float, spread: float
) -> dict[tuple[str, int], Tensor]:
    """(start, draw) -> log spectrograms to begin with: noise around the corpus mean, or clips drawn from a pool."""
    pictures = {}
    for draw in range(draws):
        for start in starts:
            if start == NOISE:
                pictures[start, draw] = (noise(*originals.shape, spread, draw) * std + mean).clamp(min=0)
            elif start == ANOTHER:
                rows = np.random.default_rng(draw).choice(len(pool), len(originals), replace=len(pool) < len(originals))
                pictures[start, draw] = pool[rows]
            else:
                raise ValueError(f"unknown start {start!r}: one of {', '.join(STARTS)}")
    return pictures


def distance_of_two_clips(model: Network, pictures: Tensor, layer: str) -> float:
    """Mean relative distance of the representations of different clips (clips, 313, 149), z-scored; at least two.

    The first :data:`IN_UNIT` clips are taken.
    """
    pictures = pictures[:IN_UNIT]
    with torch.no_grad():
        representations = represent(model, pictures, layer)
    pairs = [relative_distance(representations.roll(shift, 0), representations) for shift in range(1, len(pictures))]
    return float(torch.stack(pairs).mean())


def invert_all(
    networks: Networks,
    originals: Tensor,
    pool: Tensor,
    clips: Sequence[str],
    method: Inversion,
    layers: Sequence[str],
    *,
    starts: Sequence[str] = STARTS,
    draws: int = 3,
    spread: float = 0.1,
) -> Inverted:
    """Invert layers of several networks, all from the same starts.

    Parameters
    ----------
    networks
        See :func:`networks_with_control`.
    originals
        Log spectrograms (clips, 313, 149), not z-scored, of the clips to be found again.
    pool
        Log spectrograms of other clips: starts, and the unit of distance.
    clips
        Names of the originals.
    method
        Settings of the search; its layer and domain are set here.
    layers
        A network without one of these layers is left out there.
    starts, draws
        :data:`STARTS` to begin with, and how many draws of each.
    spread
        Standard deviation of the noise, in z-scores.
    """
    any_network = next(iter(networks.values()))
    begin = start_pictures(originals, pool, starts, draws, float(any_network.mean), float(any_network.std), spread)
    rows, paths, found = [], [], {}
    for (system, seed), model in networks.items():
        wanted, others = model.standardise(originals), model.standardise(pool)
        first = torch.cat([model.standardise(pictures) for pictures in begin.values()])
        for layer in [name for name in layers if name in layers_of(model)]:
            unit = distance_of_two_clips(model, others, layer)
            search = replace(method, layer=layer, domain="spectrogram")
            result = search.invert(model, wanted.repeat(len(begin), 1, 1), first)
            logs = (result.found * model.std + model.mean).clamp(min=0).split(len(originals))
            found |= {(system, seed, layer, *key): part for key, part in zip(begin, logs, strict=True)}
            keys = [
                {"system": system, "seed": seed, "layer": layer, "start": start, "draw": draw, "clip": clip}
                for start, draw in begin
                for clip in clips
            ]
            rows.append(_row_table(result, unit).assign(**_columns(keys)))
            paths += _path_tables(result, unit, keys)
    names = ["system", "seed", "layer", "start", "draw", "clip"]
    tables = [pd.concat(parts, ignore_index=True) for parts in (rows, paths)]
    ordered = [table[[*names, *table.columns.drop(names)]] for table in tables]
    return Inverted(*ordered, found, begin)


def picture_grid(inverted: Inverted, originals: Tensor, clip: int = 0) -> dict[str, dict[str, np.ndarray | None]]:
    """Of one clip: original and start, then system -> layer -> what the first draw of noise led to (None: no layer)."""
    first = {key[:4]: found for key, found in inverted.found.items() if key[3] == NOISE and key[4] == 0}
    layers = list(dict.fromkeys(layer for _, _, layer, _ in first))
    grid: dict[str, dict[str, np.ndarray | None]] = {
        "clip": {"original": originals[clip].numpy(), "start": inverted.starts[NOISE, 0][clip].numpy()}
    }
    for (system, _, layer, _), found in first.items():
        grid.setdefault(system, dict.fromkeys(layers))
        if grid[system][layer] is None:
            grid[system][layer] = found[clip].numpy()
    return grid


def _columns(keys: list[dict]) -> dict[str, list]:
    return {name: [key[name] for key in keys] for name in keys[0]}


def _row_table(result, unit: float) -> pd.DataFrame:  # noqa: ANN001
    per_step = {"picture_distance": result.picture_distance_per_step, "outline": result.outline_per_step}
    columns = {
        "distance_start": result.distance_per_step[0],
        "distance": result.distance,
        "of_two_clips": result.distance / unit,
        "last": result.distance_per_step[-1],
        "best_step": result.best_step,
    }
    for name, values in per_step.items():
        columns |= {f"{name}_start": values[0], name: result.at_best(values)}
    return pd.DataFrame({name: values.numpy() for name, values in columns.items()})


def _path_tables(result, unit: float, keys: list[dict]) -> Iterator[pd.DataFrame]:  # noqa: ANN001
    for item, key in enumerate(keys):
        yield pd.DataFrame(
            {
                **key,
                "step": np.arange(len(result.distance_per_step)),
                "of_two_clips": result.distance_per_step[:, item].numpy() / unit,
                "picture_distance": result.picture_distance_per_step[:, item].numpy(),
                "outline": result.outline_per_step[:, item].numpy(),
            }
        )


def kind_of_judge(maker: str, judge: str) -> str:
    """What a judge is to a maker: itself, its twin (the same system, trained the other way), natural or adversarial.

    A twin shares head and loss with the maker, and each maker has one: it counts for nobody.
    """
    if judge == maker:
        return ITSELF
    if judge.removeprefix("a") == maker.removeprefix("a"):
        return TWIN
    return ADVERSARIAL if judge.startswith("a") else NATURAL


def agreement(inverted: Inverted, networks: Networks, originals: Tensor, clips: Sequence[str]) -> pd.DataFrame:
    """Does another network take what was found for the original?

    1 - |B(x') - B(x)| / |B(x0) - B(x)| with a judge B's eight answers to what was found, the original and the start: 1
    where the judge answers as to the original, 0 where it has come no nearer than the start, less where it is farther.

    Returns
    -------
    pandas.DataFrame
        system, seed, layer, start, draw, clip, judge, kind (:func:`kind_of_judge`), agreement. Judges have the same
        seed as the network that was inverted and another system; untrained networks judge nothing.
    """
    answers: dict[tuple, Tensor] = {}
    rows = []
    for (system, seed, layer, start, draw), pictures in inverted.found.items():
        for (judge, own), model in networks.items():
            if judge in (system, UNTRAINED) or own != seed:
                continue
            for key, values in (("original", originals), ((start, draw), inverted.starts[start, draw])):
                if (judge, own, key) not in answers:
                    answers[judge, own, key] = emotions_of_pictures(model, values)
            wanted, first = answers[judge, own, "original"], answers[judge, own, (start, draw)]
            nearer = 1 - (emotions_of_pictures(model, pictures) - wanted).norm(dim=1) / (first - wanted).norm(dim=1)
            keys = {"system": system, "seed": seed, "layer": layer, "start": start, "draw": draw, "judge": judge}
            keys["kind"] = kind_of_judge(system, judge)
            rows += [{**keys, "clip": clip, "agreement": float(a)} for clip, a in zip(clips, nearer, strict=True)]
    return pd.DataFrame(rows)


def emotions_of_pictures(model: Network, pictures: Tensor, batch: int = 16) -> Tensor:
    """Emotions (clips, 8) that a network in eval mode says to log spectrograms that are not z-scored."""
    with torch.inference_mode():
        return torch.cat([model(model.standardise(part)).emotions for part in pictures.split(batch)])
