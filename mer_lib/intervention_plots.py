"""Figures of interventions: slopes against the truth, fair comparisons, corrected neurons, and the shortcut case.

Notebook: 10_explain
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mer_lib.plots import ATTACKED, CLEAN, MARKERS, PALETTE, RATED, SECOND, finish, panels, styled
from mer_lib.shortcut import VARIANTS

COMPARISONS = ("neuron set", "all pieces", "matched", "regression")


def _system(name: str) -> str:
    """The system of "A2E, shortcut"."""
    return name.split(",")[0]


def _line(name: str) -> dict[str, object]:
    """How a network of the shortcut case is drawn: solid and filled with it, dashed and hollow without."""
    with_it = "," in name
    colour = PALETTE[_system(name)]
    return {
        "color": colour, "linestyle": "-" if with_it else "--", "marker": MARKERS[_system(name)], "markersize": 6,
        "markerfacecolor": colour if with_it else "white", "label": name if with_it else f"{name}, without",
    }  # fmt: skip


@styled
def slopes_and_truth(table: pd.DataFrame, agreement: pd.DataFrame, title: str, caption: str) -> Figure:
    """Slopes as each comparison gives them, over the true ones; on the line both agree.

    Parameters
    ----------
    table, agreement
        From :func:`mer_lib.interventions.compare_slopes` and :func:`~mer_lib.interventions.slope_agreement`.
    """
    sources = sorted(dict.fromkeys(table["source"]), key=PALETTE.__contains__)  # listeners first
    figure, axes = panels(len(sources), len(COMPARISONS), width=11.0, height=0.8 + 2.6 * len(sources))
    limit, high = 1.05 * table["truth"].abs().max(), 1.05 * table[["slope", "truth"]].abs().max(axis=None)
    for row, source in enumerate(sources):
        for axis, comparison in zip(axes[row], COMPARISONS, strict=True):
            part = table[(table["source"] == source) & (table["comparison"] == comparison)]
            if part.empty:
                axis.set_visible(False)
                continue
            found = agreement.loc[(source, comparison)]
            axis.axhline(0, color="0.8", linewidth=1)
            axis.axvline(0, color="0.8", linewidth=1)
            axis.plot([-limit, limit], [-limit, limit], color=SECOND, linestyle="--", linewidth=1.2)
            axis.scatter(part["truth"], part["slope"], s=20, color=PALETTE.get(source, RATED), alpha=0.8, linewidths=0)
            axis.set(xlim=(-limit, limit), ylim=(-high, high))
            axis.set_title(f"{source}: {comparison}\nr = {found['r']:.2f}, same sign {found['same sign']:.0%}")
            axis.set_ylabel("slope found" if comparison in (COMPARISONS[0], COMPARISONS[1]) else "")
            axis.set_xlabel("true slope" if row == len(sources) - 1 or comparison == COMPARISONS[0] else "")
    return finish(figure, title, caption)


@styled
def fairness(tables: Mapping[str, pd.DataFrame], title: str, caption: str) -> Figure:
    """How much the other causes move along with each quality, over all pieces and in matched pairs.

    Parameters
    ----------
    tables
        Quality -> :func:`mer_lib.interventions.balance`.
    """
    figure, axes = panels(1, 1, width=8.0, height=1.5 + 0.34 * len(tables))
    axis = axes[0, 0]
    for at, table in enumerate(reversed(list(tables.values()))):
        for column, colour, marker, shift in (("all pieces", ATTACKED, "o", 0.12), ("matched", CLEAN, "D", -0.12)):
            values = table[column].abs()
            axis.scatter(
                values, np.full(len(values), at + shift), color=colour, marker=marker, s=24, alpha=0.7, linewidths=0,
                label=column if at == 0 else None,
            )  # fmt: skip
            axis.vlines(values.mean(), at + shift - 0.2, at + shift + 0.2, color=colour, linewidth=2)
    axis.set_yticks(range(len(tables)), [name.replace("_", " ") for name in reversed(list(tables))])
    axis.set(xlabel="sd that another cause moves while the quality moves by one sd (a point a cause; line: mean)")
    axis.set_xlim(left=-0.02)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)


@styled
def set_values(table: pd.DataFrame, quality: str, title: str, caption: str) -> Figure:
    """Emotions while one quality is set: what the network says, and what the listeners would.

    Parameters
    ----------
    table
        Tidy: emotion, who ("network, neuron set", "listeners, piece composed so" ...), value (of the quality), rating.
    """
    emotions, who = list(dict.fromkeys(table["emotion"])), list(dict.fromkeys(table["who"]))
    figure, axes = panels(2, -(-len(emotions) // 2), width=10.5, height=5.0, sharex=True, sharey=True)
    looks = ((CLEAN, "o", "-"), (RATED, "", "--"), (ATTACKED, "D", ":"), (SECOND, "^", ":"))
    for axis, emotion in zip(axes.flat, emotions, strict=False):
        for name, (colour, marker, style) in zip(who, looks, strict=False):
            part = table[(table["emotion"] == emotion) & (table["who"] == name)]
            axis.plot(
                part["value"], part["rating"], color=colour, marker=marker, linestyle=style, markersize=5, label=name
            )
        axis.set_title(emotion)
    for axis in axes[-1]:
        axis.set_xlabel(quality.replace("_", " "))
    for axis in axes[:, 0]:
        axis.set_ylabel("rating")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return finish(figure, title, caption)


@styled
def corrections(tables: Mapping[str, pd.DataFrame], title: str, caption: str) -> Figure:
    """Error and correlation of the emotions over the number of neurons that were replaced by known values.

    Parameters
    ----------
    tables
        System -> :func:`mer_lib.interventions.corrected`.
    """
    figure, axes = panels(1, 2, width=9.0, height=3.0, sharex=True)
    for system, table in tables.items():
        for axis, column in zip(axes[0], ("MAE", "correlation"), strict=True):
            by_count = table.groupby("corrected")[column].agg(["mean", "min", "max"])
            axis.fill_between(
                by_count.index, by_count["min"], by_count["max"], color=PALETTE[system], alpha=0.18, linewidth=0
            )
            axis.plot(by_count.index, by_count["mean"], color=PALETTE[system], marker=MARKERS[system], label=system)
            axis.set(xlabel="neurons replaced by the known value", ylabel=f"{column} of the emotions")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)


@styled
def variants(scores: pd.DataFrame, emotion: str, title: str, caption: str) -> Figure:
    """How well networks do with the shortcut present, absent and reversed: solid lines met it in training.

    Parameters
    ----------
    scores
        From :func:`mer_lib.shortcut_evidence.variant_scores`.
    """
    shown = {"correlation": f"correlation, {emotion}", "MAE": f"MAE, {emotion}", "others": "correlation, other seven"}
    figure, axes = panels(1, len(shown), width=11.0, height=3.1)
    for axis, (column, label) in zip(axes[0], shown.items(), strict=True):
        for name, part in scores.groupby("network", sort=False):
            axis.plot(range(len(VARIANTS)), part.set_index("variant")[column].reindex(list(VARIANTS)), **_line(name))
        axis.set_xticks(range(len(VARIANTS)), list(VARIANTS))
        axis.set(xlabel="shortcut in the test clips", ylabel=label)
        axis.margins(x=0.1)
    axes[0, 0].axhline(0, color="0.5", linewidth=1)
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return finish(figure, title, caption)


@styled
def responses(
    table: pd.DataFrame, emotion: str, title: str, caption: str, seen: tuple[float, float] | None = None
) -> Figure:
    """The intervention: how the answer moves while the property is turned up in the same clips; bands: sd over clips.

    Parameters
    ----------
    table
        From :func:`mer_lib.shortcut_evidence.responses`.
    seen
        Amounts that clips really have; shaded.
    """
    part = table[(table["output"] == emotion) & table["amount"].notna()]
    start = part.groupby(["network", "clip"])["answer"].transform("mean")
    figure, axes = panels(1, 1, width=7.5, height=3.3)
    axis = axes[0, 0]
    axis.axhline(0, color="0.5", linewidth=1)
    for name, rows in part.assign(moved=part["answer"] - start).groupby("network", sort=False):
        moved = rows.groupby("amount")["moved"].agg(["mean", "std"]).fillna(0.0)
        axis.fill_between(
            moved.index, moved["mean"] - moved["std"], moved["mean"] + moved["std"], color=PALETTE[_system(name)],
            alpha=0.12, linewidth=0,
        )  # fmt: skip
        axis.plot(moved.index, moved["mean"], **_line(name))
    if seen:
        axis.axvspan(*seen, color="0.93", zorder=0, label="amounts in the corpus")
    axis.set(xlabel="amount of the property (-1 to 1 as for a rating of 0 to 1)", ylabel=f"{emotion}, from its mean")
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)


@styled
def bands(profiles: Mapping[str, pd.DataFrame], title: str, caption: str, marked: Sequence[float] = ()) -> Figure:
    """Where in frequency networks look: each band's share of all attribution magnitudes, a panel a system.

    Parameters
    ----------
    profiles
        Network -> :func:`mer_lib.shortcut_evidence.band_profile`.
    marked
        Frequencies in Hz to be marked, such as those of a hum.
    """
    systems = list(dict.fromkeys(_system(name) for name in profiles))
    figure, axes = panels(1, len(systems), width=min(11.0, 3.2 + 3.4 * len(systems)), height=3.1, sharey=True)
    for axis, system in zip(axes[0], systems, strict=True):
        for hertz in marked:
            axis.axvline(hertz, color="0.8", linewidth=4, zorder=0)
        for name, table in profiles.items():
            if _system(name) == system:
                look = {**_line(name), "marker": "", "color": ATTACKED if "," in name else CLEAN}
                axis.plot(table["hertz"], 100 * table["share"], **{**look, "label": look["label"].split(", ")[1]})
        axis.set(xscale="log", xlabel="frequency (Hz)", title=system)
        axis.set_xticks([50, 200, 1000, 5000], ["50", "200", "1 k", "5 k"])
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
    axes[0, 0].set_ylabel("share of magnitudes (%)")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)


@styled
def named_reasons(tables: Mapping[str, pd.DataFrame], emotion: str, title: str, caption: str) -> Figure:
    """What bottlenecks name as reasons while nothing but the recording property changes.

    Parameters
    ----------
    tables
        Network -> :func:`mer_lib.shortcut_evidence.through_qualities`.
    """
    figure, axes = panels(1, 2, width=10.0, height=3.2, sharey=True)
    height = 0.8 / max(1, len(tables))
    for at, (name, table) in enumerate(tables.items()):
        look, places = _line(name), np.arange(len(table))[::-1] + height * ((len(tables) - 1) / 2 - at)
        for axis, column in zip(axes[0], ("neuron moves", "contributes"), strict=True):
            axis.barh(
                places, table[column], height=0.9 * height, edgecolor=look["color"], linewidth=1.2, label=look["label"],
                color=look["markerfacecolor"],
            )  # fmt: skip
    for axis, label in zip(axes[0], ("the neuron moves by", f"and so {emotion} by"), strict=True):
        axis.axvline(0, color="0.5", linewidth=1)
        axis.set_xlabel(label)
        axis.grid(axis="y", visible=False)
    first = next(iter(tables.values()))
    axes[0, 0].set_yticks(np.arange(len(first))[::-1], [str(name).replace("_", " ") for name in first.index])
    axes[0, 1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)
