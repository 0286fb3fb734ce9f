"""Figures of the corpus, the training and a single clip: one function per figure, each returns a matplotlib
figure.

Every figure takes a caption that says where its numbers come from, and every system has one colour and one
marker throughout the study (the colour-blind-safe palette of Okabe and Ito). The figures that compare
systems are in ``robustness_plots.py``.

Notebooks: 01_prepare_data to 08_robustness
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mer_lib.places import atomic_write, figures
from mer_lib.spectrogram import band_frequencies, frame_times

# One colour and one marker per system; the adversarially trained ones are warm.
PALETTE = {
    "A2E": "#0072B2", "A2B2E": "#56B4E9", "A2M2E": "#009E73",
    "aA2E": "#D55E00", "aA2B2E": "#E69F00", "aA2M2E": "#CC79A7",
}  # fmt: skip
MARKERS = {"A2E": "o", "A2B2E": "s", "A2M2E": "D", "aA2E": "^", "aA2B2E": "v", "aA2M2E": "P"}
CLEAN, ATTACKED, RATED, SECOND = "#0072B2", "#D55E00", "#222222", "#009E73"
MAGNITUDE = "log10(1 + magnitude)"  # what a log spectrogram shows
CAPTION_SIZE, CAPTION_SPACING, CAPTION_LINES = 8, 1.25, 2  # points, lines, lines that figures have room for
STYLE = {
    **sns.axes_style("whitegrid"),
    "font.size": 10, "axes.titlesize": 10.5, "axes.labelsize": 10, "legend.fontsize": 9, "xtick.labelsize": 9,
    "ytick.labelsize": 9, "figure.dpi": 96, "savefig.dpi": 150, "grid.color": "0.9", "axes.edgecolor": "0.6",
}  # fmt: skip


class DescribedFigure(Figure):
    """A figure that says in words what it shows, to pages that are read out and in the files it is saved to."""

    described = ""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        """No picture of its own, but the words to go with the one that Jupyter draws."""
        return {}, {"image/png": {"alt": self.described}}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the study's style, without changing matplotlib's settings for anybody else.

    The figure is closed for pyplot before it is returned: a notebook shows it once, as the value of its cell.
    """

    @functools.wraps(draw)
    def wrapper(*arguments: object, **keywords: object) -> Figure:
        with mpl.rc_context(STYLE):
            figure = draw(*arguments, **keywords)
            plt.close(figure)
        return figure

    return wrapper


def panels(
    rows: int, columns: int, width: float = 9.0, height: float = 3.0, **keywords: object
) -> tuple[Figure, np.ndarray]:
    """A grid of axes, (rows, columns), laid out so that nothing overlaps; sizes of the whole figure in inches."""
    size = {"figsize": (width, height), "layout": "constrained", "FigureClass": DescribedFigure}
    figure, axes = plt.subplots(rows, columns, squeeze=False, **size, **keywords)
    return figure, axes


def finish(figure: Figure, title: str, caption: str) -> Figure:
    """Put the title above and the caption below, wrapped to the figure's width, and keep both as its description.

    They hold names from data, so that nothing in them is read as mathematics: a "$" is a "$".
    """
    figure.described = ". ".join(text.rstrip(".") for text in (title, caption) if text) + "."
    width = figure.get_size_inches()[0]
    if title:
        text = textwrap.fill(title, int(width * 11))
        figure.suptitle(text, x=0.01, ha="left", fontsize=12, fontweight="bold", parse_math=False)
    if caption:
        text = textwrap.fill(caption, int(width * 16))
        more = max(0, text.count("\n") + 1 - CAPTION_LINES)  # a long caption takes no room from the axes
        figure.set_figheight(figure.get_figheight() + more * CAPTION_SIZE * CAPTION_SPACING / 72)
        figure.supxlabel(
            text, x=0.01, ha="left", fontsize=CAPTION_SIZE, color="0.35", linespacing=CAPTION_SPACING, parse_math=False
        )
    return figure


def save_table(data: pd.DataFrame, study: str, name: str) -> Path:
    """Write a table to ``figures/<study>/<name>.csv``, whole or not at all; the file's path."""
    index = not isinstance(data.index, pd.RangeIndex)
    return atomic_write(figures() / study / f"{name}.csv", lambda path: data.to_csv(path, index=index))


def save_figure(figure: Figure, data: pd.DataFrame, study: str, name: str) -> Path:
    """Write a figure and the numbers behind it: ``figures/<study>/<name>.png`` and ``.csv``.

    Returns
    -------
    pathlib.Path
        The picture. The numbers are written first, so that no picture is without them; both are there whole
        or not at all.
    """
    about = {"Description": described} if (described := getattr(figure, "described", "")) else {}
    return atomic_write(
        save_table(data, study, name).with_suffix(".png"),
        lambda path: figure.savefig(path, bbox_inches="tight", metadata={"Software": None} | about),
    )


@styled
def number_map(
    values: pd.DataFrame,
    title: str,
    caption: str,
    rows: str = "",
    columns: str = "",
    label: str = "Pearson correlation",
    limit: float | None = 1.0,
) -> Figure:
    """A table of signed numbers on colours from blue (negative) over white (0) to red.

    Parameters
    ----------
    values
        Numbers with names as index and columns; NaN cells stay empty.
    rows, columns, label
        What the rows, the columns and the numbers are.
    limit
        The number with the strongest colour; by default 1, for correlations; None takes the largest that is there.

    Notebook: 01_prepare_data, 03_train_a2b2e, 04_train_a2m2e
    """
    figure, axes = panels(1, 1, width=9.0, height=1.6 + 0.34 * len(values))
    limit = limit or float(np.nanmax(np.abs(values))) or 1.0
    sns.heatmap(
        values, ax=axes[0, 0], vmin=-limit, vmax=limit, cmap="RdBu_r", annot=True, fmt=".2f", annot_kws={"size": 9},
        linewidths=0.5, cbar_kws={"label": label, "pad": 0.02},
    )  # fmt: skip
    axes[0, 0].set(xlabel=columns, ylabel=rows)
    axes[0, 0].set_xticks(
        np.arange(values.shape[1]) + 0.5,
        [textwrap.fill(str(c).replace("_", " "), 11, break_long_words=False) for c in values.columns],
        rotation=0,
    )
    axes[0, 0].set_yticks(np.arange(len(values)) + 0.5, [str(r).replace("_", " ") for r in values.index], rotation=0)
    return finish(figure, title, caption)


def _draw_spectrogram(axis: Axes, values: np.ndarray, **keywords: object) -> mpl.collections.QuadMesh:
    """Frames x bands on an axis in seconds and (logarithmic) Hz."""
    mesh = axis.pcolormesh(
        frame_times(len(values)), band_frequencies(), values.T, shading="nearest", rasterized=True, **keywords
    )
    axis.set(yscale="log", xlabel="time (s)", ylabel="frequency (Hz)")
    axis.set_yticks([50, 200, 1000, 5000], ["50", "200", "1 k", "5 k"])
    axis.minorticks_off()
    axis.grid(False)
    return mesh


@styled
def spectrograms(pictures: Mapping[str, np.ndarray], title: str, caption: str, unit: str = MAGNITUDE) -> Figure:
    """Log spectrograms (frames, 149) under each other, in Hz and seconds.

    A picture named "difference" gets colours of its own, white at zero.

    Notebook: 01_prepare_data, 06_attack, 07_listen
    """
    figure, axes = panels(len(pictures), 1, height=0.9 + 2.0 * len(pictures), sharex=True)
    top = max((np.max(values) for name, values in pictures.items() if name != "difference"), default=1.0)
    low = min((np.min(values) for name, values in pictures.items() if name != "difference"), default=0.0)
    for axis, (name, values) in zip(axes[:, 0], pictures.items(), strict=True):
        # the 99.9th percentile: one extreme cell must not bleach the picture of all the others
        limit = max(float(np.quantile(np.abs(values), 0.999)), 1e-9)
        scale = (
            {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
            if name == "difference"
            else {"cmap": "magma", "vmin": low, "vmax": top}
        )
        mesh = _draw_spectrogram(axis, values, **scale)
        axis.set_title(name, loc="left", parse_math=False)
        axis.label_outer()
        figure.colorbar(mesh, ax=axis, label=unit, pad=0.01)
    return finish(figure, title, caption)


@styled
def learning_curves(history: pd.DataFrame, title: str, caption: str) -> Figure:
    """Losses, validation correlation and MAE over the epochs; a line marks the epoch whose weights are kept.

    Notebook: 02_train_a2e, 03_train_a2b2e, 04_train_a2m2e, 05_adversarial_training
    """
    figure, axes = panels(1, 3, height=3.2, sharex=True)
    shown = (
        ("loss", {"train_loss": "training", "attacked_loss": "training, attacked"}),
        ("correlation", {"valid_correlation": "emotions", "valid_midlevel_correlation": "mid-level"}),
        ("mean absolute error", {"valid_mae": "emotions"}),
    )
    best = history.loc[history["best"].astype(bool), "epoch"]
    for axis, (label, lines) in zip(axes[0], shown, strict=True):
        for (column, name), colour in zip(lines.items(), (CLEAN, ATTACKED), strict=False):
            if column in history and history[column].notna().any():
                part = history[["epoch", column]].dropna()
                axis.plot(part["epoch"], part[column], marker=".", markersize=4, color=colour, label=name)
        if len(best):
            axis.axvline(best.iloc[-1], color="0.5", linestyle=":", label=f"kept: epoch {best.iloc[-1]}")
        axis.set(xlabel="epoch", ylabel=label, title="training" if label == "loss" else "validation")
        axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True, nbins=6))
        axis.legend(frameon=True, framealpha=0.8, edgecolor="none")
    return finish(figure, title, caption)


@styled
def predicted_against_rated(
    ratings: np.ndarray,
    predictions: np.ndarray,
    names: Sequence[str],
    title: str,
    caption: str,
    colour: str = CLEAN,
    label: str = "rated",
) -> Figure:
    """Predictions against ratings, one panel an output, with correlation and MAE; on the line both agree.

    Parameters
    ----------
    ratings, predictions
        (clips, outputs); clips without a rating are left out.
    label
        What the ratings are called on the axis.

    Notebook: 02_train_a2e to 05_adversarial_training
    """
    figure, axes = panels(2, -(-len(names) // 2), height=5.2, sharex=True, sharey=True)
    low, high = (float(limit) for limit in (min(0.0, np.nanmin(predictions)), max(1.0, np.nanmax(predictions))))
    margin = 0.04 * (high - low)
    for i, (axis, name) in enumerate(zip(axes.flat, names, strict=False)):
        rated = np.isfinite(ratings[:, i])
        x, y = ratings[rated, i], predictions[rated, i]
        r = np.corrcoef(x, y)[0, 1] if len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0 else 0.0
        axis.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        axis.scatter(x, y, s=16, color=colour, alpha=0.75, linewidths=0)
        axis.set_title(f"{name.replace('_', ' ')}\nr = {r:.2f}, MAE = {np.abs(x - y).mean():.2f}")
        axis.set(xlim=(0, 1), ylim=(low - margin, high + margin), xticks=(0, 0.5, 1))
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("predicted")
    for axis in axes[-1]:
        axis.set_xlabel(label)
    return finish(figure, title, caption)


@styled
def clip_ratings(values: pd.DataFrame, title: str, caption: str, label: str = "rating") -> Figure:
    """The ratings of one clip: rated, predicted from clean audio, predicted under attack.

    Parameters
    ----------
    values
        Index the outputs (emotions or mid-level qualities); columns "clean", "attacked" or "rendered" or both,
        and "rated" where known.

    Notebook: 00_start_here, 07_listen
    """
    figure, axes = panels(1, 1, width=8.0, height=1.5 + 0.27 * len(values))
    axis, rows = axes[0, 0], np.arange(len(values))[::-1]
    reached = values["attacked" if "attacked" in values else "rendered"]
    axis.hlines(rows, values["clean"], reached, color="0.7", linewidth=2, zorder=1)
    looks = {
        "rated": ("D", RATED, 34), "clean": ("o", CLEAN, 46), "attacked": ("X", ATTACKED, 52),
        "rendered": ("P", SECOND, 50),
    }  # fmt: skip
    for column, (marker, colour, size) in looks.items():
        if column in values:
            axis.scatter(
                values[column], rows, marker=marker, color=colour, s=size, label=column, zorder=3, linewidths=0
            )
    axis.set_yticks(rows, [str(name).replace("_", " ") for name in values.index])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    axis.set(xlabel=label, ylabel="", xlim=(min(0, low - 0.05), max(1, high + 0.05)))
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)
