"""Attribution maps that can be differentiated: which cells of a spectrogram speak for an answer.

Simple gradients, gradient x input, and integrated gradients (Sundararajan et al. 2017) in a form that a second
derivative can pass through, and the smooth stand-in that makes such a derivative worth having. Baseline is silence,
-mean / std on a z-scored spectrogram, not its 0, which is the mean of all cells and no sound.

Notebook: 11_attribution_robustness
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mer_lib.bim import emotions_of
from mer_lib.models import Network, folded

METHODS = ("gradient", "gradient x input", "integrated gradients")


@dataclass(frozen=True)
class Explained:
    """Which output of each clip is explained, and which way: sign x emotion; both (clips,)."""

    emotion: Tensor
    sign: Tensor

    @classmethod
    def of(cls, emotions: Tensor, reference: Tensor, emotion: int | None = None) -> Explained:
        """The emotion that departs most from a reference (outputs,), such as the mean training rating, or a given one.

        The sign is that of the departure: the highest cells of the map are those that push the answer where it went.
        """
        departure = torch.nan_to_num(torch.as_tensor(emotions) - torch.as_tensor(reference))  # NaN: not rated
        chosen = departure.abs().argmax(dim=1) if emotion is None else torch.full((len(departure),), emotion)
        value = departure.gather(1, chosen[:, None])[:, 0]
        return cls(chosen, torch.where(value < 0, -1.0, 1.0))

    def __getitem__(self, rows: slice | Tensor) -> Explained:
        return Explained(self.emotion[rows], self.sign[rows])


def silence(model: nn.Module) -> float | Tensor:
    """The value of a silent cell in a network's z-scored spectrograms: the baseline of attributions; 0 if unknown."""
    return -model.mean / model.std if hasattr(model, "std") else 0.0


def spectrograms_in(model: nn.Module, inputs: Tensor, domain: str) -> Tensor:
    """What a network's trunk sees of inputs: themselves, or the z-scored spectrograms of waveforms."""
    return model.standardise(model.front_end(inputs)) if domain == "waveform" else inputs


def attribution_maps(
    model: nn.Module,
    spectrograms: Tensor,
    explained: Explained,
    method: str,
    steps: int = 8,
    create_graph: bool = False,
) -> tuple[Tensor, Tensor]:
    """Emotions (clips, outputs) of spectrograms and the attribution map of the explained one, (clips, frames, bands).

    "gradient"; "gradient x input", with the input measured from silence; "integrated gradients" from silence
    (Sundararajan et al. 2017), midpoints of equal steps. With ``create_graph`` both can be differentiated.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: one of {', '.join(METHODS)}")
    if not spectrograms.requires_grad:
        spectrograms = spectrograms.detach().requires_grad_()
    above, clips = spectrograms - silence(model), len(spectrograms)
    integrated = method == "integrated gradients"
    missing = [1 - (step + 0.5) / steps for step in range(steps)] if integrated else []
    path = torch.cat([spectrograms, *(spectrograms - share * above for share in missing)])
    emotions = emotions_of(model(path))
    emotions = emotions.float() if emotions.dtype == torch.bfloat16 else emotions
    emotions = emotions.view(-1, clips, emotions.shape[1])
    answers = explained.sign * emotions[:, torch.arange(clips), explained.emotion]
    answers = answers[1:] if integrated else answers  # the clip itself is there for its emotions alone
    (slopes,) = torch.autograd.grad(answers.sum(), path, create_graph=create_graph)
    slope = slopes.view(-1, *spectrograms.shape)[1 if integrated else 0 :].mean(dim=0)
    maps = slope if method == "gradient" else above * slope
    return (emotions[0], maps) if create_graph else (emotions[0].detach(), maps.detach())


def smooth_stand_in(model: nn.Module, beta: float) -> nn.Module:
    """A frozen copy with softplus(beta x) / beta for every ReLU; a Network's BatchNorm is folded in first."""
    stand_in = folded(model) if isinstance(model, Network) else copy.deepcopy(model).eval().requires_grad_(False)
    for module in list(stand_in.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.Softplus(beta=beta))
    return stand_in
