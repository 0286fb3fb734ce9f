"""Figures of a corpus: its values, its groups in a split, and how well its mid-level values can be computed.

Notebook: 01_prepare_data
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from mer_lib.plots import CLEAN, finish, panels, styled


@styled
def distributions(table: pd.DataFrame, columns: Sequence[str], title: str, label: str, caption: str) -> Figure:
    """How a corpus's values are spread: one violin and one point a clip for each column of values in [0, 1].

    Notebook: 01_prepare_data
    """
    figure, axes = panels(1, 1, height=3.6)
    axis = axes[0, 0]
    long = table[list(columns)].melt(var_name="column", value_name="value").dropna()
    sns.violinplot(long, x="column", y="value", order=columns, ax=axis, color="#CFE5F2", cut=0, inner=None)
    jitter = np.random.default_rng(0).uniform(-0.16, 0.16, len(long))
    place = long["column"].map({column: i for i, column in enumerate(columns)})
    axis.scatter(place + jitter, long["value"], s=5, color=CLEAN, alpha=0.45, linewidths=0, zorder=3)
    axis.set(xlabel="", ylabel=label, ylim=(0, 1))
    axis.set_xticks(
        range(len(columns)), [textwrap.fill(c.replace("_", " "), 11, break_long_words=False) for c in columns]
    )
    return finish(figure, title, caption)


@styled
def descriptor_agreement(
    known: pd.DataFrame, computed: pd.DataFrame, title: str, caption: str, known_label: str = "composed value"
) -> Figure:
    """Computed against known mid-level values, one panel a quality, with its correlation.

    Parameters
    ----------
    known, computed
        One row a clip, the same columns in both.

    Notebook: 01_prepare_data
    """
    columns = list(known.columns)
    figure, axes = panels(2, -(-len(columns) // 2), height=5.0, sharex=True, sharey=True)
    for axis, column in zip(axes.flat, columns, strict=False):
        axis.scatter(known[column], computed[column], s=12, color=CLEAN, alpha=0.7, linewidths=0)
        r = np.corrcoef(known[column], computed[column])[0, 1] if computed[column].std() > 0 else 0.0
        axis.set_title(f"{column.replace('_', ' ')}\nr = {r:.2f}")
        axis.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    for axis in axes.flat[len(columns) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("computed from audio")
    for axis in axes[-1]:
        axis.set_xlabel(known_label)
    return finish(figure, title, caption)


@styled
def group_overlap(overlap: pd.DataFrame, title: str, caption: str) -> Figure:
    """How many test clips have clips of the same group (album) in training.

    Parameters
    ----------
    overlap
        One row a protocol: index protocol, columns "group also in training" and "group unseen", counts of
        test clips.

    Notebook: 01_prepare_data
    """
    figure, axes = panels(1, 1, height=1.3 + 0.45 * len(overlap))
    axis, left = axes[0, 0], np.zeros(len(overlap))
    for column, colour in (("group also in training", "#E69F00"), ("group unseen", "#56B4E9")):
        counts = overlap[column].to_numpy()
        bars = axis.barh(np.arange(len(overlap)), counts, left=left, color=colour, label=column, height=0.6)
        axis.bar_label(bars, [str(n) if n else "" for n in counts], label_type="center")
        left = left + counts
    axis.set_yticks(range(len(overlap)), overlap.index)
    axis.invert_yaxis()
    axis.set(xlabel="test clips", ylabel="split")
    axis.grid(axis="y", visible=False)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)
