"""The figure of the benchmarks: cost against clips, steps, width and arithmetic, with straight lines through it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mer_lib.places import atomic_write
from mer_lib.plots import CLEAN, SECOND, finish, panels, styled
from tests.benchmarks.report import Report

PANELS = (("clips", "clips", "clips"), ("steps", "steps", "steps"), ("width", "gflop", "GFLOP, widths .25 to 1"))


def straight(x: pd.Series, y: pd.Series) -> tuple[float, float, float]:
    """Slope and intercept of the least-squares line, and the share of the variance that it explains."""
    slope, intercept = np.polyfit(x, y, 1)
    return float(slope), float(intercept), float(np.corrcoef(x, y)[0, 1] ** 2)


@styled
def cost_figure(points: pd.DataFrame, caption: str) -> Figure:
    """Seconds of an attack against what makes it longer."""
    figure, axes = panels(1, len(PANELS), width=10.0, height=3.4)
    for axis, (against, column, label) in zip(axes[0], PANELS, strict=True):
        chosen = points[points["against"] == against].sort_values(column)
        slope, intercept, explained = straight(chosen[column], chosen["seconds"])
        ends = np.array([0, chosen[column].max()])
        text = f"straight line, R² {explained:.4f}"
        axis.plot(ends, intercept + slope * ends, "-", color=SECOND, label=text, zorder=1)
        spread = [chosen["seconds"] - chosen["seconds_least"], chosen["seconds_most"] - chosen["seconds"]]
        axis.errorbar(
            chosen[column], chosen["seconds"], yerr=spread, fmt="o", color=CLEAN, capsize=3, label="median, all rounds"
        )
        axis.set(xlabel=label, xlim=(0, None), ylim=(0, None))
        axis.legend(loc="upper left")
    axes[0][0].set_ylabel("seconds")
    return finish(figure, "What an attack costs is linear in clips, steps and arithmetic", caption)


def write_cost_figure(report: Report, path: Path) -> None:
    """Draw the points of a report; nothing where it has none."""
    if not report.cost:
        return
    caption = (
        "BIM in f32. Left: width 0.25, 5 steps. Middle: width 0.25, 8 clips; scoring lets the line "
        f"begin above 0. Right: 8 clips, 5 steps. {report.about()}."
    )
    figure = cost_figure(pd.DataFrame(report.cost), caption)
    atomic_write(path, lambda part: figure.savefig(part, bbox_inches="tight", metadata={"Software": None}))
