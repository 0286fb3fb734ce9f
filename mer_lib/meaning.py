"""Do adversarially trained networks carry more meaning? Every measure on the same footing, with what it is worth.

Boychev (2023, arXiv 2307.02500) shows pictures and lets the reader see that robust networks carry more meaning. Here
"more meaning" is a difference of numbers between two networks that differ in one thing (adversarial training, a
bottleneck, its meaning, or training at all), over the same clips and the same starts, with an interval.

Notebook: 12_invert_and_generate
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from mer_lib.captions import ENOUGH_SEEDS
from mer_lib.dataset import MIDLEVEL
from mer_lib.inversion_study import ITSELF, TWIN, UNTRAINED
from mer_lib.models import SYSTEMS
from mer_lib.statistics import Interval, clips_interval, random_effects_interval

QUESTIONS = {
    "adversarial training": (("aA2E", "A2E"), ("aA2B2E", "A2B2E"), ("aA2M2E", "A2M2E")),
    "a bottleneck with meaning": (("A2M2E", "A2E"), ("A2M2E", "A2B2E"), ("aA2M2E", "aA2E")),
    "training at all": tuple((system, UNTRAINED) for system in SYSTEMS),
}
MORE, LESS, OPEN = "more", "less", "open"
OVER_DRAWS = "over new draws and clips, conditional on the trained networks"
OVER_CLIPS = "over new clips, conditional on the trained networks and the draw"
OVER_SEEDS = "over new seeds and clips"
OVER_SETS = "over new draws, conditional on the trained networks and these clips"
NONE = "none: one clip"
LEAST_TRUST = 0.3  # a judge that is no network counts where it correlates so much with ratings it was not fitted to


def score(table: pd.DataFrame, measure: str, column: str, sign: float = 1.0) -> pd.DataFrame:
    """A measure in the form that :func:`verdicts` takes; what is not in the keys (judges, outputs) is averaged.

    Parameters
    ----------
    table
        system, seed, draw, "clip" or "sample", and the column.
    measure
        What the measure is called.
    column, sign
        Its values; -1 where less of it means more meaning.

    Returns
    -------
    pandas.DataFrame
        measure, system, seed, draw, clip, value.
    """
    table = table.rename(columns={"sample": "clip"}) if "clip" not in table else table
    keys = ["system", "seed", "draw", "clip"]
    values = (sign * table.groupby(keys, sort=False)[column].mean()).rename("value").reset_index()
    values.insert(0, "measure", measure)
    return values


def score_each(table: pd.DataFrame, by: str, measure: str, column: str, sign: float = 1.0) -> pd.DataFrame:
    """:func:`score` for every value of a column (a layer), called "measure, value", or by the value alone."""
    name = f"{measure}, {{}}" if measure else "{}"
    return pd.concat([score(part, name.format(value), column, sign) for value, part in table.groupby(by, sort=False)])


def at_equal_distance(paths: pd.DataFrame) -> pd.DataFrame:
    """The first iterate of every search that is as near as the least successful search of its layer and start got.

    Networks that invert easily go on long after others have stopped; here all are looked at where they stand equally
    near, in units of the distance of two clips.

    Returns
    -------
    pandas.DataFrame
        system, seed, layer, start, draw, clip, step, of_two_clips, picture_distance, outline, and ``equal``, the
        distance that all have reached.
    """
    keys = ["system", "seed", "layer", "start", "draw", "clip"]
    reached = paths.groupby(keys, sort=False)["of_two_clips"].min()
    equal = reached.groupby(["layer", "start"]).max().rename("equal")
    table = paths.join(equal, on=["layer", "start"])
    near = table[table["of_two_clips"] <= table["equal"]]
    return near.groupby(keys, sort=False).first().reset_index()


def scores_of_rises(rises: pd.DataFrame, trust: pd.DataFrame) -> pd.DataFrame:
    """What judges say to generated clips: a measure for emotions and for qualities, each medium and kind of judge.

    Parameters
    ----------
    rises, trust
        As :mod:`mer_lib.generation_study` gives them. Judges that are no network count where they can be trusted
        (:data:`LEAST_TRUST`).
    """
    known = trust.set_index(["output", "judge"])["correlation"]
    keys = zip(rises["output"], rises["judge"], strict=True)
    trusted = np.array([key not in known.index or known[key] >= LEAST_TRUST for key in keys])
    part = rises[trusted & ~rises["kind"].isin([ITSELF, TWIN])]
    what = np.where(part["output"].isin(MIDLEVEL), "qualities", "emotions")
    judge = np.where(part["kind"] == "no network", part["judge"], part["kind"])
    named = what + " raised, " + part["medium"] + ", judge: " + judge
    return score_each(part.assign(named=named), "named", "", "rise")


def interval_of(values: pd.DataFrame, level: float = 0.95) -> tuple[Interval, str]:
    """Mean with the interval that so many seeds, draws and clips allow, and what it holds for.

    With five or more trained seeds these are what varies, and draws are averaged; below that it is the draws of the
    start, and the interval is conditional on the trained networks.

    Parameters
    ----------
    values
        seed, draw, clip, value.
    """
    unit = "seed" if values["seed"].nunique() >= ENOUGH_SEEDS else "draw"
    table = values.pivot_table(index=unit, columns="clip", values="value", aggfunc="mean").dropna(axis=1).to_numpy()
    if table.shape[1] < 2 or not table.size:
        mean = table.mean() if table.size else np.nan
        if len(table) < 2 or not table.size:
            return Interval(mean, np.nan, np.nan), NONE
        return Interval(mean, *stats.t.interval(level, len(table) - 1, mean, stats.sem(table[:, 0]))), OVER_SETS
    if len(table) < 2:
        return clips_interval(table, level), OVER_CLIPS
    return random_effects_interval(table, level), OVER_SEEDS if unit == "seed" else OVER_DRAWS


def means(scores: pd.DataFrame) -> pd.DataFrame:
    """Every system's mean with its interval: measure, system, mean, low, high, interval."""
    rows = []
    for (measure, system), values in scores.groupby(["measure", "system"], sort=False):
        found, holds = interval_of(values)
        rows.append(
            {"measure": measure, "system": system, "mean": found.estimate, "low": found.low, "high": found.high}
        )
        rows[-1]["interval"] = holds
    return pd.DataFrame(rows).astype({"mean": float, "low": float, "high": float})


def verdicts(scores: pd.DataFrame) -> pd.DataFrame:
    """Each measure for each pair of networks that differ in one thing.

    Parameters
    ----------
    scores
        :func:`score` tables, one under the other; more is more meaning.

    Returns
    -------
    pandas.DataFrame
        question, measure, first, second, clips, draws, mean_first, mean_second, difference (first minus second, over
        the clips, draws and seeds that both have), low, high, interval, verdict: "more" or "less" where the interval
        leaves out 0, else "open".
    """
    rows = []
    keys = ["seed", "draw", "clip"]
    for question, pairs in QUESTIONS.items():
        for measure, values in scores.groupby("measure", sort=False):
            for first, second in pairs:
                both = values[values["system"] == first].merge(values[values["system"] == second], on=keys)
                if both.empty:
                    continue
                both["value"] = both["value_x"] - both["value_y"]
                found, holds = interval_of(both[[*keys, "value"]])
                verdict = MORE if found.low > 0 else LESS if found.high < 0 else OPEN
                rows.append({"question": question, "measure": measure, "first": first, "second": second})
                rows[-1] |= {"clips": both["clip"].nunique(), "draws": both["draw"].nunique()}
                rows[-1] |= {"mean_first": both["value_x"].mean(), "mean_second": both["value_y"].mean()}
                rows[-1] |= {"difference": float(found.estimate), "low": float(found.low), "high": float(found.high)}
                rows[-1] |= {"interval": holds, "verdict": verdict}
    return pd.DataFrame(rows)


def main_question(table: pd.DataFrame) -> str:
    """The first of :data:`QUESTIONS` that the networks at hand can answer; any trained system answers the last."""
    return next(question for question in QUESTIONS if question in set(table["question"]))


def _in_words(more: int, less: int, all_of_them: int) -> str:
    if more and less:
        return "In some ways more, in others less."
    if more:
        return "Yes." if more > all_of_them / 2 else "In part: where it shows at all, it is more."
    return "No: where it shows at all, it is less." if less else "Not shown."


def reading(table: pd.DataFrame, asked: Sequence[str] = tuple(QUESTIONS)) -> str:
    """The answer as a list in Markdown, counted from the verdicts.

    Parameters
    ----------
    table
        As :func:`verdicts` gave it.
    """
    lines = []
    for question in asked:
        part = table[table["question"] == question]
        if part.empty:
            continue
        counts = part["verdict"].value_counts()
        more, less, unsettled = (int(counts.get(verdict, 0)) for verdict in (MORE, LESS, OPEN))
        pairs = ", ".join(dict.fromkeys(f"{row.first} against {row.second}" for row in part.itertuples()))
        lines.append(
            f"- **Does {question} add meaning? {_in_words(more, less, len(part))}** ({pairs}) Of {len(part)} rows "
            f"{more} say more, {less} less, {unsettled} stay open."
        )
        for verdict, words in ((MORE, "More"), (LESS, "Less")):
            chosen = part[part["verdict"] == verdict]
            if len(chosen):
                by_measure = chosen.groupby("measure", sort=False)["first"].agg(", ".join)
                lines.append(f"  - {words}: " + "; ".join(f"{name} ({firsts})" for name, firsts in by_measure.items()))
    lines.append(
        f"- Intervals: {'; '.join(dict.fromkeys(table['interval']))}. They are 95 % each and not corrected for their "
        f"number: of {len(table)} comparisons without any difference about {0.05 * len(table):.0f} would leave out 0."
    )
    return "\n".join(lines)
