"""Generation by several networks, and what others say to the outcome: networks, a judge that is none, and formulas.

Whatever a network is asked to raise, it raises: its own answer proves nothing. Here the clips it made are judged by
every other network, by a ridge regression on textbook audio features (no network, no gradient was ever taken through
it), and, for mid-level qualities, by the formulas of :mod:`mer_lib.descriptors`. A rise is counted in standard
deviations of the judge's own answers to recordings, so that judges with a small range count alike.

Notebook: 12_invert_and_generate
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_predict
from torch import Tensor

from mer_lib.audio_distance import Embedding, features
from mer_lib.dataset import MIDLEVEL
from mer_lib.generation import Generation, gaussian_starts, output_of, rated_highest
from mer_lib.inversion_study import ITSELF, UNTRAINED, Networks, kind_of_judge
from mer_lib.models import SYSTEMS, Network
from mer_lib.sound_scores import computed_qualities

FEATURES, COMPUTED = "audio features", "computed"
PICTURE, SOUND = "picture", "sound"


@dataclass(frozen=True)
class FeatureJudge:
    """A judge that is no network: ridge regression from a clip's mean features to one rating; made by :meth:`fit`.

    Attributes
    ----------
    correlation
        With the ratings of clips it was not fitted to (five-fold cross-validation): how far it can be trusted.
    spread
        Standard deviation of its answers to the recordings it was fitted to.
    """

    embedding: Embedding
    ridge: RidgeCV
    correlation: float
    spread: float

    @classmethod
    def fit(cls, windows: np.ndarray, ratings: np.ndarray) -> FeatureJudge:
        """Fit to features (clips, windows, 58) and ratings (clips,) of recordings; unrated clips are left out."""
        windows, ratings = windows[np.isfinite(ratings)], ratings[np.isfinite(ratings)]
        embedding = Embedding.fit(windows)
        inputs = embedding(windows).mean(axis=1)
        ridge = RidgeCV(alphas=np.logspace(-1, 4, 11))
        left_out = cross_val_predict(ridge, inputs, ratings, cv=min(5, len(ratings)))
        ridge.fit(inputs, ratings)
        return cls(embedding, ridge, float(np.corrcoef(left_out, ratings)[0, 1]), float(ridge.predict(inputs).std()))

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """Answers (clips,) to features (clips, windows, 58)."""
        return self.ridge.predict(self.embedding(windows).mean(axis=1))


@dataclass(frozen=True)
class Generated:
    """What :func:`generate_all` made.

    Attributes
    ----------
    rows
        system, seed, output, draw, sample, start, reached (the network's own answers), change, best_step.
    found
        (system, seed, output, draw) -> log spectrograms (samples, 313, 149), not z-scored.
    starts
        (output, draw) -> log spectrograms the search began with.
    """

    rows: pd.DataFrame
    found: dict[tuple, Tensor]
    starts: dict[tuple[str, int], Tensor]


def generate_all(
    networks: Networks, pictures: np.ndarray, ratings: pd.DataFrame, method: Generation, outputs: Sequence[str],
    *, samples: int = 2, draws: int = 3,
) -> Generated:  # fmt: skip
    """Let every network raise outputs, all from the same draws of the same Gaussian.

    Parameters
    ----------
    networks
        (system, seed) -> network.
    pictures, ratings
        Log spectrograms (clips, 313, 149) and ratings (columns emotions and mid-level) of the clips to fit to.
    method
        Settings of the search; its output is set here.
    outputs
        Emotions or mid-level qualities; a network without such an output is left out there.
    samples, draws
        Starts per draw, and draws.

    Raises
    ------
    ValueError
        If no clip is rated for one of the outputs.
    """
    if unrated := [output for output in outputs if ratings[output].isna().all()]:
        there = ", ".join(ratings.columns[ratings.notna().any()])
        raise ValueError(f"no clip has a value for {', '.join(unrated)}: choose outputs among {there}")
    starts, found, rows = {}, {}, []
    for output in outputs:
        chosen = pictures[np.sort(rated_highest(ratings[output]))]
        starts |= {(output, draw): gaussian_starts(chosen, samples, seed=draw) for draw in range(draws)}
    for (system, seed), model in networks.items():
        for output in [name for name in outputs if has_output(model, name)]:
            begin = torch.cat([starts[output, draw] for draw in range(draws)])
            result = replace(method, output=output, domain="spectrogram").generate(model, model.standardise(begin))
            logs = (result.found * model.std + model.mean).clamp(min=0).split(samples)
            found |= {(system, seed, output, draw): part for draw, part in enumerate(logs)}
            columns = {
                "draw": np.repeat(np.arange(draws), samples),
                "sample": np.tile(np.arange(samples), draws),
                "start": result.output_start.numpy(),
                "reached": result.output.numpy(),
                "change": result.change.numpy(),
                "best_step": result.best_step.numpy(),
            }
            rows.append(pd.DataFrame({"system": system, "seed": seed, "output": output, **columns}))
    return Generated(pd.concat(rows, ignore_index=True), found, starts)


def picture_grid(generated: Generated, sample: int = 0) -> dict[str, dict[str, np.ndarray | None]]:
    """Of one sample of the first draw: output -> start and system -> log spectrogram (None: it has no such output)."""
    systems = list(dict.fromkeys(key[0] for key in generated.found))
    grid: dict[str, dict[str, np.ndarray | None]] = {}
    for (system, _, output, draw), found in generated.found.items():
        if draw == 0:
            start = generated.starts[output, draw][sample].numpy()
            row = grid.setdefault(output, {"start": start, **dict.fromkeys(systems)})
            row[system] = found[sample].numpy() if row[system] is None else row[system]
    return grid


def has_output(model: Network, output: str) -> bool:
    """Whether a network has an output of that meaning: a bottleneck that was told no qualities has none of them."""
    return output not in MIDLEVEL or (model.midlevel_head is not None and model.system.midlevel_weight > 0)


def _answers(model: Network, inputs: Tensor, medium: str, output: str) -> np.ndarray:
    """One output (clips,) of a network for log spectrograms or waveforms."""
    with torch.inference_mode():
        said = model(model.standardise(inputs)) if medium == PICTURE else model.from_waveform(inputs)
    return output_of(said, output).numpy()


def judged(
    made: Mapping[tuple, Tensor], starts: Mapping[tuple, Tensor], networks: Networks, recordings: Tensor,
    medium: str = PICTURE,
) -> pd.DataFrame:  # fmt: skip
    """What every network says to what every network made.

    Parameters
    ----------
    made
        (system, seed, output, draw) -> log spectrograms, or waveforms (samples, 220500) where the medium is "sound".
    starts
        (output, draw) -> the same for what the search began with.
    networks
        Judges: those of the maker's seed that have the output; untrained ones judge nobody but themselves.
    recordings
        Log spectrograms (clips, 313, 149), not z-scored: the spread of a judge's answers to them is the unit.
    medium
        "picture" or "sound".

    Returns
    -------
    pandas.DataFrame
        system, seed, output, draw, sample, medium, judge ("itself" for the maker), kind
        (:func:`mer_lib.inversion_study.kind_of_judge`), start, reached, rise (in the judge's spreads).
    """
    said: dict[tuple, np.ndarray] = {}
    rows = []
    for (system, seed, output, draw), inputs in made.items():
        for (judge, own), model in networks.items():
            if own != seed or not has_output(model, output) or (judge == UNTRAINED and system != UNTRAINED):
                continue
            if (judge, own, output) not in said:
                said[judge, own, output] = _answers(model, recordings, PICTURE, output)
            if (judge, own, output, draw) not in said:
                said[judge, own, output, draw] = _answers(model, starts[output, draw], medium, output)
            about = {"system": system, "seed": seed, "output": output, "draw": draw, "medium": medium}
            about |= {
                "judge": ITSELF if judge == system else judge,
                "kind": kind_of_judge(system, judge),
            }
            first, reached = said[judge, own, output, draw], _answers(model, inputs, medium, output)
            rows += _rises(about, first, reached, float(said[judge, own, output].std()))
    return pd.DataFrame(rows)


def _rises(about: dict, first: np.ndarray, reached: np.ndarray, spread: float) -> list[dict]:
    values = zip(first, reached, strict=True)
    return [
        {**about, "sample": sample, "start": float(a), "reached": float(b), "rise": float((b - a) / max(spread, 1e-9))}
        for sample, (a, b) in enumerate(values)
    ]


def judged_without_networks(
    made: Mapping[tuple, np.ndarray], starts: Mapping[tuple, np.ndarray], recordings: np.ndarray, ratings: pd.DataFrame,
    qualities: np.ndarray | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """What judges say that are no networks: the feature judge and, for mid-level qualities, the formulas.

    Parameters
    ----------
    made, starts
        As for :func:`judged`, waveforms.
    recordings, ratings
        Features (clips, windows, 58) and ratings of recordings, to fit the feature judge to.
    qualities
        Computed qualities (clips, 7) of the recordings, for their spread.

    Returns
    -------
    pandas.DataFrame, pandas.DataFrame
        Rows as of :func:`judged`, kind "no network"; and each judge's correlation with ratings it was not fitted to.
    """
    rows, trust = [], []
    windows = {key: features(waveforms) for key, waveforms in {**starts, **made}.items()}
    computed = {
        key: computed_qualities(waveforms)
        for key, waveforms in {**starts, **made}.items()
        if key_output(key) in MIDLEVEL
    }
    for output in dict.fromkeys(key_output(key) for key in made):
        known = ratings[output].to_numpy(np.float64)
        judge = FeatureJudge.fit(recordings, known)
        trust.append({"output": output, "judge": FEATURES, "correlation": judge.correlation})
        column = MIDLEVEL.index(output) if output in MIDLEVEL else None
        if column is not None and qualities is not None:
            r = np.corrcoef(qualities[:, column], known)[0, 1]
            trust.append({"output": output, "judge": COMPUTED, "correlation": float(r)})
        for key in [key for key in made if key_output(key) == output]:
            system, seed, _, draw = key
            about = {
                "system": system,
                "seed": seed,
                "output": output,
                "draw": draw,
                "medium": SOUND,
                "kind": "no network",
            }
            first, reached = judge(windows[output, draw]), judge(windows[key])
            rows += _rises({**about, "judge": FEATURES}, first, reached, judge.spread)
            if column is not None and qualities is not None:
                first, reached = computed[output, draw][:, column], computed[key][:, column]
                rows += _rises({**about, "judge": COMPUTED}, first, reached, float(qualities[:, column].std()))
    return pd.DataFrame(rows), pd.DataFrame(trust)


def key_output(key: tuple) -> str:
    """The output in a key (output, draw) or (system, seed, output, draw)."""
    return key[-2]


def judge_table(rows: pd.DataFrame, output: str, medium: str) -> pd.DataFrame:
    """Mean rise, a row a maker and a column a judge, for one output and medium; the makers' own answers come first."""
    part = rows[(rows["output"] == output) & (rows["medium"] == medium)]
    table = part.pivot_table(index="system", columns="judge", values="rise", aggfunc="mean", observed=True)
    judges = [name for name in (ITSELF, *SYSTEMS, FEATURES, COMPUTED) if name in table]
    makers = [name for name in (*SYSTEMS, UNTRAINED) if name in table.index]
    return table.loc[makers, judges]
