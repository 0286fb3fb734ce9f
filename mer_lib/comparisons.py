"""Systems compared on what every seed and clip says: differences, intervals, tests, and what few seeds allow.

Notebooks: 09_credibility, 13_published_runs
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from mer_lib.captions import ENOUGH_SEEDS
from mer_lib.models import SYSTEMS
from mer_lib.statistics import (
    Interval,
    clips_interval,
    effect_size,
    grouped_interval,
    holm,
    permutation_test,
    pooled_t_test,
    random_effects_interval,
    smallest_p,
)

CONDITIONAL = "conditional on the trained networks"
OVER_BOTH = "over new seeds and clips"
THESE_CLIPS = "over new seeds, for these test clips"
SHOWN = {
    "first": "first", "second": "second", "seeds": "seeds", "difference": "difference", "low": "95 % from",
    "high": "to", "p_holm": "p (permutation, Holm)", "verdict": "verdict", "hedges_g": "effect (Hedges' g)",
    "share": "share first > second", "pooled_t": "pooled paired t", "pooled_p": "its p", "interval": "interval",
}  # fmt: skip


def by_seed_and_clip(values: pd.DataFrame, systems: Sequence[str], column: str = "value") -> list[pd.DataFrame]:
    """Tables seed x clip of systems, cut to the seeds and clips that all of them have.

    Parameters
    ----------
    values
        Tidy: system, seed, clip and the column.
    """
    if values.duplicated(["system", "seed", "clip"]).any():
        raise ValueError("a system, seed and clip has several values: choose one attack")
    parts = [values[values["system"] == name].pivot(index="seed", columns="clip", values=column) for name in systems]
    seeds = sorted(set.intersection(*(set(part.index) for part in parts)))
    parts = [part.loc[seeds].dropna(axis=1) for part in parts]
    clips = sorted(set.intersection(*(set(part.columns) for part in parts)))
    return [part[clips] for part in parts]


def _group_of_clip(values: pd.DataFrame) -> pd.Series:
    return values.drop_duplicates("clip").set_index("clip")["group"]


def clip_rises(predictions: pd.DataFrame) -> pd.DataFrame:
    """What an attack did to each clip: rise of its MAE, plain and over the spread of its network's clean answers.

    The spread counts as known in what is made of these values; :mod:`mer_lib.harm` draws it together with the clips.

    Parameters
    ----------
    predictions
        Tidy: system, seed, attack, clip, emotion, rating, clean, attacked (NaN ratings are left out), perhaps group.

    Returns
    -------
    pandas.DataFrame
        system, seed, attack, clip, rise, rise_over_spread, and the group where it is known.
    """
    error = {name: (predictions[name] - predictions["rating"]).abs() for name in ("clean", "attacked")}
    keys = ["system", "seed", "attack", "clip"]
    table = (
        predictions[keys].assign(rise=error["attacked"] - error["clean"]).groupby(keys, sort=False)["rise"].mean()
    ).reset_index()
    rated = predictions.groupby("emotion")["rating"].transform("count") > 0  # nothing has trained the others
    of_emotion = predictions[rated].groupby(["system", "seed", "attack", "emotion"])["clean"].std(ddof=0)
    spread = of_emotion.groupby(["system", "seed", "attack"]).mean().rename("spread")
    table = table.join(spread, on=["system", "seed", "attack"])
    table = table.assign(rise_over_spread=table["rise"] / table["spread"]).drop(columns="spread")
    if "group" in predictions:
        table = table.join(_group_of_clip(predictions), on="clip")
    return table


def of_runs(runs: pd.DataFrame, values: pd.Series) -> pd.DataFrame:
    """One value a run in the form the comparisons take; ``clip`` is "all", so that only seeds vary."""
    return runs[["system", "seed"]].assign(clip="all", value=np.asarray(values))


def _seeds_interval(values: np.ndarray, level: float) -> Interval:
    """Mean over seeds of one value each; without an interval for one seed."""
    mean, count = values.mean(), len(values)
    half = stats.t.ppf(0.5 + level / 2, count - 1) * values.std(ddof=1) / np.sqrt(count) if count > 1 else np.nan
    return Interval(mean, mean - half, mean + half)


def groups_of_clips(values: pd.DataFrame, clips: pd.Index) -> np.ndarray | None:
    """The group of each clip, where it is known of all (predictions of the grouped split name it)."""
    if "group" not in values:
        return None
    groups = _group_of_clip(values).reindex(clips)
    return groups.to_numpy() if groups.notna().all() and groups.nunique() > 1 else None


def _interval(values: np.ndarray, level: float, groups: np.ndarray | None = None) -> tuple[Interval, str]:
    """The interval that so many seeds and clips allow, and what must be said about it."""
    if groups is not None:
        known = OVER_BOTH if len(values) >= ENOUGH_SEEDS else CONDITIONAL
        chosen = values if len(values) >= ENOUGH_SEEDS else values.mean(axis=0, keepdims=True)
        return grouped_interval(chosen, groups, level), f"{known}; over {len(set(groups))} groups of clips"
    if values.shape[1] == 1:
        few = "" if len(values) >= ENOUGH_SEEDS else f"; {len(values)} seeds: not meaningful"
        return _seeds_interval(values[:, 0], level), THESE_CLIPS + few
    if len(values) < ENOUGH_SEEDS:
        return clips_interval(values, level), CONDITIONAL
    return random_effects_interval(values, level), OVER_BOTH


def system_means(values: pd.DataFrame, column: str = "value", level: float = 0.95) -> pd.DataFrame:
    """Mean of each system with its interval; below five seeds it is conditional on the trained networks, and says so.

    Parameters
    ----------
    values
        Tidy: system, seed, clip and the column.
    """
    rows = []
    for name in [name for name in SYSTEMS if name in set(values["system"])]:
        (table,) = by_seed_and_clip(values, [name], column)
        interval, holds = _interval(table.to_numpy(), level, groups_of_clips(values, table.columns))
        rows.append({"system": name, "seeds": len(table), "clips": table.shape[1], "mean": interval.estimate})
        rows[-1] |= {"low": interval.low, "high": interval.high, "interval": holds}
    return pd.DataFrame(rows).astype({"mean": float, "low": float, "high": float}).set_index("system")


COMPARISON = (
    "first", "second", "seeds", "clips", "difference", "low", "high", "interval", "p", "p_holm", "hedges_g", "share",
    "pooled_t", "pooled_p", "verdict",
)  # fmt: skip


def compare_systems(
    values: pd.DataFrame,
    column: str = "value",
    pairs: Sequence[tuple[str, str]] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Every pair of systems: difference, interval, permutation test over seeds, effect size, and the paper's test.

    Parameters
    ----------
    values
        Tidy: system, seed, clip and the column; one value each (one attack). With a column ``group`` intervals are
        over groups of clips (albums), not over clips.
    pairs
        Pairs to compare, by default all that have a seed and clips in common; they are the family of Holm's
        correction.

    Returns
    -------
    pandas.DataFrame
        A row a pair. ``difference`` is first minus second. ``share`` is the share of seeds and clips where the first
        has the larger value (ties count half). ``verdict`` says "untestable with n seeds" where even the clearest
        outcome could not reach significance after Holm's correction.
    """
    names = [name for name in SYSTEMS if name in set(values["system"])]
    rows = []
    for first, second in combinations(names, 2) if pairs is None else pairs:
        one, other = by_seed_and_clip(values, [first, second], column)
        a, b = one.to_numpy(), other.to_numpy()
        if a.size == 0:
            if pairs is None:
                continue
            raise ValueError(f"{first} and {second} have no seed and clip in common: they cannot be compared")
        interval, holds = _interval(a - b, level, groups_of_clips(values, one.columns))
        of_seed = (a - b).mean(axis=1)
        # With one value a seed there is nothing that could be pooled
        t, p = pooled_t_test(a, b) if a.shape[1] > 1 else (np.nan, np.nan)
        rows.append(
            {
                "first": first, "second": second, "seeds": len(a), "clips": a.shape[1],
                "difference": float(interval.estimate), "low": float(interval.low), "high": float(interval.high),
                "interval": holds, "p": permutation_test(of_seed), "hedges_g": effect_size(of_seed),
                "share": float(np.mean((a > b) + 0.5 * (a == b))), "pooled_t": t, "pooled_p": p,
            }
        )  # fmt: skip
    table = pd.DataFrame(rows, columns=[name for name in COMPARISON if name not in ("p_holm", "verdict")])
    table.insert(table.columns.get_loc("p") + 1, "p_holm", holm(table["p"]) if rows else [])
    reachable = [len(rows) * smallest_p(seeds) <= 1 - level for seeds in table["seeds"]]
    table["verdict"] = [
        "differ" if row.p_holm <= 1 - level
        else "no difference shown" if can else f"untestable with {row.seeds} seed{'s' if row.seeds > 1 else ''}"
        for row, can in zip(table.itertuples(), reachable, strict=True)
    ]  # fmt: skip
    return table


def compare_attacks(predictions: pd.DataFrame, column: str = "rise") -> pd.DataFrame:
    """:func:`compare_systems` for every attack; the pairs of one attack are one family of Holm's correction.

    Parameters
    ----------
    predictions
        Tidy, as for :func:`clip_rises`.
    column
        "rise" or "rise_over_spread".
    """
    rises = clip_rises(predictions)
    tables = [
        compare_systems(rises[rises["attack"] == attack], column).assign(attack=attack)
        for attack in dict.fromkeys(rises["attack"])
    ]
    return pd.concat(tables, ignore_index=True)


def shown(comparison: pd.DataFrame) -> pd.DataFrame:
    """A comparison as notebooks show it: columns in words, numbers rounded, the paper's test labelled as what it is."""
    table = comparison.rename(columns=SHOWN)[[*(["attack"] if "attack" in comparison else []), *SHOWN.values()]].copy()
    for name in ("p (permutation, Holm)", "its p"):
        table[name] = ["–" if np.isnan(p) else f"{p:.3f}" if p >= 0.001 else "< .001" for p in table[name]]
    untestable = table["verdict"].astype(str).str.startswith("untestable")
    table.loc[untestable, "p (permutation, Holm)"] = "–"
    if table["pooled paired t"].isna().all():
        table = table.drop(columns=["pooled paired t", "its p"])
    return table.round(4)
