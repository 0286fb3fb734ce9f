"""Figures about evidence: curves to chance, the ladder of attacks, differences with intervals, and the published norms.

Notebooks: 09_credibility, 13_published_runs
"""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mer_lib.models import SYSTEMS
from mer_lib.plots import ATTACKED, MARKERS, PALETTE, RATED, finish, panels, styled


@styled
def budget_curves(
    curves: pd.DataFrame, chance: float, title: str, caption: str, label: str = "budget epsilon"
) -> Figure:
    """MAE and correlation against the budget, a line a system; dashed: the mean predictor, who is at chance.

    Parameters
    ----------
    curves
        Rows: system, epsilon, mae, corr; epsilon 0 is the clean clip.
    chance
        MAE of the mean predictor.
    label
        The budget's unit.

    Notebook: 09_credibility
    """
    figure, axes = panels(1, 2, height=3.4)
    smallest = curves.loc[curves["epsilon"] > 0, "epsilon"].min()
    for system in [name for name in SYSTEMS if name in set(curves["system"])]:
        part = curves[curves["system"] == system].sort_values("epsilon")
        for axis, metric in zip(axes[0], ("mae", "corr"), strict=True):
            axis.plot(
                part["epsilon"], part[metric], marker=MARKERS[system], markersize=5, color=PALETTE[system], label=system
            )
    for axis, name, level in zip(axes[0], ("MAE", "correlation"), (chance, 0.0), strict=True):
        axis.axhline(level, color=RATED, linestyle="--", linewidth=1, label="chance")
        # Linear up to the smallest budget, so that the clean clip (0) has its place
        axis.set_xscale("symlog", linthresh=smallest)
        ticks = sorted(curves["epsilon"].unique())
        axis.set_xticks(ticks, [f"{value:g}" for value in ticks])
        axis.minorticks_off()
        axis.set(xlabel=label, ylabel=name, xlim=(-0.15 * smallest, 1.4 * ticks[-1]))
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)


@styled
def ladder(rises: pd.DataFrame, title: str, caption: str) -> Figure:
    """Rise of the MAE under each attack, a panel a system: noise at the foot, the strongest on top; –: not tried.

    Parameters
    ----------
    rises
        Rows: system, attack, rise; attacks in the order in which they are to stand, the weakest first.

    Notebook: 09_credibility
    """
    attacks = list(dict.fromkeys(rises["attack"]))
    systems = [name for name in SYSTEMS if name in set(rises["system"])]
    figure, axes = panels(
        1,
        len(systems),
        width=min(11.0, 3.5 + 2.2 * len(systems)),
        height=1.4 + 0.22 * len(attacks),
        sharex=True,
        sharey=True,
    )
    for axis, system in zip(axes[0], systems, strict=True):
        part = rises[rises["system"] == system].set_index("attack")["rise"]
        rows = np.array([attacks.index(name) for name in part.index])
        axis.hlines(rows, 0, part, color=PALETTE[system], alpha=0.45, linewidth=3)
        axis.scatter(part, rows, color=PALETTE[system], marker=MARKERS[system], s=26, zorder=3)
        axis.axvline(0, color="0.5", linewidth=1)
        for row in set(range(len(attacks))) - set(rows):
            axis.annotate("–", (0, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=14)
        axis.set(title=system, xlabel="rise of MAE", ylim=(-0.7, len(attacks) - 0.3))
        axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(nbins=4))
    axes[0, 0].set_yticks(range(len(attacks)), attacks)
    return finish(figure, title, f"{caption} –: not tried.")


@styled
def differences(tables: Mapping[str, pd.DataFrame], title: str, caption: str) -> Figure:
    """Differences between systems with their intervals, a panel a measure; filled where the permutation test shows one.

    Parameters
    ----------
    tables
        Measure -> a comparison by :func:`mer_lib.comparisons.compare_systems`.

    Notebook: 09_credibility, 13_published_runs
    """
    both = pd.concat([table[["first", "second"]] for table in tables.values()])
    pairs = list(dict.fromkeys(both["first"] + " – " + both["second"]))
    figure, axes = panels(
        1, len(tables), width=min(11.0, 3.0 + 3.0 * len(tables)), height=1.5 + 0.27 * len(pairs), sharey=True
    )
    for axis, (measure, table) in zip(axes[0], tables.items(), strict=True):
        axis.axvline(0, color="0.5", linewidth=1)
        for row in table.itertuples():
            at = len(pairs) - 1 - pairs.index(f"{row.first} – {row.second}")
            shown = row.verdict == "differ"
            colour = RATED if shown else "0.45"
            axis.hlines(at, row.low, row.high, color=colour, linewidth=1.8)
            axis.scatter(row.difference, at, s=34, color=colour if shown else "white", edgecolor=colour, zorder=3)
        axis.set(title=measure, xlabel="difference, 95 % interval", ylim=(-0.7, len(pairs) - 0.3))
        axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(nbins=5))
    axes[0, 0].set_yticks(range(len(pairs)), pairs[::-1])
    return finish(figure, title, caption)


@styled
def published_norms(runs: pd.DataFrame, allowed: float, title: str, caption: str) -> Figure:
    """The logged l2 norm of every published run: a line from the smallest to the largest clip, a point at the mean.

    Parameters
    ----------
    runs
        Rows as in ``data/published/runs.csv``.
    allowed
        What the stated budget allows; dashed.

    Notebook: 13_published_runs
    """
    figure, axes = panels(1, 1, height=3.6)
    axis, at, ticks = axes[0, 0], 0, {}
    for system in [name for name in SYSTEMS if name in set(runs["system"])]:
        part = runs[runs["system"] == system].sort_values("seed")
        places = at + np.arange(len(part))
        # A clip that was left alone has norm 0, which has no place on a logarithmic axis: the line ends at the edge
        axis.vlines(places, part["l2_norm_min"].clip(lower=0.05), part["l2_norm_max"], color=PALETTE[system], alpha=0.5)
        axis.scatter(places, part["l2_norm_mean"], color=PALETTE[system], marker=MARKERS[system], s=20, zorder=3)
        ticks[places.mean()] = system
        at += len(part) + 1
    axis.axhline(allowed, color=ATTACKED, linestyle="--", label=f"what the stated budget allows: {allowed:.3f}")
    axis.set(yscale="log", ylabel="l2 norm of the perturbation", ylim=(0.05, None))
    axis.set_xticks(list(ticks), list(ticks.values()))
    axis.grid(axis="x", visible=False)
    axis.legend(loc="upper left", bbox_to_anchor=(0.0, 1.12), frameon=False)
    return finish(figure, title, caption)


@styled
def courses(paths: pd.DataFrame, published: pd.Series, title: str, caption: str) -> Figure:
    """How far the published step raises the error when it is carried on; dotted: the rise in the published logs.

    Parameters
    ----------
    paths
        Rows of :func:`mer_lib.reread.courses`: system, step, rise.
    published
        Mean rise by system, after up to 1000 steps.

    Notebook: 13_published_runs
    """
    figure, axes = panels(1, 1, height=3.6)
    axis = axes[0, 0]
    for system in [name for name in SYSTEMS if name in set(paths["system"])]:
        part = paths[(paths["system"] == system) & (paths["step"] > 0)]
        axis.plot(part["step"], part["rise"], color=PALETTE[system], label=system)
        axis.plot(part["step"].iloc[-1], part["rise"].iloc[-1], color=PALETTE[system], marker=MARKERS[system])
        if system in published.index:
            axis.axhline(published[system], color=PALETTE[system], linestyle=":", linewidth=1)
    axis.set(xscale="log", yscale="log", xlabel="steps of .002", ylabel="rise of the MAE")
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)


@styled
def explanations_moved(table: pd.DataFrame, tolerance: float, title: str, caption: str) -> Figure:
    """How far the explanation moved while the emotions stayed, a point a clip; dashed: as far as the head allows.

    Parameters
    ----------
    table
        Rows: system, emotions moved, explanation moved, bound for the tolerance.
    tolerance
        How far the emotions may move; the head's bound is proportional to it.

    Notebook: 09_credibility
    """
    systems = [name for name in SYSTEMS if name in set(table["system"])]
    figure, axes = panels(1, len(systems), width=min(13.0, 3.0 + 2.6 * len(systems)), height=3.2)
    for axis, system in zip(axes[0], systems, strict=True):
        part = table[table["system"] == system]
        axis.scatter(
            part["emotions moved"], part["explanation moved"], color=PALETTE[system], marker=MARKERS[system], s=30
        )
        ends, bound = [0, tolerance], part["bound for the tolerance"].iloc[0]
        axis.plot(ends, [0, bound], color=RATED, linestyle="--", label="most that this\nhead allows")
        axis.plot(ends, ends, color="0.7", label="equal move (y = x)")
        axis.set(title=system, xlabel="emotions moved (l2)", xlim=(-0.05 * tolerance, 1.05 * tolerance))
        axis.set_ylim(-0.05 * axis.get_ylim()[1], None)
    axes[0, 0].set_ylabel("bottleneck moved (l2)")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)
