"""Figures of what networks mean by their answers: who believes whom, and every measure of meaning with its interval.

Notebook: 12_invert_and_generate
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from mer_lib.inversion_study import TWIN, kind_of_judge
from mer_lib.meaning import LESS, MORE, OPEN
from mer_lib.models import SYSTEMS
from mer_lib.plots import PALETTE, RATED, finish, panels, styled

NO_INTERVAL = "no interval:"


@styled
def judges(rises: Mapping[str, pd.DataFrame], title: str, caption: str) -> Figure:
    """Who believes whom: rise of the judge's answer, a row a maker, a column a judge, a panel what was asked for.

    Parameters
    ----------
    rises
        Panel -> table with makers as index and judges as columns; NaN cells stay empty, judges that are the maker's
        twin are hatched.

    Notebook: 12_invert_and_generate
    """
    widths = [max(3, table.shape[1]) for table in rises.values()]
    tallest = max(len(table) for table in rises.values())
    figure, axes = panels(
        1, len(rises), width=min(12.0, 2.0 + 0.62 * sum(widths)), height=2.3 + 0.34 * tallest,
        gridspec_kw={"width_ratios": widths},
    )  # fmt: skip
    # What makers say themselves is beyond the scale on purpose: the others are the question
    others = np.concatenate(
        [table.drop(columns="itself", errors="ignore").to_numpy().ravel() for table in rises.values()]
    )
    limit = max(float(np.nanmax(np.abs(others))), 0.5)
    beyond = max(np.nanmax(table.to_numpy()) for table in rises.values()) > limit
    scale = {"label": "rise (spreads of the judge)", "extend": "max" if beyond else "neither"}
    for axis, (name, table) in zip(axes[0], rises.items(), strict=True):
        sns.heatmap(
            table, ax=axis, vmin=-limit, vmax=limit, cmap="RdBu_r", annot=True, fmt=".1f", annot_kws={"size": 8.5},
            linewidths=0.5, cbar=axis is axes[0, -1], cbar_kws=scale,
        )  # fmt: skip
        for (row, maker), (column, judge) in product(enumerate(table.index), enumerate(table.columns)):
            if judge in SYSTEMS and kind_of_judge(maker, judge) == TWIN:
                axis.add_patch(mpl.patches.Rectangle((column, row), 1, 1, fill=False, hatch="///", ec="0.4", lw=0))
        axis.set(title=name.replace(", ", ",\n"), xlabel="judge", ylabel="made by" if axis is axes[0, 0] else "")
        axis.set_xticks(np.arange(table.shape[1]) + 0.5, table.columns, rotation=60, ha="right", rotation_mode="anchor")
        axis.set_yticks(np.arange(len(table)) + 0.5, table.index, rotation=0)
        axis.grid(False)
    note = "Hatched: twin, not counted; blank: itself, no such output, or not asked."
    return finish(figure, title, f"{caption} {note}")


@styled
def answer(verdicts: pd.DataFrame, title: str, caption: str) -> Figure:
    """Differences of every measure with intervals, each row on its own scale; filled where 0 is left out.

    Rows without an interval stand apart, below: their scale would be their own size, so that a cross shows the side
    alone, and the number beside it the difference.

    Parameters
    ----------
    verdicts
        Rows of one question, as :func:`mer_lib.meaning.verdicts` gives them.

    Notebook: 12_invert_and_generate
    """
    measures = list(dict.fromkeys(verdicts["measure"]))
    bare = [name for name in measures if verdicts.loc[verdicts["measure"] == name, "low"].isna().all()]
    rows = [name for name in measures if name not in bare] + [NO_INTERVAL, *bare] * bool(bare)
    pairs = list(dict.fromkeys(zip(verdicts["first"], verdicts["second"], strict=True)))
    figure, axes = panels(
        1, len(pairs), width=min(13.0, 6.0 + 2.5 * len(pairs)), height=1.8 + 0.3 * len(rows), sharey=True, sharex=True
    )
    unit = verdicts.groupby("measure")[["difference", "low", "high"]].apply(lambda part: np.nanmax(np.abs(part)))
    colours = {MORE: PALETTE["A2M2E"], LESS: PALETTE["aA2E"], OPEN: "0.45"}
    for axis, (first, second) in zip(axes[0], pairs, strict=True):
        part = verdicts[(verdicts["first"] == first) & (verdicts["second"] == second)]
        axis.axvline(0, color="0.5", linewidth=1)
        for row in part.itertuples():
            at, scale, colour = len(rows) - 1 - rows.index(row.measure), unit[row.measure] or 1.0, colours[row.verdict]
            if np.isnan(row.low):
                side = 0.5 * np.sign(row.difference)
                axis.scatter(side, at, s=34, zorder=3, color=RATED, marker="x")
                beside = {"xytext": (7, 0), "textcoords": "offset points", "va": "center", "fontsize": 8.5}
                axis.annotate(f"{row.difference:+.2g}", (side, at), **beside)
                continue
            axis.hlines(at, row.low / scale, row.high / scale, color=colour, linewidth=1.8)
            fill = "white" if row.verdict == OPEN else colour
            axis.scatter(row.difference / scale, at, s=34, zorder=3, color=fill, edgecolor=colour)
        axis.set(title=f"{first}\n– {second}", xlim=(-1.1, 1.1), ylim=(-0.7, len(rows) - 0.3), xticks=(-1, 0, 1))
        axis.set_xticklabels(["less", "0", "more"])
        axis.grid(axis="x", visible=False)
    axes[0, 0].set_yticks(range(len(rows)), rows[::-1])
    axes[0, len(pairs) // 2].set_xlabel("meaning: difference, 95 % interval,\neach row on its own scale")
    words = {MORE: "more: the interval leaves out 0", LESS: "less: the interval leaves out 0"}
    words[OPEN] = "open: the interval holds 0"
    for verdict, colour in colours.items():
        fill = "white" if verdict == OPEN else colour
        axes[0, -1].plot([], [], color=colour, marker="o", markerfacecolor=fill, label=words[verdict])
    if bare:
        label = "no interval: side and difference"
        axes[0, -1].plot([], [], color=RATED, marker="x", linestyle="", label=label)
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)
