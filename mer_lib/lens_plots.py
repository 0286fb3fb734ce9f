"""Figures about explanations under attack: maps before and after, agreement beside chance, windows, sizes, effects.

Notebook: 11_attribution_robustness
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mer_lib import lens
from mer_lib.plots import ATTACKED, CLEAN, MAGNITUDE, SECOND, _draw_spectrogram, finish, panels, styled
from mer_lib.spectrogram import band_frequencies, frame_times

COLOURS = {"natural": "#0072B2", "adversarial": "#D55E00", "bottleneck": "#009E73", "IG-SUM-NORM": "#CC79A7"}
SHAPES = {"natural": "o", "adversarial": "^", "bottleneck": "D", "IG-SUM-NORM": "P"}
AIM_COLOURS = {
    "random sign": CLEAN, "top-k": ATTACKED, "mass centre": SECOND, "LENS": "#CC79A7", "LENS, published": "#E69F00",
}  # fmt: skip
AIM_SHAPES = {"random sign": "o", "top-k": "s", "mass centre": "^", "LENS": "D", "LENS, published": "P"}
MARK_COLOURS = (ATTACKED, CLEAN, SECOND, "#CC79A7", "#E69F00")


def _trainings(table: pd.DataFrame) -> list[str]:
    return [name for name in COLOURS if name in set(table["training"])]


@styled
def explanations(spectrogram: np.ndarray, maps: Mapping[str, np.ndarray], k: int, title: str, caption: str) -> Figure:
    """A clip and its explanations: the spectrogram, and over it the k highest cells of each map.

    Parameters
    ----------
    spectrogram
        (frames, bands), log10(1 + x).
    maps
        Name -> attribution map; the first is the one before. Cells that a later map shares with it are blue, those that
        only the later one has orange.
    """
    figure, axes = panels(len(maps) + 1, 1, height=0.9 + 1.75 * (len(maps) + 1), sharex=True)
    mesh = _draw_spectrogram(axes[0, 0], spectrogram, cmap="magma")
    axes[0, 0].set_title("the clip", loc="left")
    axes[0, 0].label_outer()
    figure.colorbar(mesh, ax=axes[0, 0], label=MAGNITUDE, pad=0.01)
    times, bands = frame_times(len(spectrogram)), band_frequencies()
    first = lens.top_cells(next(iter(maps.values())), k)
    for axis, (name, values) in zip(axes[1:, 0], maps.items(), strict=True):
        _draw_spectrogram(axis, spectrogram, cmap="Greys", vmin=0, vmax=2.5 * spectrogram.max())
        cells = lens.top_cells(values, k)
        for mask, colour, label in ((cells & first, CLEAN, "highest before, too"), (cells & ~first, ATTACKED, "new")):
            rows, columns = np.nonzero(mask)
            axis.scatter(times[rows], bands[columns], s=5, color=colour, marker="s", linewidths=0, label=label)
        axis.set_title(f"{name}: the {k} highest cells", loc="left")
        axis.label_outer()
    place = {"loc": "lower right", "bbox_to_anchor": (1.0, 0.98), "ncols": 2, "borderaxespad": 0.0}
    axes[-1, 0].legend(**place, frameon=False, markerscale=3, handletextpad=0.2)
    return finish(figure, title, caption)


@styled
def agreement(table: pd.DataFrame, measures: Sequence[str], title: str, caption: str, chance: str = "clips") -> Figure:
    """How much of the explanation each attack leaves: a panel a measure, a row an attack, a mark a training.

    Marks are scores with intervals over the clips; the short bar of the same colour is the chance.

    Parameters
    ----------
    table
        From :func:`mer_lib.attribution_study.means`, of one domain, method and size of the training set.
    chance
        Which chance is drawn, see :mod:`mer_lib.lens_chance`.
    """
    aims, trainings = list(dict.fromkeys(table["aim"])), _trainings(table)
    figure, axes = panels(
        1, len(measures), width=min(11.0, 2.4 + 2.6 * len(measures)), height=1.6 + 0.5 * len(aims), sharey=True
    )
    for axis, measure in zip(axes[0], measures, strict=True):
        for index, training in enumerate(trainings):
            part = table[(table["measure"] == measure) & (table["training"] == training)]
            at = len(aims) - 1 - np.array([aims.index(aim) for aim in part["aim"]])
            at = at + 0.14 * ((len(trainings) - 1) / 2 - index)
            colour = COLOURS[training]
            axis.hlines(at, part["score_low"], part["score_high"], color=colour, alpha=0.5, linewidth=1.6)
            axis.scatter(part["score"], at, color=colour, marker=SHAPES[training], s=30, zorder=3, label=training)
            axis.scatter(part[f"chance_{chance}"], at, color=colour, marker="|", s=60, linewidths=1.8, zorder=2)
        low = min(0.0, float(part[f"chance_{chance}"].min()) - 0.03)
        axis.set(title=measure, xlabel="score", ylim=(-0.6, len(aims) - 0.4), xlim=(low, 1.02))
    axes[0, 0].set_yticks(range(len(aims)), aims[::-1])
    handles, labels = axes[0, -1].get_legend_handles_labels()
    bar = mpl.lines.Line2D([], [], color="0.4", marker="|", linestyle="", markersize=9, markeredgewidth=1.8)
    axes[0, -1].legend(
        [*handles, bar], [*labels, "chance"], loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False
    )
    return finish(figure, title, caption)


@styled
def chance(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """What maps score when one of them is merely moved round, a panel a measure; the score and the chances as lines.

    Parameters
    ----------
    table
        From :func:`mer_lib.lens_chance.picture`.
    """
    measures = list(dict.fromkeys(table["measure"]))
    figure, axes = panels(1, len(measures), width=min(11.0, 2.6 + 2.8 * len(measures)), height=3.4)
    for axis, measure in zip(axes[0], measures, strict=True):
        part = table[table["measure"] == measure]
        bins, marks = part[part["kind"] == "shift"], part[part["kind"] != "shift"]
        axis.bar(
            bins["low"], 100 * bins["share"], bins["high"] - bins["low"], align="edge", color="0.75", label="shifts"
        )
        for colour, row in zip(MARK_COLOURS, marks.itertuples(), strict=False):
            dashes = "--" if row.kind.startswith("chance") else "-"
            axis.axvline(row.low, color=colour, linestyle=dashes, linewidth=1.8, label=row.kind)
        axis.set(title=measure, xlabel="score", xlim=(min(0.0, bins["low"].min()), 1.02))
        axis.grid(axis="x", visible=False)
    axes[0, 0].set_ylabel("share of all shifts (%)")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)


@styled
def windows(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Score, chance and corrected score against the size of the window, a line a radius in bands.

    Parameters
    ----------
    table
        Columns milliseconds, bands, score, chance, corrected.
    """
    figure, axes = panels(1, 3, height=3.2, sharex=True, sharey=True)
    radii = sorted(table["bands"].unique())
    shades = mpl.colormaps["viridis"](np.linspace(0.05, 0.85, len(radii)))
    labels = {"score": "score", "chance": "chance", "corrected": "corrected score"}
    for axis, (column, label) in zip(axes[0], labels.items(), strict=True):
        for shade, bands in zip(shades, radii, strict=True):
            part = table[table["bands"] == bands].sort_values("milliseconds")
            axis.plot(part["milliseconds"], part[column], marker="o", markersize=4, color=shade, label=f"{bands} bands")
        axis.set(title=label, xlabel="radius in time (ms)", ylim=(-0.03, 1.03))
    axes[0, 0].set_ylabel("LENS-recall")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, title="radius in frequency")
    return finish(figure, title, caption)


@styled
def budgets(table: pd.DataFrame, measures: Sequence[str], title: str, caption: str) -> Figure:
    """Agreement against the budget, a panel a measure, a line an attack.

    Parameters
    ----------
    table
        Columns epsilon, aim, measure, score.
    """
    figure, axes = panels(1, len(measures), width=min(10.0, 2.6 + 2.8 * len(measures)), height=3.2, sharey=True)
    for axis, measure in zip(axes[0], measures, strict=True):
        for aim in dict.fromkeys(table["aim"]):
            part = table[(table["measure"] == measure) & (table["aim"] == aim)].sort_values("epsilon")
            axis.plot(part["epsilon"], part["score"], marker="o", markersize=5, color=AIM_COLOURS[aim], label=aim)
        ticks = sorted(table["epsilon"].unique())
        axis.set(xscale="log", title=measure, xlabel="budget epsilon (z-scored spectrogram)", ylim=(0, 1.03))
        axis.set_xticks(ticks, [f"{value:g}" for value in ticks])
        axis.minorticks_off()
    axes[0, 0].set_ylabel("score")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)


@styled
def moved(table: pd.DataFrame, tolerance: float, title: str, caption: str) -> Figure:
    """What is left of the explanation over how far the predictions moved, a point a clip, a panel a training.

    Parameters
    ----------
    table
        From :func:`mer_lib.attribution_study.moved_table`, of one domain and method.
    tolerance
        Dashed: no prediction may move farther.
    """
    trainings = _trainings(table)
    figure, axes = panels(1, len(trainings), width=min(11.0, 2.6 + 2.4 * len(trainings)), height=3.2, sharey=True)
    for axis, training in zip(axes[0], trainings, strict=True):
        for aim in dict.fromkeys(table["aim"]):
            part = table[(table["training"] == training) & (table["aim"] == aim)]
            look = {"color": AIM_COLOURS[aim], "marker": AIM_SHAPES[aim], "label": aim}
            axis.scatter(part["moved"], part["top-k"], s=26, linewidths=0, alpha=0.85, **look)
        axis.axvline(tolerance, color="0.4", linestyle="--", label="tolerance")
        axis.set(title=training, xlabel="largest change of a prediction", xlim=(0, 1.1 * tolerance), ylim=(0, 1.03))
    axes[0, 0].set_ylabel("highest cells left (top-k)")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)


@styled
def differences(pairs: pd.DataFrame, title: str, caption: str) -> Figure:
    """Every training against the natural one, a panel an attack: right of zero its explanations stay more.

    Parameters
    ----------
    pairs
        From :func:`mer_lib.attribution_reading.differences`, of one domain, method and measure.
    """
    aims = list(dict.fromkeys(pairs["aim"]))
    rows = [(t, c) for c in sorted(set(pairs["train_clips"]), reverse=True) for t in _trainings(pairs)]
    rows = [row for row in rows if ((pairs["training"] == row[0]) & (pairs["train_clips"] == row[1])).any()]
    figure, axes = panels(
        1, len(aims), width=min(11.0, 3.2 + 2.2 * len(aims)), height=1.5 + 0.3 * len(rows), sharey=True, sharex=True
    )
    for axis, aim in zip(axes[0], aims, strict=True):
        axis.axvline(0, color="0.5", linewidth=1)
        for row in pairs[pairs["aim"] == aim].itertuples():
            at, colour = len(rows) - 1 - rows.index((row.training, row.train_clips)), COLOURS[row.training]
            axis.hlines(at, row.low, row.high, color=colour, linewidth=1.8)
            axis.scatter(row.difference, at, s=34, color=colour, marker=SHAPES[row.training], zorder=3)
        axis.set(title=aim, xlabel="difference to natural", ylim=(-0.7, len(rows) - 0.3))
        axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(nbins=4))
    axes[0, 0].set_yticks(range(len(rows)), [f"{training}, {clips} clips" for training, clips in rows[::-1]])
    return finish(figure, title, caption)


@styled
def sizes(trained: pd.DataFrame, table: pd.DataFrame, measures: Sequence[str], title: str, caption: str) -> Figure:
    """What the size of the training set does: clean correlation, then agreement without chance, a line a training.

    Parameters
    ----------
    trained
        From :func:`mer_lib.attribution_study.training_table`.
    table
        From :func:`mer_lib.attribution_study.means`, of one domain, method and attack.
    """
    figure, axes = panels(1, 1 + len(measures), height=3.2, sharex=True)
    for index, training in enumerate(_trainings(trained)):
        aside = 1.06 ** (index - (trained["training"].nunique() - 1) / 2)  # so that no interval hides another
        style = {"color": COLOURS[training], "marker": SHAPES[training], "markersize": 6, "label": training}
        part = trained[trained["training"] == training].sort_values("train_clips")
        axes[0, 0].plot(part["train_clips"] * aside, part["corr_clean"], **style)
        for axis, measure in zip(axes[0, 1:], measures, strict=True):
            part = table[(table["training"] == training) & (table["measure"] == measure)].sort_values("train_clips")
            ends = part[["corrected_clips_low", "corrected_clips_high"]].sub(part["corrected_clips"], axis=0).abs()
            bars = {"yerr": ends.to_numpy().T, "elinewidth": 1, "capsize": 2}
            axis.errorbar(part["train_clips"] * aside, part["corrected_clips"], **bars, **style)
    axes[0, 0].set(title="clean predictions", ylabel="correlation on the test clips")
    for axis, measure in zip(axes[0, 1:], measures, strict=True):
        axis.set(title=measure, ylabel="agreement above chance" if axis is axes[0, 1] else "")
    counts = sorted(set(trained["train_clips"]))
    for axis in axes[0]:
        axis.set(xscale="log", xlabel="training clips", xlim=(counts[0] * 0.8, counts[-1] * 1.25))
        axis.set_xticks(counts, [str(count) for count in counts])
        axis.minorticks_off()
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)


@styled
def effect_flips(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Effects after over effects before, a panel an attack: in the shaded quarters the sign has flipped.

    Parameters
    ----------
    table
        From :func:`mer_lib.effect_changes.effects_before_and_after`, of one domain.
    """
    aims, qualities = list(dict.fromkeys(table["aim"])), list(dict.fromkeys(table["quality"]))
    figure, axes = panels(1, len(aims), width=min(12.0, 1.9 + 2.0 * len(aims)), height=3.1, sharex=True, sharey=True)
    limit = 1.08 * float(table[["before", "after"]].abs().to_numpy().max()) or 1.0
    markers = "osD^vP*"
    for axis, aim in zip(axes[0], aims, strict=True):
        for low in (True, False):
            axis.fill_between([-limit, 0] if low else [0, limit], *((0, limit) if low else (-limit, 0)), color="0.92")
        axis.plot([-limit, limit], [-limit, limit], color="0.6", linewidth=1)
        for index, quality in enumerate(qualities):
            part = table[(table["aim"] == aim) & (table["quality"] == quality)]
            axis.scatter(
                part["before"], part["after"], s=75 if markers[index % 7] == "*" else 30, marker=markers[index % 7],
                color=mpl.colormaps["cividis"](index / 8), linewidths=0, alpha=0.9, label=quality.replace("_", " "),
            )  # fmt: skip
        axis.set(title=aim, xlabel="effect before\n(rating units)", xlim=(-limit, limit), ylim=(-limit, limit))
        axis.grid(False)
    axes[0, 0].set_ylabel("effect after\n(rating units)")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)
