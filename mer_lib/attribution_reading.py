"""What the attacks on explanations allow to say: differences between trainings clip by clip, and sentences from tables.

Notebook: 11_attribution_robustness
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mer_lib.attribution_study import KEYS, TRAININGS, interval
from mer_lib.effect_changes import ON_EFFECTS

NATURAL = "natural"


def differences(table: pd.DataFrame, column: str = "corrected_clips") -> pd.DataFrame:
    """Every training against the natural one, clip by clip: mean difference with its 95 % interval over the clips.

    Positive: its explanations stay more. Each pair has one seed, so the intervals say nothing about new networks.

    Parameters
    ----------
    table
        From :func:`mer_lib.attribution_study.agreement_table`.
    column
        The score, or a corrected one.

    Returns
    -------
    pandas.DataFrame
        Columns train_clips, domain, method, aim, measure, training, natural, other, difference, low, high, clips.
    """
    same = [name for name in (*KEYS, "measure") if name != "training"]
    rows = []
    for key, part in table.groupby(same, sort=False):
        values = part.pivot(index="clip", columns="training", values=column)
        for training in [name for name in TRAININGS if name in values and name != NATURAL and NATURAL in values]:
            pair = values[[NATURAL, training]].dropna()
            change = (pair[training] - pair[NATURAL]).to_numpy()
            levels = (pair[NATURAL].mean(), pair[training].mean(), change.mean() if len(change) else np.nan)
            rows.append([*key, training, *levels, *interval(change), len(change)])
    columns = [*same, "training", NATURAL, "other", "difference", "low", "high", "clips"]
    return pd.DataFrame(rows, columns=columns)


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _one(table: pd.DataFrame, **wanted: object) -> pd.Series | None:
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table.iloc[0] if len(table) else None


def _fragility(means: pd.DataFrame, kept: pd.DataFrame, training: str, whole: int) -> list[str]:
    """How far each domain's attack on the top-k gets, beside random signs, and whether predictions stayed."""
    lines = []
    method = means["method"].iloc[0]
    for domain in dict.fromkeys(means["domain"]):
        at = {"training": training, "train_clips": whole, "domain": domain, "method": method}
        hit, noise = (_one(means, **at, aim=aim, measure="top-k") for aim in ("top-k", "random sign"))
        moved = _one(kept, **at, aim="top-k")
        if hit is None or noise is None:
            continue
        lines.append(
            f"- **{domain}**, {training} training: the top-k attack leaves {_percent(hit['score'])} of the highest "
            f"cells, random signs of the same budget {_percent(noise['score'])}; no prediction moved by more than "
            f"{moved['largest_move']:.3f}."
        )
        near = _one(means, **at, aim="LENS", measure="LENS-recall")
        if near is not None and np.isfinite(near["chance_clips"]):
            lines.append(
                f"- With windows the LENS attack leaves {_percent(near['score'])} (LENS-recall). Maps of other clips "
                f"would give {_percent(near['chance_clips'])} by chance, noise {_percent(near['chance_noise'])}; above "
                f"that of other clips {_percent(near['corrected_clips'])} of what could be left is left."
            )
    return lines


def _trainings(pairs: pd.DataFrame, measure: str, aim: str) -> list[str]:
    lines = []
    shown = pairs[(pairs["measure"] == measure) & (pairs["aim"] == aim)]
    for (clips, domain, method), part in shown.groupby(["train_clips", "domain", "method"], sort=False):
        told = []
        for row in part.itertuples():
            interval = f" [{row.low:+.2f}, {row.high:+.2f}]" if np.isfinite(row.low) else ""
            told.append(f"{row.training} {row.difference:+.2f}{interval}")
        lines.append(
            f"- {clips} training clips, {domain}, {method}: agreement above chance ({measure}, {aim} attack) against "
            f"natural training ({part['natural'].iloc[0]:.2f}): " + "; ".join(told) + "."
        )
    return lines


def reading(means: pd.DataFrame, pairs: pd.DataFrame, kept: pd.DataFrame, effects: pd.DataFrame | None = None) -> str:
    """What the tables say, in Markdown; every statement is computed from their rows.

    Parameters
    ----------
    means, kept, effects
        From :func:`mer_lib.attribution_study.means`, :func:`mer_lib.attribution_study.kept_table` and
        :func:`mer_lib.effect_changes.effect_changes`.
    pairs
        From :func:`differences`, of the agreement above that with other clips.
    """
    training = NATURAL if NATURAL in set(means["training"]) else means["training"].iloc[0]
    whole = means.loc[means["training"] == training, "train_clips"].max()
    lines = _fragility(means, kept, training, whole) + _trainings(pairs, "LENS-recall", "LENS")
    if effects is not None and len(effects):
        maps, aimed = effects[effects["aim"] != ON_EFFECTS], effects[effects["aim"] == ON_EFFECTS]
        lines.append(
            f"- The bottleneck's effects: attacks on the maps flip {maps['flips'].mean():.1f} of seven signs and leave "
            f"a rank correlation of {maps['rank_correlation'].mean():.2f}; the attack on the effects themselves flips "
            f"{aimed['flips'].mean():.1f} and leaves {aimed['rank_correlation'].mean():.2f}."
        )
    lines.append("- One seed a network: intervals are over clips, for exactly these networks.")
    return "\n".join(lines)
