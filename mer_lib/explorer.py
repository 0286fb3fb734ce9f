"""Sliders for JupyterLab: choose network, clip, domain and budget, and see the ratings move under the attack.

Pictures are sent as images and nothing is captured by an output widget; the same pictures stand in notebook 07 without
any widget, so that an executed page loses nothing but the sliders.

Notebook: 07_listen
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import ipywidgets as widgets
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from mer_lib.bim import BIM, AttackResult, forward, frozen, mse_loss
from mer_lib.dataset import EMOTIONS, MIDLEVEL
from mer_lib.evaluation import attack_inputs
from mer_lib.perceptibility import perceptibility
from mer_lib.plots import clip_ratings
from mer_lib.preparation import Prepared
from mer_lib.rendering import render_attack
from mer_lib.runs import Run

# What can be chosen: the domain with the kind of its budget, and the budgets
BUDGETS = {
    "spectrogram, epsilon": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
    "waveform, epsilon": (0.0001, 0.0003, 0.001, 0.003, 0.01),
    "waveform, SNR (dB)": (60, 50, 40, 30, 20),
}


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=96, bbox_inches="tight")
    return buffer.getvalue()


class Explorer:
    """The sliders and what they show.

    Parameters
    ----------
    runs
        Networks by the name they are chosen by.
    prepared
        The prepared corpus of each, by the same names.
    steps
        Steps of the attack.
    clips
        How many test clips are offered.

    Attributes
    ----------
    view
        The widget to display.
    waveforms
        Clean and attacked samples of the last attack, for the player; of an attacked spectrogram "rendered" ones.
    """

    def __init__(
        self, runs: Mapping[str, Run], prepared: Mapping[str, Prepared], steps: int = 10, clips: int = 12
    ) -> None:
        self.runs, self.prepared, self.steps, self.clips = runs, prepared, steps, clips
        self.waveforms: dict[str, np.ndarray] = {}
        self.network = widgets.Dropdown(options=list(runs), description="network")
        self.clip = widgets.Dropdown(description="clip")
        self.kind = widgets.ToggleButtons(options=list(BUDGETS), value="waveform, epsilon", description="domain")
        self.kind.style.button_width = "auto"
        self.budget = widgets.SelectionSlider(
            options=BUDGETS["waveform, epsilon"], value=0.001, description="budget", continuous_update=False
        )
        self.bar = widgets.IntProgress(min=0, max=steps + 2, description="attack")
        self.emotions, self.midlevel = widgets.Image(), widgets.Image()
        self.view = widgets.VBox(
            [
                widgets.HBox([self.network, self.clip]),
                self.kind,
                widgets.HBox([self.budget, self.bar]),
                self.emotions,
                self.midlevel,
            ]
        )
        self._changing = False
        self.network.observe(self._offer_clips, "value")
        self.kind.observe(self._offer_budgets, "value")
        for chooser in (self.clip, self.budget):
            chooser.observe(self._attack, "value")
        self._offer_clips()

    def _offer_clips(self, _change: object = None) -> None:
        prepared = self.prepared[self.network.value]
        rows = prepared.split(self.runs[self.network.value].info["split"])["test"][: self.clips]
        self._offer(self.clip, [(str(prepared.table["id"].iloc[row]), int(row)) for row in rows], 0)

    def _offer_budgets(self, _change: object = None) -> None:
        self._offer(self.budget, BUDGETS[self.kind.value], 2)

    def _method(self) -> BIM:
        """The attack that is chosen."""
        domain, kind = self.kind.value.split(", ")
        budget = {"epsilon": self.budget.value} if kind == "epsilon" else {"snr_db": self.budget.value, "norm": "2"}
        return BIM(**budget, steps=self.steps, domain=domain, loss=self._counting_loss)

    def _offer(self, chooser: widgets.Dropdown | widgets.SelectionSlider, options: Sequence, index: int) -> None:
        """Offer other options and attack once, not at every step of the change."""
        self._changing = True
        chooser.options = options
        chooser.index = index
        self._changing = False
        self._attack()

    def _counting_loss(self, output: object, ratings: Tensor) -> Tensor:
        self.bar.value += 1
        return mse_loss(output, ratings)

    def _attack(self, _change: object = None) -> None:
        if self._changing:
            return
        run, prepared = self.runs[self.network.value], self.prepared[self.network.value]
        row, bim = np.array([self.clip.value]), self._method()
        self.bar.value = 0
        inputs = attack_inputs(run, prepared, bim.domain, row)
        result = bim.attack(run.model, inputs, torch.from_numpy(prepared.emotions[row]))
        clean, heard, name = attack_inputs(run, prepared, "waveform", row), result.adversarial, "attacked"
        if bim.domain == "spectrogram":
            heard, name = render_attack(run.model, clean, heard), "rendered"
        self.waveforms = {"clean": clean[0].numpy(), name: heard[0].numpy()}
        self._show(run, prepared, int(row[0]), inputs, result, bim.domain)
        self.bar.value = self.bar.max

    def _show(self, run: Run, prepared: Prepared, row: int, inputs: Tensor, result: AttackResult, domain: str) -> None:
        table = pd.DataFrame(
            {"rated": prepared.emotions[row], "clean": result.clean[0], "attacked": result.attacked[0]}, index=EMOTIONS
        )
        if "rendered" in self.waveforms:
            with frozen(run.model), torch.no_grad():
                sound = torch.from_numpy(self.waveforms["rendered"])[None]
                table["rendered"] = run.model.from_waveform(sound).emotions[0].numpy()
        audible = perceptibility(*(waveform[None] for waveform in self.waveforms.values())).iloc[0]
        title = f"Clip {prepared.table['id'].iloc[row]}, {self.network.value}: {self.kind.value} {self.budget.value:g}"
        caption = (
            f"BIM, {self.steps} steps. Of the sound: SNR {audible['snr_db']:.0f} dB, noise-to-mask ratio "
            f"{audible['nmr_db']:.0f} dB. Ratings by {prepared.info['ratings_kind']}."
        )
        self.emotions.value = _png(clip_ratings(table, title, caption))
        self.midlevel.layout.display = "" if run.model.system.bottleneck else "none"
        if run.model.system.bottleneck:
            with frozen(run.model), torch.no_grad():
                clean, attacked = (
                    forward(run.model, clip, domain).midlevel[0].numpy() for clip in (inputs, result.adversarial)
                )
            meaning = run.model.system.midlevel_weight > 0
            names = MIDLEVEL if meaning else [f"neuron {i + 1}" for i in range(len(MIDLEVEL))]
            table = pd.DataFrame({"clean": clean, "attacked": attacked}, index=list(names))
            if meaning:
                table["rated"] = prepared.midlevel[row]
            kind = prepared.info["midlevel_kind"]
            caption = f"Rated values: {kind}." if meaning else "Seven neurons without a meaning of their own."
            self.midlevel.value = _png(clip_ratings(table, "The bottleneck", caption, label="value of the neuron"))
