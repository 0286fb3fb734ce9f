"""The figure that sets what networks know beside what an attack takes from them.

Notebook: 08_robustness
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from mer_lib.plots import MARKERS, PALETTE, finish, panels, styled


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
