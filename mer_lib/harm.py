"""What an attack did, in several measures: none of them alone says who is robust.

The paper reports the rise of the MAE. A network that errs more before the attack can rise less and err as much after
it; one that answers timidly moves little; one that has learned less has less to lose. So beside the rise stand the
error under attack, the rise after each network's answers were brought to the ratings' scale, the share of what the
network knew that the attack took, and the correlation. Where they agree about an order, that order is worth telling.

Intervals draw clips anew (albums in the grouped split), the same for all systems, and compute everything from the drawn
clips: the spread, the scale and the correlation are estimates from them, too. They hold for exactly these networks.

Notebook: 08_robustness
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from mer_lib.comparisons import CONDITIONAL, groups_of_clips
from mer_lib.models import SYSTEMS
from mer_lib.statistics import clip_draws, percentile_interval

DRAWS = 2000
ERROR, RISE, OVER_SPREAD = "error under attack", "rise", "rise / spread"
RESCALED, LOST = "rise, answers rescaled", "gain over a constant lost"
CORRELATION, FALL = "correlation under attack", "fall of the correlation"
DIFFERENCE = ("attack", "measure", "first", "second", "seeds", "clips", "difference", "low", "high", "interval")
MEASURES = (RISE, ERROR, OVER_SPREAD, RESCALED, LOST, CORRELATION, FALL)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros_like(above), where=np.abs(below) > 1e-12)


def harm(rating: np.ndarray, clean: np.ndarray, attacked: np.ndarray, times: np.ndarray | None = None) -> pd.DataFrame:
    """Every measure of what an attack did to one network.

    Parameters
    ----------
    rating, clean, attacked
        (clips, emotions); NaN ratings are left out.
    times
        How often each clip counts, (draws, clips); once by default.

    Returns
    -------
    pandas.DataFrame
        A row a draw, the columns of :data:`MEASURES`. ``rise, answers rescaled`` is the rise of the MAE after each
        emotion's least-squares line from the clean answers to the ratings was applied to both answers: no change of
        scale or level of a network's answers changes it. ``gain over a constant lost`` divides the rise by what the
        clean MAE lies below that of a constant answer, each emotion's mean rating over these same clips: at 1 the
        attacked network is worth what that constant is worth, and it is NaN for a network that never was worth more.
    """
    rating, clean, attacked = (np.asarray(values, dtype=np.float64) for values in (rating, clean, attacked))
    times = np.ones((1, len(rating))) if times is None else np.asarray(times, dtype=np.float64)
    rated = np.isfinite(rating)
    weights = times[:, :, None] * rated  # (draws, clips, emotions)
    rating = np.where(rated, rating, 0.0)
    count = weights.sum(axis=1)

    def mean(values: np.ndarray) -> np.ndarray:  # (draws, emotions) of (clips, emotions) or (draws, clips, emotions)
        return _ratio((weights * values).sum(axis=1), count)

    def error(answers: np.ndarray) -> np.ndarray:  # (draws,), over all rated cells, as mer_lib.metrics has it
        return (weights * np.abs(answers - rating)).sum(axis=(1, 2)) / count.sum(axis=1)

    def covariance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return mean(one * other) - mean(one) * mean(other)

    known_of = count.max(axis=0) > 1  # outputs that nobody rated are left out

    def correlation(answers: np.ndarray) -> np.ndarray:
        norm = np.sqrt(np.maximum(covariance(answers, answers) * covariance(rating, rating), 0))
        each = _ratio(covariance(answers, rating), norm)[:, known_of]
        return each.mean(axis=1) if known_of.any() else np.full(len(each), np.nan)

    slope = _ratio(covariance(clean, rating), covariance(clean, clean))
    level = mean(rating) - slope * mean(clean)
    before, after = (error(slope[:, None] * answers + level[:, None]) for answers in (clean, attacked))
    each = times[:, :, None] / times.sum(axis=1)[:, None, None]
    variance = (each * clean**2).sum(axis=1) - (each * clean).sum(axis=1) ** 2
    spread = np.sqrt(np.maximum(variance, 0))[:, rated.any(axis=0)].mean(axis=1)
    known = error(mean(rating)[:, None]) - error(clean)
    rise = error(attacked) - error(clean)
    return pd.DataFrame(
        {
            RISE: rise,
            ERROR: error(attacked),
            OVER_SPREAD: np.where(spread > 1e-12, _ratio(rise, spread), np.nan),
            RESCALED: after - before,
            LOST: np.where(known > 0, _ratio(rise, known), np.nan),
            CORRELATION: correlation(attacked),
            FALL: correlation(clean) - correlation(attacked),
        }
    )


def _cells(predictions: pd.DataFrame) -> dict[tuple[str, int], dict[str, pd.DataFrame]]:
    """Rating, clean and attacked of each system and seed under one attack, each clips x emotions."""
    return {
        key: {
            name: part.pivot(index="clip", columns="emotion", values=name) for name in ("rating", "clean", "attacked")
        }
        for key, part in predictions.groupby(["system", "seed"], sort=False)
    }


def harm_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """:func:`harm` of every attack, system and seed.

    Parameters
    ----------
    predictions
        Tidy: system, seed, attack, clip, emotion, rating, clean, attacked.

    Notebook: 08_robustness
    """
    rows = []
    for attack, part in predictions.groupby("attack", sort=False):
        for (system, seed), cells in _cells(part).items():
            rows.append(harm(**cells).assign(attack=attack, system=system, seed=seed))
    return pd.concat(rows, ignore_index=True)[["attack", "system", "seed", *MEASURES]]


def harm_differences(
    predictions: pd.DataFrame, *, draws: int = DRAWS, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """Every pair of systems in every measure, first minus second, with an interval over the clips.

    Parameters
    ----------
    predictions
        As for :func:`harm_table`; with a column ``group`` albums are drawn, not clips.
    draws, seed
        Number of resamples, and the generator's seed.

    Returns
    -------
    pandas.DataFrame
        attack, measure, first, second, seeds (those that both have), clips, difference, low, high, interval. An end is
        NaN where a measure is not defined in a draw.

    Notebook: 08_robustness
    """
    rows = []
    for attack, part in predictions.groupby("attack", sort=False):
        cells = _cells(part)
        clips = sorted(set.intersection(*(set(tables["rating"].index) for tables in cells.values())))
        groups = groups_of_clips(part, pd.Index(clips))
        times = clip_draws(len(clips), groups, draws=draws, seed=seed)
        times = np.concatenate([np.ones((1, len(clips))), times])  # the first row is the estimate
        found = {
            key: harm(**{n: t.loc[clips] for n, t in tables.items()}, times=times) for key, tables in cells.items()
        }
        there = list(dict.fromkeys(system for system, _ in found))
        names = [name for name in SYSTEMS if name in there] + [name for name in there if name not in SYSTEMS]
        for first, second in combinations(names, 2):
            common = sorted({s for name, s in found if name == first} & {s for name, s in found if name == second})
            if not common:
                continue
            apart = sum(found[first, s] - found[second, s] for s in common) / len(common)
            units = len(clips) if groups is None else len(set(groups))
            over = f"{units} clips" if groups is None else f"{units} groups of clips"
            for measure in MEASURES:
                estimate, drawn = apart[measure].iloc[0], apart[measure].iloc[1:].to_numpy()
                low, high = percentile_interval(drawn, units, level)
                row = {"attack": attack, "measure": measure, "first": first, "second": second, "seeds": len(common)}
                row |= {"clips": len(clips), "difference": estimate, "low": low, "high": high}
                rows.append(row | {"interval": f"{CONDITIONAL}; over {over}"})
    return pd.DataFrame(rows, columns=list(DIFFERENCE))


def shown(differences: pd.DataFrame) -> pd.DataFrame:
    """Differences under one attack as notebooks show them: a row a pair, a column a measure, "estimate [low, high]"."""
    numbers = differences[["difference", "low", "high"]].round(3).astype(float)
    words = [
        "–" if np.isnan(mean) else f"{mean:.3f}" + ("" if np.isnan(low + high) else f" [{low:.3f}, {high:.3f}]")
        for mean, low, high in numbers.itertuples(index=False)
    ]
    pairs = differences["first"] + " – " + differences["second"]
    table = pd.DataFrame({"pair": pairs, "measure": differences["measure"], "said": words})
    order = [name for name in MEASURES if name in set(table["measure"])]
    return table.pivot(index="pair", columns="measure", values="said").loc[list(dict.fromkeys(pairs)), order]
