"""Figures of inversion and generation: what is left of a clip, the way there, and how it sounds.

Notebook: 12_invert_and_generate
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mer_lib.inversion_study import UNTRAINED
from mer_lib.models import SYSTEMS
from mer_lib.plots import MAGNITUDE, MARKERS, PALETTE, RATED, _draw_spectrogram, finish, panels, styled

COLOURS = {**PALETTE, UNTRAINED: "0.55"}
SHAPES = {**MARKERS, UNTRAINED: "X"}
ORDER = (*SYSTEMS, UNTRAINED)
RENDERED_ORIGINAL, OTHER = "original, rendered", "another clip"


def _plain_log(axis: Axes, decades: float) -> None:
    """A logarithmic x axis in plain numbers: 1, 2 and 5 where it is no longer than it has room for, else 1 alone."""
    low, high = sorted(axis.get_xlim())
    subs = (1, 2, 5) if np.log10(high / low) <= decades else (1,)
    axis.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=subs, numticks=20))
    axis.xaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
    axis.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())


def in_order(systems: Sequence[str]) -> list[str]:
    """The systems that are there, in the study's order, the untrained network last."""
    return [name for name in ORDER if name in set(systems)]


@styled
def pictures(grid: Mapping[str, Mapping[str, np.ndarray]], title: str, caption: str) -> Figure:
    """Log spectrograms in rows and columns on one scale of colours.

    Parameters
    ----------
    grid
        Row -> title -> log spectrogram (frames, 149), not z-scored, or None: its place stays empty. A title is shown
        where it is not the one above.

    Notebook: 12_invert_and_generate
    """
    columns = max(len(row) for row in grid.values())
    shape = {"width": 1.8 + 2.2 * columns, "height": 1.2 + 1.15 * len(grid)}
    figure, axes = panels(len(grid), columns, **shape, sharex=True, sharey=True)
    shown = [values for row in grid.values() for values in row.values() if values is not None]
    top, mesh = max(float(np.quantile(values, 0.999)) for values in shown), None
    above: dict[int, str] = {}
    for line, (name, row) in zip(axes, grid.items(), strict=True):
        for place, axis in enumerate(line):
            title_here = list(row)[place] if place < len(row) else None
            if title_here is None or row[title_here] is None:
                axis.set_visible(False)
                continue
            mesh = _draw_spectrogram(axis, np.asarray(row[title_here]), cmap="magma", vmin=0, vmax=top)
            axis.set(xlabel="", ylabel="")
            axis.set_yticks([100, 1000, 8000], ["100", "1 k", "8 k"])
            if above.get(place) != title_here:
                axis.set_title(title_here, fontsize=9.5)
            above[place] = title_here
        first = next(axis for axis in line if axis.get_visible())
        first.set_ylabel(textwrap.fill(name, 13), rotation=0, ha="right", va="center", fontweight="bold")
    figure.supylabel("frequency (Hz)", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("time (s)")
    figure.colorbar(mesh, ax=axes, label=MAGNITUDE, pad=0.01, aspect=40)
    return finish(figure, title, caption)


@styled
def ways(paths: pd.DataFrame, title: str, caption: str) -> Figure:
    """Likeness of the pictures against distance of the representations, from the start (hollow) to the end, a line a
    network, a panel a layer; means over clips and draws.

    Parameters
    ----------
    paths
        Of one start: system, layer, step, of_two_clips, outline.

    Notebook: 12_invert_and_generate
    """
    layers = list(dict.fromkeys(paths["layer"]))
    figure, axes = panels(1, len(layers), width=min(11.5, 2.6 + 2.4 * len(layers)), height=3.3, sharey=True)
    for axis, layer in zip(axes[0], layers, strict=True):
        part = paths[paths["layer"] == layer]
        for system in in_order(part["system"]):
            way = part[part["system"] == system].groupby("step")[["of_two_clips", "outline"]].mean()
            axis.plot(way["of_two_clips"], way["outline"], color=COLOURS[system], linewidth=1.6)
            ends = {0: "white", -1: COLOURS[system]}
            for row, fill in ends.items():
                axis.scatter(
                    *way.iloc[row], color=fill, edgecolor=COLOURS[system], marker=SHAPES[system], s=36, zorder=3,
                    label=system if row else None,
                )  # fmt: skip
        axis.axhline(0, color="0.6", linewidth=1)
        axis.set(title=layer, xscale="log", ylim=(None, 1.02))
        _plain_log(axis, decades=1.2)
        axis.invert_xaxis()
    axes[0, len(layers) // 2].set_xlabel("distance of the representations (1: two different clips)")
    axes[0, 0].set_ylabel("correlation with the original\n(outlines)")
    handles = {name: handle for axis in axes[0] for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    names = in_order(list(handles))
    figure.legend([handles[name] for name in names], names, loc="outside right center", frameon=False)
    return finish(figure, title, caption)


@styled
def by_layer(table: pd.DataFrame, title: str, caption: str, label: str) -> Figure:
    """A measure per layer and network with its interval; bars that would leave the figure are cut at its edge.

    Parameters
    ----------
    table
        As :func:`mer_lib.meaning.means` gives it: measure (here the layer), system, mean, low, high.

    Notebook: 12_invert_and_generate
    """
    layers = list(dict.fromkeys(table["measure"]))
    systems = in_order(table["system"])
    figure, axes = panels(1, 1, width=2.5 + 1.7 * len(layers), height=3.3)
    axis = axes[0, 0]
    for index, system in enumerate(systems):
        part = table[table["system"] == system].set_index("measure")
        at = np.array([layers.index(name) for name in part.index]) + 0.7 * (index + 0.5) / len(systems) - 0.35
        axis.vlines(at, part["low"], part["high"], color=COLOURS[system], linewidth=1.6)
        axis.scatter(at, part["mean"], color=COLOURS[system], marker=SHAPES[system], s=34, zorder=3, label=system)
    axis.axhline(0, color="0.6", linewidth=1)
    axis.set_xticks(range(len(layers)), layers)
    axis.grid(axis="x", visible=False)
    low, high = min(table["mean"].min(), 0.0), max(table["mean"].max(), 0.0)
    room = 0.35 * (high - low)
    axis.set(ylabel=label, xlim=(-0.5, len(layers) - 0.5), ylim=(low - room, high + room))
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)


@styled
def sounds_apart(rows: pd.DataFrame, title: str, caption: str) -> Figure:
    """Inverted clips as sounds: distance of their representation and of their computed qualities, a point a clip.

    Parameters
    ----------
    rows
        As in :class:`mer_lib.sound_study.Heard`: system, way, of_two_clips, qualities_apart. Lines: the recordings' own
        pictures rendered (dotted) and other recordings (dashed).

    Notebook: 12_invert_and_generate
    """
    measures = {"of_two_clips": "distance of representations\n(1: two different clips)"}
    measures["qualities_apart"] = "difference of\ncomputed qualities"
    systems = in_order(rows["system"])
    ways = list(dict.fromkeys(rows.loc[rows["system"].isin(systems), "way"]))
    figure, axes = panels(1, len(measures), height=3.6)
    for axis, (column, label) in zip(axes[0], measures.items(), strict=True):
        for index, way in enumerate(ways):
            for at, system in enumerate(systems):
                values = rows.loc[(rows["system"] == system) & (rows["way"] == way), column]
                places = at + (index - (len(ways) - 1) / 2) * 0.3
                axis.scatter(
                    [places] * len(values), values, s=26, marker=SHAPES[system], edgecolor=COLOURS[system],
                    color=COLOURS[system] if index == 0 else "white",
                )  # fmt: skip
                axis.hlines(values.mean(), places - 0.12, places + 0.12, color=COLOURS[system], linewidth=2)
        for name, line in ((RENDERED_ORIGINAL, ":"), (OTHER, "--")):
            if rows.loc[rows["system"] == name, column].notna().any():
                axis.axhline(rows.loc[rows["system"] == name, column].mean(), color=RATED, linestyle=line, label=name)
        axis.set_xticks(range(len(systems)), systems, rotation=30 if len(systems) > 3 else 0)
        axis.set(ylabel=label, ylim=(0, None), xlim=(-0.6, len(systems) - 0.4))
        axis.grid(axis="x", visible=False)
    fills = (mpl.colors.to_rgba("0.3"), "white")
    for way, fill in zip(ways, fills, strict=False):
        axes[0, -1].scatter([], [], color=fill, edgecolor="0.3", s=26, label=way)
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)


@styled
def distances(table: pd.DataFrame, title: str, caption: str) -> Figure:
    """Frechet audio distance of each set of sounds from recordings, on a logarithmic axis, with floor and ceiling.

    Parameters
    ----------
    table
        set, distance; several rows a set (draws) are shown as points, their mean as a line.

    Notebook: 12_invert_and_generate
    """
    names = list(dict.fromkeys(table["set"]))[::-1]
    figure, axes = panels(1, 1, width=8.0, height=1.4 + 0.28 * len(names))
    axis = axes[0, 0]
    for at, name in enumerate(names):
        values = table.loc[table["set"] == name, "distance"]
        system = name.split(",")[0]
        colour = COLOURS.get(system, RATED)
        axis.scatter(values, [at] * len(values), color=colour, marker=SHAPES.get(system, "|"), s=34, zorder=3)
        axis.vlines(values.mean(), at - 0.3, at + 0.3, color=colour, linewidth=2)
    axis.set(xscale="log", xlabel="Fréchet audio distance to real clips (textbook features)")
    _plain_log(axis, decades=3)
    axis.set_yticks(range(len(names)), names)
    return finish(figure, title, caption)
