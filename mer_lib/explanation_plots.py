"""Figures of attributions, and of the checks that these must pass.

Notebook: 10_explain
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mer_lib.plots import (
    ATTACKED,
    CLEAN,
    MAGNITUDE,
    MARKERS,
    PALETTE,
    RATED,
    SECOND,
    _draw_spectrogram,
    finish,
    panels,
    styled,
)
from mer_lib.spectrogram import frame_times

# What is ranked or judged -> colour, marker, line style: attributions in colours, controls in black and grey
LINES = (
    (CLEAN, "o", "-"), (ATTACKED, "s", "-"), (SECOND, "^", "-"), ("#CC79A7", "v", "-"), ("#E69F00", "P", "-"),
)  # fmt: skip
CONTROLS = {"loudest": (RATED, "D", "--"), "random": ("0.6", "x", ":"), "like the input": ("0.6", "x", ":")}
NAMES = {"like the input": "magnitudes\nagainst the input"}


def in_words(name: object) -> str:
    """A quality's or an emotion's name without its underscores."""
    return str(name).replace("_", " ")


def _looks(names: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    coloured = [name for name in names if name not in CONTROLS]
    return dict(zip(coloured, LINES, strict=False)) | {n: CONTROLS[n] for n in names if n in CONTROLS}


def outside_legend(axes: np.ndarray) -> None:
    """A legend to the right of the first row, from its last panel."""
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)


@styled
def attribution_maps(spectrogram: np.ndarray, maps: Mapping[str, np.ndarray], title: str, caption: str) -> Figure:
    """A spectrogram, and attributions of the same clip: red for what raised the answer, blue for what lowered it.

    Parameters
    ----------
    spectrogram
        (frames, 149), not z-scored.
    maps
        Name -> (frames, 149); each has the colour scale that its own 99.5th percentile asks for.
    """
    figure, axes = panels(1 + len(maps), 1, height=1.0 + 1.75 * (1 + len(maps)), sharex=True)
    mesh = _draw_spectrogram(axes[0, 0], spectrogram, cmap="magma")
    axes[0, 0].set_title("the clip", loc="left")
    figure.colorbar(mesh, ax=axes[0, 0], label=MAGNITUDE, pad=0.01)
    for axis, (name, values) in zip(axes[1:, 0], maps.items(), strict=True):
        limit = max(float(np.quantile(np.abs(values), 0.995)), 1e-12) * 1e5
        mesh = _draw_spectrogram(axis, values * 1e5, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axis.set_title(in_words(name), loc="left")
        figure.colorbar(mesh, ax=axis, label="rating x 1e-5", pad=0.01)
    for axis in axes[:, 0]:
        axis.label_outer()
    return finish(figure, title, caption)


@styled
def completeness(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Completeness errors over what is explained, a row a method and baseline: median and range, a mark a system.

    Parameters
    ----------
    table
        Tidy: system, method, "relative error".
    """
    methods, systems = list(dict.fromkeys(table["method"])), [s for s in PALETTE if s in set(table["system"])]
    height = 1.5 + len(methods) * (0.25 + 0.1 * len(systems))
    figure, axes = panels(1, 1, width=8.0, height=height)
    axis = axes[0, 0]
    for at, system in enumerate(systems):
        errors = table[table["system"] == system].groupby("method")["relative error"]
        found = errors.agg(["median", "min", "max"]).reindex(methods[::-1]).clip(lower=1e-7)
        rows = np.arange(len(methods)) + 0.72 * (0.5 - (at + 0.5) / len(systems))
        axis.hlines(rows, found["min"], found["max"], color=PALETTE[system], linewidth=1.4, alpha=0.7)
        axis.scatter(found["median"], rows, marker=MARKERS[system], color=PALETTE[system], s=30, zorder=3, label=system)
    axis.set(xscale="log", xlabel="|sum of attributions - difference explained| / |difference explained|")
    axis.set_yticks(range(len(methods)), methods[::-1])
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, title="median; line: range")
    return finish(figure, title, caption)


@styled
def time_profiles(profiles: Mapping[str, np.ndarray], title: str, caption: str) -> Figure:
    """Attributions summed frame by frame; all profiles add up to the same difference.

    Parameters
    ----------
    profiles
        Name -> (frames,).
    """
    figure, axes = panels(len(profiles), 1, height=1.0 + 1.4 * len(profiles), sharex=True, sharey=True)
    for axis, (name, values), (colour, _, _) in zip(axes[:, 0], profiles.items(), LINES, strict=False):
        axis.axhline(0, color="0.5", linewidth=1)
        axis.plot(frame_times(len(values)), values, color=colour, linewidth=1.2)
        axis.set_title(f"{name} (sum {values.sum():+.3f})", loc="left")
        axis.set_ylabel("per frame")
    axes[-1, 0].set_xlabel("time (s)")
    return finish(figure, title, caption)


@styled
def fidelity_curves(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """How far answers move when the first cells of each order are kept alone (above) or silenced (below).

    Parameters
    ----------
    table
        Tidy: system and what :func:`mer_lib.regions.fidelity` gives.
    """
    systems, sides = [s for s in PALETTE if s in set(table["system"])], list(dict.fromkeys(table["side"]))
    width = max(6.5, min(12.5, 2.2 + 2.4 * len(systems)))
    figure, axes = panels(len(sides), len(systems), width=width, height=5.2, sharex=True, sharey="row")
    looks = _looks(list(dict.fromkeys(table["order"])))
    for column, system in enumerate(systems):
        for axis, side in zip(axes[:, column], sides, strict=True):
            part = table[(table["system"] == system) & (table["side"] == side)]
            for order, (colour, marker, style) in looks.items():
                means = part[part["order"] == order].groupby("share")["moved"].mean()
                axis.plot(means.index, means, color=colour, marker=marker, markersize=5, linestyle=style, label=order)
            axis.set_ylabel(f"answer moves\n({side})" if column == 0 else "")
        axes[0, column].set_title(system)
        axes[-1, column].set_xlabel("share of the cells")
    for axis in axes[:, 0]:
        axis.set_ylim(bottom=0)  # once all curves are drawn: the panels of a row share it
    outside_legend(axes)
    return finish(figure, title, caption)


@styled
def heard_answers(answers: pd.DataFrame, title: str, caption: str) -> Figure:
    """What a network says to a clip, to its important regions alone, to the rest, and to silence.

    Parameters
    ----------
    answers
        From :class:`mer_lib.regions.HeardRegions`: a column a signal; those named "... (picture)" are drawn hollow.
    """
    figure, axes = panels(1, 1, width=8.6, height=1.6 + 0.3 * len(answers))
    axis, places = axes[0, 0], np.arange(len(answers))[::-1]
    sounds = [name for name in answers if not str(name).endswith("(picture)")]
    looks = dict(zip(sounds, ((CLEAN, "o"), (ATTACKED, "D"), (SECOND, "^"), ("0.6", "x")), strict=False))
    for name, (colour, marker) in looks.items():
        picture = f"{name} (picture)"
        if picture in answers:
            axis.scatter(
                answers[picture], places, marker=marker, s=80, facecolors="none", edgecolors=colour, label=picture
            )
        axis.scatter(answers[name], places, marker=marker, s=40, color=colour, label=name, zorder=3)
    axis.set_yticks(places, [in_words(name) for name in answers.index])
    axis.set(xlabel="predicted rating")
    axis.margins(x=0.08)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)


@styled
def randomisation(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """How alike attributions stay while the layers lose what they learned, from the answer (left) down to the input.

    Parameters
    ----------
    table
        Tidy: system and what :func:`mer_lib.sanity_checks.randomisation_test` gives.
    """
    systems = [s for s in PALETTE if s in set(table["system"])]
    columns = min(3, len(systems))
    rows = -(-len(systems) // columns)
    figure, axes = panels(rows, columns, width=2.6 + 2.7 * columns, height=0.6 + 2.9 * rows, sharey=True)
    looks = _looks(list(dict.fromkeys(table["measure"])))
    for axis, system in zip(axes.flat, systems, strict=False):
        part = table[table["system"] == system]
        layers = list(dict.fromkeys(part["layer"]))
        axis.axhline(0, color="0.5", linewidth=1)
        for measure, (colour, marker, style) in looks.items():
            means = part[part["measure"] == measure].groupby("layer")["similarity"].mean().reindex(layers)
            look = {"marker": marker, "markersize": 5, "linestyle": style, "label": NAMES.get(measure, measure)}
            if measure == "slopes":  # hollow and dashed: they may lie on the attributions
                look |= {"markersize": 9, "markerfacecolor": "none", "linestyle": "--"}
            axis.plot(range(len(layers)), means, color=colour, **look)
        axis.set_xticks(range(len(layers)), layers, rotation=90)
        axis.set(title=system, ylim=(-1.05, 1.05), ylabel="rank correlation" if axis in axes[:, 0] else "")
    for axis in axes.flat[max(0, len(systems) - columns) : len(systems)]:
        axis.set_xlabel("layers shuffled, from the answer down")
    figure.align_xlabels()
    for axis in axes.flat[len(systems) :]:
        axis.set_visible(False)
    axes[0, columns - 1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return finish(figure, title, caption)
