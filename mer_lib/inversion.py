"""Representation inversion: what must a clip look like for a network to represent it as another one?

A representation R(x) is what a layer makes of a clip. Clips that share it are the same clip to everything above that
layer. Inversion looks for such a clip: from noise, or from another clip, it minimises the relative distance
|R(x') - R(x)| / |R(x)| (Boychev 2023, arXiv 2307.02500, after Engstrom et al. 2019, arXiv 1906.00945). If x' resembles
x, what the layer keeps is what one hears; if x' stays noise, the layer's numbers can be had without the music.

Boychev scores one budget and one seed and keeps the iterate that is best for the batch. Here every iterate is scored,
the last one too, every clip keeps its own best, and the way there is kept, so that networks can be compared at equal
distance as well as at equal effort.

Notebook: 12_invert_and_generate
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mer_lib.audio import EXCERPT_SAMPLES
from mer_lib.bim import DOMAINS, frozen
from mer_lib.models import Network, folded

BLOCKS = ("block 1", "block 2", "block 3")
LAYERS = (*BLOCKS, "features", "bottleneck", "emotions")
OUTLINE = (8, 6)  # frames x bands averaged to one cell of a picture's outline: a quarter of a second, a quarter octave
STEP_SIZES = {"spectrogram": 0.1, "waveform": 0.003}  # of Adam, in z-scores and in full scale
QUIET = 0.03  # rms of the noise that a search for a waveform starts from, full scale 1


def layers_of(model: Network) -> tuple[str, ...]:
    """Layers that can be inverted, from the sound to the answer; "bottleneck" only where there is one.

    "block 1" and "block 2" end with the pooling, "block 3" is the last map (channels, 39, 18), "features" its mean over
    time and frequency, "bottleneck" the seven mid-level units, "emotions" the eight answers.
    """
    return tuple(name for name in LAYERS if name != "bottleneck" or model.midlevel_head is not None)


def represent(model: Network, spectrograms: Tensor, layer: str) -> Tensor:
    """Representation of z-scored spectrograms (clips, 313, 149) at a layer, flattened: (clips, values).

    Only what lies below the layer is computed. The network should be in eval mode.

    Raises
    ------
    ValueError
        If the network has no such layer.
    """
    if layer not in layers_of(model):
        raise ValueError(f"{model.system.name} has no layer {layer!r}: one of {', '.join(layers_of(model))}")
    if layer not in BLOCKS:
        features = model.features(spectrograms)
        return features if layer == "features" else model.heads(features)[0 if layer == "emotions" else 1]
    modules = list(model.trunk)
    pools = [index + 1 for index, module in enumerate(modules) if isinstance(module, nn.MaxPool2d)]
    average = [index for index, module in enumerate(modules) if isinstance(module, nn.AdaptiveAvgPool2d)]
    return model.trunk[: (*pools, *average)[BLOCKS.index(layer)]](spectrograms.unsqueeze(1)).flatten(1)


def spectrograms_of(model: Network, inputs: Tensor, domain: str) -> Tensor:
    """Z-scored spectrograms of inputs of a domain: themselves, or those of waveforms (clips, samples)."""
    return model.standardise(model.front_end(inputs)) if domain == "waveform" else inputs


def relative_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """|found - wanted| / |wanted| of each clip, l2 norms over all other axes; (clips,)."""
    return (found - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1).clamp(min=1e-12)


def outline_correlation(found: Tensor, wanted: Tensor) -> Tensor:
    """Pearson correlation of pictures (clips, frames, bands) averaged over cells of :data:`OUTLINE`; (clips,).

    Unlike a distance it forgives grain finer than a cell. A picture without any contrast has correlation 0.
    """
    outlines = [nn.functional.avg_pool2d(picture.unsqueeze(1), OUTLINE).flatten(1) for picture in (found, wanted)]
    first, second = (outline - outline.mean(dim=1, keepdim=True) for outline in outlines)
    return (first * second).sum(dim=1) / (first.norm(dim=1) * second.norm(dim=1)).clamp(min=1e-12)


def limits(model: Network, highest: float, domain: str = "spectrogram") -> tuple[float, float]:
    """Smallest and largest value an input may take.

    Parameters
    ----------
    highest
        Largest value of the corpus's log spectrograms, not z-scored; the smallest is 0, silence.
    """
    if domain == "waveform":
        return -1.0, 1.0
    return float(-model.mean / model.std), float((highest - model.mean) / model.std)


def noise(clips: int, frames: int, bands: int, spread: float = 0.1, seed: int = 0) -> Tensor:
    """Gaussian noise around the corpus mean, z-scored, (clips, frames, bands); every clip has a draw of its own."""
    draws = [np.random.default_rng([seed, clip]).normal(scale=spread, size=(frames, bands)) for clip in range(clips)]
    return torch.tensor(np.stack(draws), dtype=torch.float32)


def white_noise(clips: int, samples: int = EXCERPT_SAMPLES, level: float = QUIET, seed: int = 0) -> Tensor:
    """Gaussian noise to start a waveform from, (clips, samples), rms ``level`` of full scale."""
    return noise(clips, 1, samples, level, seed)[:, 0].clamp(-1, 1)


@dataclass(frozen=True)
class InversionResult:
    """What a search for a clip with a given representation found.

    Attributes
    ----------
    found
        The best iterate of every clip: z-scored spectrograms or waveforms, shaped like the start.
    distance
        (clips,) relative distance of the representations that it reaches, by the network itself in float32.
    best_step
        (clips,) the step at which it stood; equal to ``steps`` where the last iterate is the best.
    distance_per_step, picture_distance_per_step, outline_per_step
        (steps + 1, clips): the same as the search saw it, the relative distance of the log spectrograms, and the
        correlation of their outlines. Row 0 is the start.
    gradients
        Number of clip-gradients spent.
    """

    found: Tensor
    distance: Tensor
    best_step: Tensor
    distance_per_step: Tensor
    picture_distance_per_step: Tensor
    outline_per_step: Tensor
    gradients: int

    def at_best(self, per_step: Tensor) -> Tensor:
        """The row of a table (steps + 1, clips) at which each clip's best iterate stood; (clips,)."""
        return per_step.gather(0, self.best_step[None])[0]


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """Search for clips with the representation of given ones, by Adam on the input.

    Parameters
    ----------
    layer
        One of :func:`layers_of` the network.
    steps, step_size
        Number of steps; Adam's learning rate, by default :data:`STEP_SIZES`.
    domain
        "spectrogram": z-scored log spectrograms, within :func:`limits`. "waveform": samples, through the front end.
    highest
        Largest value of the corpus's log spectrograms, not z-scored: the upper limit of a spectrogram.
    precision
        "bfloat16" takes gradients in bfloat16; the float32 network then judges the best and the last iterate.
    batch_size
        Clips searched for at once.
    """

    layer: str
    steps: int = 100
    step_size: float | None = None
    domain: str = "spectrogram"
    highest: float = 2.7
    precision: str = "float32"
    batch_size: int = 8

    def __post_init__(self) -> None:
        problems = [
            (self.layer not in LAYERS, f"layer is one of {LAYERS}"),
            (self.domain not in DOMAINS, f"domain is one of {DOMAINS}"),
            (self.steps < 0 or self.batch_size < 1, "steps >= 0, batch_size >= 1"),
            (self.step_size is not None and not self.step_size > 0, "step_size is positive"),
            (not self.highest > 0, "highest is positive"),
            (self.precision not in ("float32", "bfloat16"), "precision is 'float32' or 'bfloat16'"),
        ]
        if any(wrong for wrong, _ in problems):
            raise ValueError("Inversion: " + "; ".join(text for wrong, text in problems if wrong))

    def invert(self, model: Network, originals: Tensor, start: Tensor) -> InversionResult:
        """Search from a start for clips that the network represents as the originals.

        Parameters
        ----------
        model
            Its mode, gradients and parameters are left as they were.
        originals
            Z-scored spectrograms (clips, 313, 149) of the clips whose representation is wanted.
        start
            Where the search begins: z-scored spectrograms of the same shape, or waveforms (clips, samples).
        """
        if len(originals) != len(start) or len(start) == 0:
            raise ValueError(f"{len(originals)} originals and {len(start)} starts: one of each a clip, at least one")
        low, high = limits(model, self.highest, self.domain)
        with frozen(model):
            surrogate = folded(model)
            pairs = zip(originals.split(self.batch_size), start.split(self.batch_size), strict=True)
            parts = [self._search(model, surrogate, original, first.clamp(low, high)) for original, first in pairs]
        fields = [torch.cat(part, dim=0 if index < 3 else 1) for index, part in enumerate(zip(*parts, strict=True))]
        return InversionResult(*fields, gradients=len(start) * self.steps)

    def _search(self, model: Network, surrogate: Network, originals: Tensor, start: Tensor) -> tuple[Tensor, ...]:
        """Fields of :class:`InversionResult` for one batch."""
        with torch.no_grad():
            wanted = represent(surrogate, originals, self.layer)
        low, high = limits(model, self.highest, self.domain)
        current = start.clone().requires_grad_()
        # Adam works cell by cell, and a cell's gradient comes from its own clip: a clip's result is its own
        adam = torch.optim.Adam([current], lr=self.step_size or STEP_SIZES[self.domain])
        best, nearest = start, torch.full((len(start),), torch.inf)
        watched: list[list[Tensor]] = [[], [], []]
        best_step = torch.zeros(len(start), dtype=torch.long)
        for step in range(self.steps + 1):
            with torch.set_grad_enabled(step < self.steps):
                pictures = spectrograms_of(surrogate, current, self.domain)
                with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bfloat16"):
                    representation = represent(surrogate, pictures, self.layer)
                distance = relative_distance(representation.float(), wanted)
            seen = (distance.detach(), *self._likeness(model, pictures.detach(), originals))
            for kept, values in zip(watched, seen, strict=True):
                kept.append(values)
            better = seen[0] < nearest
            best = torch.where(better.view(-1, *[1] * (start.ndim - 1)), current.detach(), best)
            best_step, nearest = torch.where(better, step, best_step), torch.minimum(seen[0], nearest)
            if step < self.steps:
                adam.zero_grad()
                distance.sum().backward()
                adam.step()
                with torch.no_grad():
                    current.clamp_(low, high)
        found, reached, best_step = self._judge(model, originals, (best, best_step), current.detach())
        return found, reached, best_step, *(torch.stack(values) for values in watched)

    def _judge(
        self, model: Network, originals: Tensor, best: tuple[Tensor, Tensor], last: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The better of best and last iterate, by the network itself: rounding may have hidden it from the search."""
        with torch.no_grad():
            wanted = represent(model, originals, self.layer)
            reached, at_last = (
                relative_distance(represent(model, spectrograms_of(model, x, self.domain), self.layer), wanted)
                for x in (best[0], last)
            )
        later = at_last < reached
        found = torch.where(later.view(-1, *[1] * (last.ndim - 1)), last, best[0])
        return found, torch.minimum(reached, at_last), torch.where(later, self.steps, best[1])

    @staticmethod
    def _likeness(model: Network, pictures: Tensor, originals: Tensor) -> tuple[Tensor, Tensor]:
        """Relative distance of log spectrograms, which count from silence, and correlation of their outlines."""
        found, wanted = (values * model.std + model.mean for values in (pictures, originals))
        return relative_distance(found, wanted), outline_correlation(found, wanted)
