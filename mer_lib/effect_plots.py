"""Figures of what a bottleneck says of itself: effects, two clips side by side, and what each neuron knows.

Notebook: 10_explain
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mer_lib.explanation_plots import in_words, outside_legend
from mer_lib.plots import ATTACKED, CLEAN, PALETTE, RATED, finish, panels, styled

CLIPS = ((CLEAN, "o"), (ATTACKED, "D"))


@styled
def effect_boxes(
    table: pd.DataFrame, title: str, caption: str, column: str = "effect", labels: Mapping[str, str] | None = None
) -> Figure:
    """Effects of every neuron on every emotion over many clips: a box a neuron, a panel an emotion.

    Parameters
    ----------
    table
        Tidy, from :func:`mer_lib.effects.effects_table`.
    column
        "effect" or "relative".
    labels
        Neuron -> what stands at its box, such as its correlation with its quality.
    """
    emotions, neurons = list(dict.fromkeys(table["emotion"])), list(dict.fromkeys(table["neuron"]))
    figure, axes = panels(2, -(-len(emotions) // 2), width=10.5, height=5.6, sharex=True, sharey=True)
    places = np.arange(len(neurons))[::-1]
    for axis, emotion in zip(axes.flat, emotions, strict=False):
        part = table[table["emotion"] == emotion]
        axis.axvline(0, color="0.5", linewidth=1)
        axis.boxplot(
            [part.loc[part["neuron"] == neuron, column] for neuron in neurons], positions=places, widths=0.6,
            orientation="horizontal", patch_artist=True, showfliers=False, whis=(5, 95),
            boxprops={"facecolor": CLEAN, "alpha": 0.4}, medianprops={"color": RATED, "linewidth": 1.6},
        )  # fmt: skip
        axis.set_title(emotion)
        axis.set_yticks(places, [(labels or {}).get(neuron, in_words(neuron)) for neuron in neurons])
        axis.grid(axis="y", visible=False)
    for axis in axes[-1]:
        axis.set_xlabel("effect" if column == "effect" else "effect minus its mean")
    return finish(figure, title, caption)


@styled
def two_clips(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Two clips side by side: their emotions, what the neurons say of them, and what that contributes.

    Parameters
    ----------
    table
        From :func:`mer_lib.explanation_tables.pair_table`; ratings and known values are drawn hollow.
    """
    names = list(dict.fromkeys(table["panel"]))
    clips = list(dict.fromkeys(table["clip"]))
    figure, axes = panels(1, len(names), width=11.0, height=3.4)
    for axis, panel in zip(axes[0], names, strict=True):
        part = table[table["panel"] == panel]
        rows = list(dict.fromkeys(part["name"]))[::-1]
        if part["value"].min() < 0:
            axis.axvline(0, color="0.5", linewidth=1)
        for clip, (colour, marker), shift in zip(clips, CLIPS, (0.14, -0.14), strict=True):
            for kind, here in part[part["clip"] == clip].groupby("kind", sort=False):
                hollow = kind in ("rated", "known")
                axis.scatter(
                    here["value"], [rows.index(name) + shift for name in here["name"]], marker=marker, s=40,
                    facecolors="none" if hollow else colour, edgecolors=colour, linewidths=1.2,
                    label=f"{clip}, {'rated / known' if hollow else 'network'}" if axis is axes[0, 1] else None,
                )  # fmt: skip
        axis.set_yticks(range(len(rows)), [in_words(name) for name in rows])
        axis.set_xlabel(panel)
        axis.set_ylim(-0.6, len(rows) - 0.4)
    figure.legend(loc="outside right center", frameon=False)
    return finish(figure, title, caption)


@styled
def neuron_worth(tables: Mapping[str, pd.DataFrame], title: str, caption: str) -> Figure:
    """How well each neuron predicts its quality: r with its interval, and what is left with the other six held fixed.

    Parameters
    ----------
    tables
        System -> :func:`mer_lib.effects.neuron_quality`.
    """
    figure, axes = panels(
        1, len(tables), width=min(10.5, 3.0 + 3.4 * len(tables)), height=3.3, sharex=True, sharey=True
    )
    for axis, (system, table) in zip(axes[0], tables.items(), strict=True):
        places = np.arange(len(table))[::-1]
        axis.axvline(0, color="0.5", linewidth=1)
        axis.hlines(places, table["low"], table["high"], color=PALETTE[system], linewidth=2, alpha=0.6)
        axis.scatter(table["r"], places, color=PALETTE[system], s=44, zorder=3, label="r with its quality (95 %)")
        axis.scatter(
            table["partial r"], places, marker="X", color=RATED, s=44, zorder=3, linewidths=0,
            label="r, other six held fixed",
        )  # fmt: skip
        axis.set_yticks(places, [in_words(name) for name in table.index])
        axis.set(xlabel="correlation", title=system, xlim=(-0.6, 1.02))
    outside_legend(axes)
    return finish(figure, title, caption)
