"""Figures of how audible an attack is.

Notebooks: 07_listen, 08_robustness
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mer_lib.plots import MARKERS, PALETTE, finish, panels, styled

MEASURES = {"snr_db": "signal-to-noise ratio (dB)", "nmr_db": "noise-to-mask ratio (dB)"}
LEGEND = (
    "Small points: clips; large ones: medians over an attack's clips. The signal-to-noise ratio falls to the right, so "
    "that further right is more audible in both columns."
)
WORDS = {"waveform": "attacks on waveforms", "spectrogram": "renderings of attacked spectrograms"}


@styled
def audibility(sounds: pd.DataFrame, title: str, caption: str) -> Figure:
    """What an attack gains against how audible it is: rise of the error over SNR and noise-to-mask ratio.

    A colour and marker is a system. Small points are clips, large ones the median of an attack's clips (of all seeds);
    further right is more audible. Clips that an attack left as they were have no ratio and no point. In the right
    column, 0 dB is where the masking model begins to hear the noise.

    Parameters
    ----------
    sounds
        Rows of :func:`mer_lib.results.sounds_of`: clip, snr_db, nmr_db, mae_change, system, attack, domain.

    Notebook: 07_listen, 08_robustness
    """
    domains = [domain for domain in WORDS if domain in set(sounds["domain"])]
    systems = [name for name in PALETTE if name in set(sounds["system"])]
    figure, axes = panels(len(domains), 2, height=1.2 + 2.8 * len(domains), sharex="col", sharey="row")
    for row, domain in enumerate(domains):
        for axis, measure in zip(axes[row], MEASURES, strict=True):
            axis.axhline(0, color="0.5", linewidth=1)
            if measure == "nmr_db":
                axis.axvline(0, color="0.5", linestyle="--", linewidth=1)
            for system in systems:
                part = sounds[(sounds["domain"] == domain) & (sounds["system"] == system)]
                part = part[np.isfinite(part[measure])]
                axis.scatter(
                    part[measure], part["mae_change"], s=13, marker=MARKERS[system], color=PALETTE[system], alpha=0.3,
                    linewidths=0,
                )  # fmt: skip
                medians = part.groupby("attack")[[measure, "mae_change"]].median().sort_values(measure)
                axis.plot(
                    medians[measure], medians["mae_change"], color=PALETTE[system], marker=MARKERS[system],
                    markersize=7, markeredgecolor="white", label=system, zorder=3,
                )  # fmt: skip
            axis.set_title(WORDS[domain])
        axes[row, 0].set_ylabel("rise of a clip's MAE")
    for axis, label in zip(axes[-1], MEASURES.values(), strict=True):
        axis.set_xlabel(label)
    axes[0, 0].invert_xaxis()  # shared by the column: less SNR is more audible
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return finish(figure, title, f"{caption} {LEGEND}")
