"""Figures of one network's attacks: how the loss climbs, and what each budget reaches.

Notebook: 06_attack
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mer_lib.plots import ATTACKED, CLEAN, RATED, finish, panels, styled

UNITS = {"spectrogram": "z-scored spectrogram", "waveform": "full scale"}
RELATIVES = ("s", "D", "^", "v", "P")  # markers of attacks other than BIM, hollow


def attack_title(name: str, broken: bool) -> str:
    """An attack's name as a title: decibels as a unit, a long name broken at its hyphens."""
    return re.sub(r"(\d)db$", r"\1 dB", name.replace("-", "\n") if broken else name)


def _with_room(ticks: Sequence[float], room: float) -> list[str]:
    """Labels of ticks on a logarithmic axis; where one lies too near to the last one shown (a share of all), none."""
    shown = [ticks[0]]
    for tick in ticks[1:]:
        if np.log(tick / shown[-1]) >= room * np.log(ticks[-1] / ticks[0]):
            shown.append(tick)
    return [f"{tick:.3g}" if tick in shown else "" for tick in ticks]


@styled
def loss_per_step(curves: Mapping[str, np.ndarray], title: str, caption: str) -> Figure:
    """The attacked loss at every step: median over the clips, and the band that holds 80 % of them.

    Parameters
    ----------
    curves
        Attack -> (steps + 1, clips); step 0 is the clean clip (or the random start).

    Notebook: 06_attack
    """
    columns = min(5, len(curves))
    rows = -(-len(curves) // columns)
    shape = {"width": min(10.5, 3.5 + 3.0 * columns), "height": 0.7 + 2.3 * rows}
    figure, axes = panels(rows, columns, **shape, sharey=True)
    broken = max(map(len, curves)) * columns > 60
    for place, (axis, (name, curve)) in enumerate(zip(axes.flat, curves.items(), strict=False)):
        steps = np.arange(len(curve))
        low, middle, high = np.quantile(curve, [0.1, 0.5, 0.9], axis=1)
        axis.fill_between(steps, low, high, color=ATTACKED, alpha=0.2, linewidth=0, label="80 % of the clips")
        axis.plot(steps, middle, color=ATTACKED, marker="." if len(curve) <= 60 else "", label="median clip")
        axis.set_title(attack_title(name, broken))
        axis.set_xlabel("step" if place + columns >= len(curves) else "")
        axis.set_ylabel("" if place % columns else "loss (MSE)")
        axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True, nbins=4))
    for axis in axes.flat[len(curves) :]:
        axis.set_visible(False)
    axes[0, 0].set_ylim(bottom=0)  # once all curves are drawn: the panels share it
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, caption)


@styled
def epsilon_sweep(rows: pd.DataFrame, title: str, caption: str) -> Figure:
    """Error and correlation against the budget, in each domain; dashed: before the attack, numbers: median SNR.

    The SNR of a spectrogram attack is that of its rendering as sound. Relatives of BIM are dotted and hollow; an attack
    that does not keep its budget is a cross at the largest change that it made.

    Parameters
    ----------
    rows
        Rows of ``results.csv`` of one run, one an attack.

    Notebook: 06_attack
    """
    by_ear = rows["epsilon"].isna()  # attacks that were asked for an SNR: their column counts in decibels
    parts = {(domain, "epsilon"): rows[(rows["domain"] == domain) & ~by_ear].sort_values("epsilon") for domain in UNITS}
    parts["waveform", "snr_db_median"] = rows[by_ear].sort_values("snr_db_median", ascending=False)
    parts = {place: part for place, part in parts.items() if len(part)}
    figure, axes = panels(2, len(parts), width=10.0, height=5.0, sharex="col")
    relatives = dict(zip((name for name in dict.fromkeys(rows["method"]) if name != "BIM"), RELATIVES, strict=False))
    for column, ((domain, budget), part) in enumerate(parts.items()):
        for axis, metric, label in zip(axes[:, column], ("mae", "corr"), ("MAE", "correlation"), strict=True):
            axis.axhline(part[f"{metric}_clean"].iloc[0], color=CLEAN, linestyle="--", label="clean")
            for method, kept in part[~part["published_update"]].groupby("method", sort=False):
                style = {"color": ATTACKED, "marker": "o", "markersize": 5, "label": f"after {method}"}
                if method in relatives:
                    style |= {"color": RATED, "marker": relatives[method], "markersize": 9, "linestyle": ":"}
                    style["markerfacecolor"] = "none"
                axis.plot(kept[budget], kept[f"{metric}_attacked"], **style)
            broken = part[part["published_update"]]
            if len(broken):
                style = {"linestyle": "", "marker": "x", "color": ATTACKED, "label": "budget not kept"}
                axis.plot(broken["linf_max"], broken[f"{metric}_attacked"], **style)
            axis.set(xscale="log" if budget == "epsilon" else "linear", ylabel=label if column == 0 else "")
            axis.margins(x=0.15, y=0.2)
            if budget == "epsilon":
                ticks = sorted(set(part["epsilon"]))
                labels = _with_room(ticks, 0.1 * len(parts))
            else:
                ticks = labels = sorted(set(part["snr_db_median"].dropna().round().astype(int)))
            axis.set_xticks(ticks, labels)
            axis.minorticks_off()
        if budget == "epsilon":
            bim = part[(part["method"] == "BIM") & ~part["published_update"]].set_index("epsilon")["snr_db_median"]
            for tick in [tick for tick, label in zip(ticks, labels, strict=True) if label and tick in bim.dropna()]:
                axes[0, column].text(
                    tick, 0.97, f"{bim[[tick]].iloc[0]:.0f} dB", transform=axes[0, column].get_xaxis_transform(),
                    ha="center", va="top", fontsize=8, color="0.3",
                )  # fmt: skip
        axes[0, column].set_title(f"{domain} domain")
        by_db = budget != "epsilon"
        axes[1, column].set_xlabel("SNR (dB)" if by_db else f"budget epsilon ({UNITS[domain]})")
        if by_db:
            axes[1, column].invert_xaxis()  # louder to the right, as in the other columns
    named = [axis.get_legend_handles_labels() for axis in axes[0]]
    handles = {label: handle for lines, labels in named for handle, label in zip(lines, labels, strict=True)}
    place = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5), "frameon": False}
    axes[0, -1].legend(handles.values(), handles.keys(), title="along the top:\nmedian SNR", alignment="left", **place)
    return finish(figure, title, caption)
