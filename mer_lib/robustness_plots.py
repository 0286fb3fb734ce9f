"""Figures of the comparison of systems, after the paper's Figures 3 and 4.

Notebooks: 05_adversarial_training, 08_robustness
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mer_lib.attack_plots import attack_title
from mer_lib.plots import ATTACKED, CLEAN, MARKERS, PALETTE, RATED, SECOND, finish, panels, styled

BOX_SEEDS = 5  # below this, a box would show quartiles of almost nothing: the points alone are drawn
RATED_FROM, RATED_TO = 0.1, 0.9  # ratings from 1 to 9, divided by 10


def _order(systems: pd.Series) -> list[str]:
    """The systems that are there, in the study's order."""
    return [name for name in PALETTE if name in set(systems)]


def _points(axis: Axes, values: Sequence[float], at: int, system: str, box: bool) -> None:
    """One system's values: a point a seed, a line at the mean, and a box where there are enough of them."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if box and len(values) >= BOX_SEEDS:
        axis.boxplot(
            [values], positions=[at], widths=0.6, showfliers=False, patch_artist=True,
            boxprops={"facecolor": PALETTE[system], "alpha": 0.3}, medianprops={"color": PALETTE[system],
            "linewidth": 2},
        )  # fmt: skip
    elif len(values) > 1:
        axis.hlines(values.mean(), at - 0.28, at + 0.28, color=PALETTE[system], linewidth=2.5)
    spread = np.linspace(-0.12, 0.12, len(values)) if len(values) > 1 else [0.0] * len(values)
    axis.scatter(
        at + np.asarray(spread), values, s=36, color=PALETTE[system], marker=MARKERS[system], zorder=3,
        edgecolor="white", linewidths=0.5,
    )  # fmt: skip


def _name_panels(axes: np.ndarray, attacks: Sequence[str], systems: Sequence[str]) -> None:
    """Attacks above the first row, systems below the last; where many stand side by side so that none overlap."""
    for above, below, attack in zip(axes[0], axes[-1], attacks, strict=True):
        above.set_title(attack_title(attack, broken=len(attacks) > 6))
        if len(attacks) * len(systems) > 24:
            below.tick_params(axis="x", rotation=90, labelsize=9 if len(attacks) * len(systems) <= 48 else 7)


def _by_system(axis: Axes, rows: pd.DataFrame, column: str, systems: Sequence[str], box: bool = True) -> None:
    for at, system in enumerate(systems):
        _points(axis, rows.loc[rows["system"] == system, column], at, system, box)
    axis.set_xticks(range(len(systems)), systems, rotation=30 if len(systems) > 4 else 0)
    axis.set_xlim(-0.6, len(systems) - 0.4)
    axis.grid(axis="x", visible=False)


@styled
def changes(results: pd.DataFrame, columns: Mapping[str, str], title: str, caption: str) -> Figure:
    """The paper's Figure 3: what each system loses under attack; a row a measure, a column an attack.

    Parameters
    ----------
    results
        One row a system, seed and attack, with the columns named.
    columns
        Column -> what it is called on the axis, such as ``{"mae_change": "rise of MAE"}``.

    Notebook: 08_robustness
    """
    attacks = list(dict.fromkeys(results["attack"]))
    systems = _order(results["system"])
    figure, axes = panels(
        len(columns), len(attacks), width=max(5.5, min(12.0, 1.4 + 2.6 * len(attacks))),
        height=1.1 + 2.4 * len(columns), sharex=True, sharey="row",
    )  # fmt: skip
    for column, attack in enumerate(attacks):
        rows = results[results["attack"] == attack]
        for axis, (name, label) in zip(axes[:, column], columns.items(), strict=True):
            axis.axhline(0, color="0.5", linewidth=1)
            _by_system(axis, rows, name, systems)
            axis.set_ylabel(label if column == 0 else "")
    _name_panels(axes, attacks, systems)
    return finish(figure, title, caption)


@styled
def true_against_predicted(
    predictions: pd.DataFrame, title: str, caption: str, emotions: Sequence[str] = ("tension", "tender")
) -> Figure:
    """The paper's Figure 4: predictions against ratings before and after an attack, a line from each to each.

    Parameters
    ----------
    predictions
        Tidy predictions of one attack and one seed a system: system, clip, emotion, rating, clean, attacked.
    emotions
        Rows of the figure; the paper shows tension and tender.

    Notebook: 08_robustness
    """
    systems = _order(predictions["system"])
    figure, axes = panels(
        len(emotions), len(systems), width=max(6.5, min(13.0, 2.0 + 2.3 * len(systems))),
        height=1.2 + 2.3 * len(emotions), sharex=True, sharey="row",
    )  # fmt: skip
    within = predictions["rating"].dropna().between(RATED_FROM, RATED_TO).all()
    for row, emotion in enumerate(emotions):
        answers = predictions.loc[predictions["emotion"] == emotion, ["clean", "attacked"]]
        for column, system in enumerate(systems):
            axis = axes[row, column]
            for low, high in ((-99, RATED_FROM), (RATED_TO, 99)) if within else ():
                axis.axhspan(low, high, color="0.94", zorder=0, label="beyond .1 and .9:\nno rating there")
            part = predictions[(predictions["system"] == system) & (predictions["emotion"] == emotion)]
            axis.plot([0, 1], [0, 1], color=SECOND, linestyle="--", linewidth=1.2)
            axis.vlines(part["rating"], part["clean"], part["attacked"], color="0.8", linewidth=0.8, zorder=1)
            axis.scatter(part["rating"], part["clean"], marker="x", color=CLEAN, s=26, linewidths=1.3, label="clean")
            axis.scatter(
                part["rating"], part["attacked"], marker="o", facecolors="none", edgecolors=ATTACKED, s=28,
                linewidths=1.2, label="attacked",
            )  # fmt: skip
            axis.set_title(f"{system}, {emotion}")
            axis.set(xlim=(0, 1), xticks=(0, 0.5, 1))
            axis.set_ylim(min(0, answers.min(axis=None)) - 0.05, max(1, answers.max(axis=None)) + 0.05)
            axis.label_outer()
        axes[row, 0].set_ylabel("predicted")
    for axis in axes[-1]:
        axis.set_xlabel("rated")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles[-3:], labels[-3:], loc="outside right center", frameon=False, handletextpad=0.3)
    return finish(figure, title, caption)


@styled
def clip_changes(rises: pd.DataFrame, title: str, caption: str) -> Figure:
    """How much each clip's error rises under attack: one box a system, one panel an attack.

    Parameters
    ----------
    rises
        From :func:`mer_lib.comparisons.clip_rises`: system, attack, clip, rise.

    Notebook: 08_robustness
    """
    attacks, systems = list(dict.fromkeys(rises["attack"])), _order(rises["system"])
    figure, axes = panels(1, len(attacks), width=max(5.5, min(11.0, 1.4 + 2.6 * len(attacks))), height=3.6, sharey=True)
    for axis, attack in zip(axes[0], attacks, strict=True):
        axis.axhline(0, color="0.5", linewidth=1)
        for at, system in enumerate(systems):
            values = rises.loc[(rises["attack"] == attack) & (rises["system"] == system), "rise"].dropna()
            if len(values):
                axis.boxplot(
                    [values], positions=[at], widths=0.6, patch_artist=True,
                    boxprops={"facecolor": PALETTE[system], "alpha": 0.45},
                    medianprops={"color": RATED, "linewidth": 1.6},
                    flierprops={"marker": ".", "markersize": 4, "markeredgecolor": PALETTE[system]},
                )  # fmt: skip
        axis.set_xticks(range(len(systems)), systems, rotation=30 if len(systems) > 4 else 0)
        axis.grid(axis="x", visible=False)
    _name_panels(axes, attacks, systems)
    axes[0, 0].set_ylabel("rise of a clip's MAE")
    return finish(figure, title, caption)


@styled
def trade_off(networks: pd.DataFrame, title: str, caption: str) -> Figure:
    """Rise of the MAE over the clean correlation: a point a network, hollow where it is another study's.

    Parameters
    ----------
    networks
        A row a network, all under one attack: study, system, corr_clean, mae_change. The first row's study is drawn
        filled.

    Notebook: 08_robustness
    """
    figure, axes = panels(1, 1, width=8.0, height=4.2)
    axis, own = axes[0, 0], networks["study"].iloc[0]
    for study in dict.fromkeys(networks["study"]):
        for system in PALETTE:
            part = networks[(networks["study"] == study) & (networks["system"] == system)]
            if len(part):
                axis.scatter(
                    part["corr_clean"], part["mae_change"], s=55, marker=MARKERS[system], edgecolors=PALETTE[system],
                    facecolors=PALETTE[system] if study == own else "none", linewidths=1.4, zorder=3,
                    label=system if study == own else f"{system}, {study}",
                )  # fmt: skip
    axis.set(xlabel="correlation before the attack (mean of the emotions)", ylabel="rise of MAE under attack")
    axis.set_ylim(bottom=min(0.0, networks["mae_change"].min()))
    axis.margins(x=0.08)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)


@styled
def cost(rows: pd.DataFrame, title: str, caption: str) -> Figure:
    """What each system cost: seconds and clip-gradients spent in training; bar and number: mean, points: seeds.

    Parameters
    ----------
    rows
        One row a run: system, seed, train_seconds, train_gradients.

    Notebook: 05_adversarial_training, 08_robustness
    """
    systems = _order(rows["system"])
    figure, axes = panels(1, 2, height=1.4 + 0.42 * len(systems), sharey=True)
    shown = {"train_seconds": "training time (s)", "train_gradients": "training cost (clip-gradients)"}
    for axis, (column, label) in zip(axes[0], shown.items(), strict=True):
        for at, system in enumerate(systems):
            values = rows.loc[rows["system"] == system, column].to_numpy(float)
            axis.barh(at, values.mean(), color=PALETTE[system], alpha=0.45, height=0.8)
            low = [at + 0.22] * len(values)  # points in the lower half of the bar, so that the number has room
            axis.scatter(values, low, color=PALETTE[system], marker=MARKERS[system], s=20, zorder=3)
            axis.annotate(
                f"{values.mean():,.0f}", (values.mean(), at - 0.16), xytext=(4, 0), textcoords="offset points",
                va="center", fontsize=9,
            )  # fmt: skip
        axis.set_xlabel(label)
        axis.set_xlim(0, 1.22 * rows[column].max())
        axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(nbins=5))
        axis.grid(axis="y", visible=False)
    axes[0, 0].set_yticks(range(len(systems)), systems)
    axes[0, 0].invert_yaxis()
    return finish(figure, title, caption)
