"""The tables behind the figures of explanations, and what they say in words, computed from the numbers.

Notebook: 10_explain
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from mer_lib.dataset import EMOTIONS, MIDLEVEL
from mer_lib.effects import effects, neuron_names
from mer_lib.explanations import METHODS, Attribution, agreement, attribute
from mer_lib.interventions import Composed, matched_pairs, set_quality
from mer_lib.models import Network, Prediction
from mer_lib.preparation import Prepared

LEAST_CORRELATION = 0.3  # a network that predicts less has learned nothing that its explanation could be about
# (system, emotion) -> method and baseline -> attributions of the clips
Found = Mapping[tuple[str, str], Mapping[str, Attribution]]


def pair_table(
    model: Network, said: Prediction, data: Prepared, rows: Sequence[int], emotion: str, reference: np.ndarray
) -> pd.DataFrame:
    """Two clips: their emotions, what the neurons say of them, and the relative effects on one emotion.

    Parameters
    ----------
    said
        What the network says to these clips, a row a clip.
    rows
        The clips' rows of ``data``.
    reference
        Mean answers of the neurons (7,): relative effects are taken against these.

    Returns
    -------
    pandas.DataFrame
        Tidy: panel, name, clip, kind ("predicted", "rated", "said", "known", "effect"), value.
    """
    names, found = neuron_names(model), []
    relative = effects(model, said.midlevel, reference)[:, EMOTIONS.index(emotion)]
    known = data.midlevel[rows] if model.system.midlevel_weight else np.full((len(rows), len(MIDLEVEL)), np.nan)
    panels = (
        ("rating", EMOTIONS, "predicted", said.emotions),
        ("rating", EMOTIONS, "rated", data.emotions[rows]),
        ("value of the neuron", names, "said", said.midlevel),
        ("value of the neuron", names, "known", known),
        (f"relative effect on {emotion}", names, "effect", relative),
    )
    for panel, labels, kind, values in panels:
        for clip, row in enumerate(rows):
            part = {"panel": panel, "name": labels, "clip": f"clip {data.table['id'].iloc[row]}", "kind": kind}
            found.append(pd.DataFrame({**part, "value": values[clip]}))
    return pd.concat(found, ignore_index=True).dropna(subset="value")


def pair_reading(table: pd.DataFrame, worth: pd.DataFrame | None) -> str:
    """What sets two clips apart, and whether the neurons can be trusted with it, in Markdown."""
    first, second = dict.fromkeys(table["clip"])
    wide = table.pivot_table(index=["panel", "name", "kind"], columns="clip", values="value", sort=False)
    gap = (wide[first] - wide[second]).abs()
    kinds = gap.index.get_level_values("kind")
    text = f"The predicted emotions of {first} and {second} differ by {gap[kinds == 'predicted'].mean():.3f} on average"
    if "rated" in kinds:
        text += f" (the ratings by {gap[kinds == 'rated'].mean():.3f})"
    reasons = gap[kinds == "effect"].droplevel(["panel", "kind"]).nlargest(2)
    text += ". Their reasons differ most in " + " and ".join(
        f"{name.replace('_', ' ')} ({size:.3f})" for name, size in reasons.items()
    )
    if worth is not None and "known" in kinds:
        apart = (wide[first] - wide[second])[kinds == "known"].droplevel(["panel", "kind"])
        heard = (wide[first] - wide[second])[kinds == "said"].droplevel(["panel", "kind"])
        text += ". " + " ".join(
            f"In {name.replace('_', ' ')} the neuron says {heard[name]:+.2f} of a known difference of "
            f"{apart[name]:+.2f}; its usual error is {worth.loc[name, 'MAE']:.2f}."
            for name in reasons.index
        )
        return text
    return text + "."


def attributions(
    model: Network, inputs: Tensor, target: str, background: Tensor, steps: int = 16, seed: int = 0
) -> dict[str, Attribution]:
    """Every method with every baseline that suits it: silence, and other clips for those that take a background.

    Parameters
    ----------
    background
        Z-scored spectrograms of other clips, (baselines, 313, 149).
    """
    found = {f"{m}, silence": attribute(model, inputs, target, m, steps=steps, seed=seed) for m in METHODS}
    others = {"baselines": background, "steps": steps, "seed": seed}
    return found | {f"{m}, clips": attribute(model, inputs, target, m, **others) for m in METHODS[1:]}


def completeness_table(
    found: Mapping[tuple[str, str], Mapping[str, Attribution]], clips: Sequence[str]
) -> pd.DataFrame:
    """Completeness of all attributions, tidy.

    Parameters
    ----------
    found
        (system, emotion) -> method -> attributions of the clips.
    """
    parts = [
        one.completeness().assign(system=system, emotion=emotion, method=method, clip=list(clips))
        for (system, emotion), methods in found.items()
        for method, one in methods.items()
    ]
    return pd.concat(parts, ignore_index=True)


def mean_agreement(found: Found) -> pd.DataFrame:
    """Rank correlation between methods, mean over systems, emotions and clips."""
    tables = [agreement({name: one.maps for name, one in methods.items()}) for methods in found.values()]
    return sum(tables) / len(tables)


def set_values_table(
    model: Network, midlevel: np.ndarray, known: Composed, ratings: np.ndarray, rows: np.ndarray, quality: str
) -> pd.DataFrame:
    """Emotions while a quality is set: by the network, by listeners to pieces composed so, and by matched pieces.

    Parameters
    ----------
    midlevel
        What the bottleneck says to the clips of ``rows``, (clips, 7).
    ratings
        Of all pieces, (pieces, 8).
    rows
        The clips of which means are taken; matched pairs come from all pieces.

    Returns
    -------
    pandas.DataFrame
        Tidy: emotion, who, value, rating. "listeners, same pieces" is what noiseless listeners would say to the very
        same pieces composed with another value: the truth.
    """
    causes, found = known.causes, []
    values = np.linspace(causes[quality].min(), causes[quality].max(), 5)
    said = set_quality(model, midlevel, quality, values).mean(axis=1)
    true = [known.ratings(causes.iloc[rows].assign(**{quality: value})).mean().to_numpy() for value in values]
    pairs = matched_pairs(causes, quality)
    ends = [pairs["low"], pairs["high"]]
    matched = [ratings[end].mean(axis=0) for end in ends]
    sources = (
        ("network, neuron set", values, said),
        ("listeners, same pieces", values, np.array(true)),
        ("listeners, matched pieces", [causes[quality].iloc[end].mean() for end in ends], matched),
    )
    for who, at, answers in sources:
        wide = pd.DataFrame(np.asarray(answers), columns=list(EMOTIONS)).assign(value=np.asarray(at), who=who)
        found.append(wide.melt(["who", "value"], var_name="emotion", value_name="rating"))
    return pd.concat(found, ignore_index=True)


def correction_reading(tables: Mapping[str, pd.DataFrame]) -> str:
    """Whether the emotions gain by known values in the bottleneck, in Markdown."""
    lines = []
    for system, table in tables.items():
        ends = table.groupby("corrected")[["MAE", "correlation"]].mean().iloc[[0, -1]]
        before, after = ends["correlation"]
        verdict = "The last layer works with the qualities themselves."
        if before < LEAST_CORRELATION:
            verdict = "It predicts too little for this to say anything."
        elif after <= before:
            verdict = (
                "The last layer does not work with the qualities as such: it reads from the neurons what their names "
                "do not say."
            )
        lines.append(
            f"- **{system}**: with all seven known values in place of its own answers the correlation of the emotions "
            f"goes from {before:.2f} to {after:.2f}, the MAE from {ends['MAE'].iloc[0]:.3f} to "
            f"{ends['MAE'].iloc[1]:.3f}. {verdict}"
        )
    return "\n".join(lines)


def shortcut_reading(
    scores: pd.DataFrame, slopes: pd.DataFrame, profiles: Mapping[str, pd.DataFrame], emotion: str, limit_hz: float
) -> str:
    """Who uses the shortcut, what it costs, and whether the attributions show it, in Markdown.

    Parameters
    ----------
    scores, slopes, profiles
        From :func:`mer_lib.shortcut_evidence.variant_scores`, ``response_slopes`` and ``band_profile``.
    limit_hz
        The property lies below this frequency.
    """
    lines = []
    of = slopes[slopes["output"] == emotion].set_index("network")
    for name, part in scores.groupby("network", sort=False):
        r = part.set_index("variant")["correlation"]
        low = profiles[name].loc[profiles[name]["hertz"] < limit_hz, "share"].sum() if name in profiles else np.nan
        slope, sd = of.loc[name, "slope"], of.loc[name, "sd over clips"]
        shown = "" if np.isnan(low) else f"; {low:.0%} of its attribution lies below {limit_hz:g} Hz"
        lines.append(
            f"- **{name}**: {emotion} moves by {slope:+.3f} (sd over clips {sd:.3f}) per unit of the property; "
            f"correlation {r['present']:.2f} with it, {r['absent']:.2f} without, {r['reversed']:.2f} reversed{shown}."
        )
    return "\n".join(lines)
