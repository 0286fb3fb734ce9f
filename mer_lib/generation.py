"""Generation: a clip, made from noise, that a network calls as sad (or as melodious) as it can be.

As in Boychev (2023, arXiv 2307.02500) and Santurkar et al. (2019, arXiv 1906.09453): a Gaussian is fitted to
downsampled pictures of a class, here of the clips rated highest in an emotion; a draw from it is where the search
starts; steps along the normalised gradient raise the output, and the picture stays within an l2 ball around the start.
Every network gets the same starts and the same ball, so that what differs is what it asks for.

What one network calls sad proves nothing: ask others, and measure the sound (:mod:`mer_lib.meaning`).

Notebook: 12_invert_and_generate
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor, nn

from mer_lib.bim import DOMAINS, forward, frozen
from mer_lib.dataset import EMOTIONS, MIDLEVEL
from mer_lib.inversion import OUTLINE, limits
from mer_lib.models import Network, Prediction, folded

SHARE = 0.1  # of the clips: those rated highest, from which the starts are drawn
FEWEST = 8


def rated_highest(ratings: ArrayLike, share: float = SHARE) -> np.ndarray:
    """Rows of the clips rated highest, (clips,) -> (chosen,): a share of them, at least :data:`FEWEST` or all."""
    ratings = np.asarray(ratings, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(ratings))
    return known[np.argsort(-ratings[known], kind="stable")][: max(FEWEST, round(share * len(known)))]


def gaussian_starts(pictures: ArrayLike, count: int, seed: int = 0, cell: tuple[int, int] = OUTLINE) -> Tensor:
    """Draws from a Gaussian fitted to downsampled pictures, upsampled again.

    There are far fewer pictures than cells, so the covariance is shrunk towards a multiple of the identity by the
    amount that Ledoit and Wolf (2004) derive. It is never formed: a draw is the mean, plus a random mixture of the
    pictures' deviations from it, plus white noise, in the two shares.

    Parameters
    ----------
    pictures
        Log spectrograms (clips, frames, bands), not z-scored, at least two.
    count
        Number of draws.
    cell
        Frames x bands that are averaged to one cell.

    Returns
    -------
    torch.Tensor
        Log spectrograms (count, frames, bands), not negative.
    """
    pictures = torch.as_tensor(np.array(pictures, dtype=np.float32))
    if pictures.ndim != 3 or len(pictures) < 2:
        raise ValueError(f"at least two pictures (clips, frames, bands) are needed, got {tuple(pictures.shape)}")
    size = tuple(-(-full // part) for full, part in zip(pictures.shape[1:], cell, strict=True))
    small = nn.functional.adaptive_avg_pool2d(pictures.unsqueeze(1), size).flatten(1).double().numpy()
    mean, deviations = small.mean(axis=0), small - small.mean(axis=0)
    shrinkage = ledoit_wolf_shrinkage(deviations, assume_centered=True)
    random = np.random.default_rng(seed)
    mixture = random.normal(size=(count, len(small))) @ deviations / np.sqrt(len(small))
    white = random.normal(size=(count, small.shape[1])) * np.sqrt((deviations**2).mean())
    drawn = mean + np.sqrt(1 - shrinkage) * mixture + np.sqrt(shrinkage) * white
    grown = torch.tensor(drawn, dtype=torch.float32).view(count, 1, *size)
    full = nn.functional.interpolate(grown, size=pictures.shape[1:], mode="bilinear", align_corners=False)
    return full[:, 0].clamp(min=0)


def output_of(prediction: Prediction, name: str) -> Tensor:
    """One output by its name, (clips,): an emotion, or a mid-level quality of a network with a bottleneck."""
    if name in EMOTIONS:
        return prediction.emotions[:, EMOTIONS.index(name)]
    if name not in MIDLEVEL:
        raise ValueError(f"unknown output {name!r}: one of {', '.join(EMOTIONS + MIDLEVEL)}")
    if prediction.midlevel is None:
        raise ValueError(f"this network has no mid-level output {name!r}")
    return prediction.midlevel[:, MIDLEVEL.index(name)]


@dataclass(frozen=True)
class GenerationResult:
    """What a search for a clip with a high (or a set) output found.

    Attributes
    ----------
    found, start
        The best iterate of every clip and where the search began: z-scored spectrograms or waveforms.
    output, output_start
        (clips,) the output that was aimed at, by the network itself in float32.
    best_step
        (clips,) the step of the best iterate.
    output_per_step
        (steps + 1, clips), as the search saw it; row 0 is the start.
    change
        (clips,) |found - start| / |start|, never more than the budget.
    gradients
        Number of clip-gradients spent.
    """

    found: Tensor
    start: Tensor
    output: Tensor
    output_start: Tensor
    best_step: Tensor
    output_per_step: Tensor
    change: Tensor
    gradients: int


def _norm(values: Tensor) -> Tensor:
    return values.flatten(1).norm(dim=1).view(-1, *[1] * (values.ndim - 1))


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Search near a start for a clip with a high, or a set, output.

    Parameters
    ----------
    output
        An emotion, or a mid-level quality of a network with a bottleneck.
    target
        The value to be reached; None: as high as it goes.
    budget
        The l2 ball: |found - start| is at most this share of |start| (z-scored spectrograms, or waveforms).
    steps, step_size
        Steps along the normalised gradient, and their length in |start|; by default 2.5 * budget / steps.
    domain
        "spectrogram" or "waveform".
    highest
        Largest value of the corpus's log spectrograms, not z-scored: the upper limit of a spectrogram.
    precision
        "bfloat16" takes gradients in bfloat16; the float32 network then judges the best and the last iterate.
    batch_size
        Clips searched for at once.
    """

    output: str
    target: float | None = None
    budget: float = 0.5
    steps: int = 50
    step_size: float | None = None
    domain: str = "spectrogram"
    highest: float = 2.7
    precision: str = "float32"
    batch_size: int = 8

    def __post_init__(self) -> None:
        problems = [
            (self.output not in EMOTIONS + MIDLEVEL, f"output is one of {', '.join(EMOTIONS + MIDLEVEL)}"),
            (self.domain not in DOMAINS, f"domain is one of {DOMAINS}"),
            (self.steps < 0 or self.batch_size < 1, "steps >= 0, batch_size >= 1"),
            (not self.budget >= 0, "budget is at least 0"),
            (self.step_size is not None and not self.step_size > 0, "step_size is positive"),
            (self.precision not in ("float32", "bfloat16"), "precision is 'float32' or 'bfloat16'"),
        ]
        if any(wrong for wrong, _ in problems):
            raise ValueError("Generation: " + "; ".join(text for wrong, text in problems if wrong))

    def generate(self, model: Network, start: Tensor) -> GenerationResult:
        """Search from every start.

        Parameters
        ----------
        model
            Its mode, gradients and parameters are left as they were.
        start
            Z-scored spectrograms (clips, 313, 149), or waveforms (clips, samples) within [-1, 1].
        """
        low, high = limits(model, self.highest, self.domain)
        start = start.clamp(low, high)
        with frozen(model):
            surrogate = folded(model)
            parts = [self._search(model, surrogate, part) for part in start.split(self.batch_size)]
        found, output, output_start, best_step = (torch.cat(field) for field in list(zip(*parts, strict=True))[:4])
        change = (_norm(found - start) / _norm(start)).flatten()
        per_step = torch.cat([part[4] for part in parts], dim=1)
        return GenerationResult(
            found, start, output, output_start, best_step, per_step, change, gradients=len(start) * self.steps
        )

    def _merit(self, output: Tensor) -> Tensor:
        return output if self.target is None else -(output - self.target).abs()

    def _search(self, model: Network, surrogate: Network, start: Tensor) -> tuple[Tensor, ...]:
        """Found, output, output at the start, step of the best and output per step, for one batch."""
        low, high = limits(model, self.highest, self.domain)
        radius = self.budget * (1 - 1e-6) * _norm(start)
        length = (self.step_size or 2.5 * self.budget / max(1, self.steps)) * _norm(start)
        best, most, current = start, torch.full((len(start),), -torch.inf), start
        best_step, outputs = torch.zeros(len(start), dtype=torch.long), []
        for step in range(self.steps + 1):
            current = current.detach().requires_grad_()
            with torch.set_grad_enabled(step < self.steps):
                with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bfloat16"):
                    output = output_of(forward(surrogate, current, self.domain), self.output).float()
                merit = self._merit(output)
            outputs.append(output.detach())
            better = merit.detach() > most
            best = torch.where(better.view(-1, *[1] * (start.ndim - 1)), current.detach(), best)
            most, best_step = torch.maximum(merit.detach(), most), torch.where(better, step, best_step)
            if step == self.steps:
                break
            (gradient,) = torch.autograd.grad(merit.sum(), current)
            moved = current.detach() + length * gradient / _norm(gradient).clamp(min=1e-30) - start
            moved = moved * (radius / _norm(moved).clamp(min=1e-30)).clamp(max=1)
            current = (start + moved).clamp(low, high)  # towards a start within the limits: it only gets nearer
        with torch.no_grad():
            said = [output_of(forward(model, x, self.domain), self.output) for x in (best, current.detach(), start)]
        later = self._merit(said[1]) > self._merit(said[0])
        found = torch.where(later.view(-1, *[1] * (start.ndim - 1)), current.detach(), best)
        reached = torch.where(later, said[1], said[0])
        return found, reached, said[2], torch.where(later, self.steps, best_step), torch.stack(outputs)
