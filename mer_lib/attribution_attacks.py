"""Attacks on explanations: another attribution map for (nearly) the same eight predictions.

Ghorbani, Abid and Zou (AAAI 2019, "Interpretation of Neural Networks is Fragile"): random signs, and sign-gradient
steps that take the attribution out of its k highest cells or move its centre of mass; and one that aims at a tolerant
measure, by taking it out of the windows around these cells. For the latter Kamath et al. (AAAI 2024) lower the sum over
the windows; there the attribution shrinks without its order changing much, so here the highest cells outside are raised
as well ("LENS, published" is theirs). The perturbation stays in an l-infinity budget, on z-scored spectrograms or on
waveforms; the map is that of the spectrogram in both.

An attribution is a gradient already, so its slope is a second derivative, which for a ReLU network is zero nearly
everywhere. Slopes are therefore taken on a stand-in: the same weights with softplus(beta x) / beta for every ReLU
(after BatchNorm, so that beta counts in units of a channel's spread); max pooling stays, it only chooses. The stand-in
only shows directions: every iterate is scored by the ReLU network itself, its map and its eight predictions, and of the
iterates whose predictions all stay within the tolerance the worst is kept; the clean clip where there is none. A clip
whose predictions have left the tolerance goes half the way back to its last place inside, and on in smaller steps.

Notebook: 11_attribution_robustness
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mer_lib import lens
from mer_lib.attribution_maps import METHODS, Explained, attribution_maps, smooth_stand_in, spectrograms_in
from mer_lib.bim import DOMAINS, float32_below, frozen, project, settle
from mer_lib.family import wide

AIMS = ("random sign", "top-k", "mass centre", "LENS")
ALL_AIMS = (*AIMS, "LENS, published")
JUDGES = ("top-k", "mass centre", "LENS")


@dataclass(frozen=True)
class AttributionResult:
    """What an attack on explanations found.

    Attributes
    ----------
    adversarial, delta
        Attacked inputs and what was added to them, shaped like the inputs.
    clean, attacked
        Predicted emotions (clips, outputs) before and after, by the network itself.
    before, after
        Its attribution maps (clips, frames, bands).
    explained
        Which output they explain.
    moved
        Largest change of any prediction of each clip, (clips,); never above the tolerance.
    score_per_step
        (steps + 1, clips): what the judge said of each iterate, lower is worse; NaN where the tolerance was broken.
        Row 0 is the clean clip.
    kept
        The kept iterate of each clip, (clips,); 0 is the clean clip.
    gradients
        Clip-gradients spent; a slope of an attribution counts as two for each gradient that the attribution takes.
    """

    adversarial: Tensor
    delta: Tensor
    clean: Tensor
    attacked: Tensor
    before: Tensor
    after: Tensor
    explained: Explained
    moved: Tensor
    score_per_step: Tensor
    kept: Tensor
    gradients: int


@dataclass(frozen=True, kw_only=True)
class AttributionAttack:
    """An attack on explanations.

    Parameters
    ----------
    aim
        "random sign": every step a fresh draw from the corners of the budget. "top-k": less attribution in the k
        highest cells. "mass centre": the centre of the magnitudes goes away. "LENS": less attribution in the windows
        around the k highest cells, more in the highest ones outside; "LENS, published" without the latter.
    epsilon, steps, step_size, domain
        l-infinity budget and steps as for :class:`mer_lib.bim.BIM`.
    method, ig_steps
        The attribution, and the number of steps of integrated gradients.
    k, window
        Of the highest cells and the windows around them, see :mod:`mer_lib.lens`.
    tolerance
        Largest change of any of the predictions, in rating units (the scale is 0 to 1).
    beta
        Of the softplus in the stand-in.
    judge
        What the kept iterate is worst in: "top-k" intersection, distance of the "mass centre", or "LENS"-recall; by
        default what the attack aims at, and top-k for random signs.
    precision
        "bfloat16" takes slopes in bfloat16; scores are float32 always.
    """

    aim: str
    epsilon: float
    steps: int
    step_size: float | None = None
    domain: str = "spectrogram"
    method: str = "gradient x input"
    ig_steps: int = 5
    k: int = 1000
    window: lens.Window = (3, 2)
    tolerance: float = 0.05
    beta: float = 20.0
    judge: str | None = None
    seed: int = 0
    precision: str = "float32"
    batch_size: int = 8

    def __post_init__(self) -> None:
        problems = [
            (self.aim not in ALL_AIMS, f"aim is one of {ALL_AIMS}"),
            (self.domain not in DOMAINS, f"domain is one of {DOMAINS}"),
            (self.method not in METHODS, f"method is one of {METHODS}"),
            (self.judge not in (None, *JUDGES), f"judge is one of {JUDGES}"),
            (not 0 <= self.epsilon < float("inf"), "epsilon is a number of at least 0"),
            (min(self.steps, self.ig_steps, self.k, self.batch_size) < 1, "steps, ig_steps, k, batch_size at least 1"),
            (not self.tolerance >= 0 or not self.beta > 0, "tolerance at least 0, beta positive"),
            (self.step_size is not None and not self.step_size > 0, "step_size is positive"),
            (self.precision not in ("float32", "bfloat16"), "precision is 'float32' or 'bfloat16'"),
        ]
        if any(wrong for wrong, _ in problems):
            raise ValueError("AttributionAttack: " + "; ".join(text for wrong, text in problems if wrong))

    def attack(self, model: nn.Module, inputs: Tensor, explained: Explained) -> AttributionResult:
        """Attack the explanation of every clip; a clip's result does not depend on its neighbours.

        Parameters
        ----------
        model
            A :class:`mer_lib.models.Network`, or any regressor on (clips, frames, bands); left as it was.
        inputs
            Z-scored spectrograms (clips, 313, 149) or waveforms (clips, samples) within [-1, 1].
        explained
            Which output is explained; it stays the same throughout.
        """
        inputs = torch.as_tensor(inputs)
        if inputs.dtype != torch.float32 or not torch.isfinite(inputs).all() or len(inputs) != len(explained.emotion):
            raise ValueError(
                f"inputs are finite float32, one explained output a clip; got {inputs.dtype} {inputs.shape}"
            )
        if self.domain == "waveform" and inputs.abs().max() > 1:
            raise ValueError(f"waveforms lie in [-1, 1], got a peak of {inputs.abs().max():g}")
        stand_in = smooth_stand_in(model, self.beta)
        with frozen(model):
            parts = [
                self._attack_batch(model, stand_in, inputs[rows], explained[rows])
                for rows in torch.arange(len(inputs)).split(self.batch_size)
            ]
        joined = [torch.cat(part, dim=-1 if index == 7 else 0) for index, part in enumerate(zip(*parts, strict=True))]
        passes = self.ig_steps + 1 if self.method == "integrated gradients" else 1
        slopes = 0 if self.aim == "random sign" else 2 * passes
        return AttributionResult(
            *joined[:6], explained, *joined[6:], gradients=len(inputs) * (passes + self.steps * (passes + slopes))
        )

    def _score(self, before: Tensor, maps: Tensor) -> Tensor:
        """What the judge says of each clip's map, lower is worse, (clips,)."""
        judge = self.judge or {"random sign": "top-k", "LENS, published": "LENS"}.get(self.aim, self.aim)
        a, b = before.numpy(), maps.numpy()
        if judge == "mass centre":
            moved = (lens.mass_centre(a) - lens.mass_centre(b)) / a.shape[1:]
            return -torch.as_tensor(moved).norm(dim=1).float()
        found = lens.top_k(a, b, self.k) if judge == "top-k" else lens.recall(a, b, self.k, self.window)
        return torch.as_tensor(found).float()

    def _goal(self, maps: Tensor, targets: dict[str, Tensor]) -> Tensor:
        """What is to rise, of differentiable maps, (clips,); maps count by their share of the mean magnitude."""
        shares = maps / maps.abs().mean(dim=(1, 2), keepdim=True).clamp(min=1e-30)
        if self.aim == "top-k":
            return -(shares * targets["cells"]).sum(dim=(1, 2)) / self.k
        if self.aim == "LENS, published":
            return -(shares * targets["near"]).sum(dim=(1, 2)) / self.k
        if self.aim == "LENS":
            near = targets["near"]
            outside = shares.masked_fill(near, -torch.inf).flatten(1)
            highest = outside.topk(self.k, dim=1).values  # -inf where the windows leave fewer cells outside
            return highest.nan_to_num(neginf=0.0).mean(dim=1) - (shares * near).sum(dim=(1, 2)) / near.sum(dim=(1, 2))
        return (_centre(shares) - targets["centre"]).norm(dim=1)

    def _direction(
        self, stand_in: nn.Module, inputs: Tensor, delta: Tensor, explained: Explained, targets: dict[str, Tensor]
    ) -> Tensor:
        """Signs of the next step, by the stand-in."""
        delta = delta.detach().requires_grad_()
        spectrograms = spectrograms_in(stand_in, inputs + delta, self.domain)  # the front end stays in float32
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            _, maps = attribution_maps(stand_in, spectrograms, explained, self.method, self.ig_steps, True)
        return torch.autograd.grad(self._goal(maps.float(), targets).sum(), delta)[0].sign()

    def _attack_batch(
        self, model: nn.Module, stand_in: nn.Module, inputs: Tensor, explained: Explained
    ) -> tuple[Tensor, ...]:
        epsilon = float32_below(self.epsilon)
        size = torch.ones(len(inputs)) * (2.5 * epsilon / self.steps if self.step_size is None else self.step_size)
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            spectrograms = spectrograms_in(model, inputs, self.domain)
        clean, before = attribution_maps(model, spectrograms, explained, self.method, self.ig_steps)
        cells = torch.from_numpy(lens.top_cells(before.numpy(), self.k))
        near = torch.from_numpy(lens.neighbourhood(cells, self.window))
        targets = {"cells": cells, "near": near, "centre": _centre(before)}
        best = [inputs, clean, before, self._score(before, before), torch.zeros(len(inputs), dtype=torch.long)]
        scores, delta, safe = [best[3]], torch.zeros_like(inputs), torch.zeros_like(inputs)
        inside = torch.ones(len(inputs), dtype=torch.bool)
        for step in range(1, self.steps + 1):
            signs = torch.randint(0, 2, inputs.shape[1:], generator=generator).expand_as(inputs) * 2.0 - 1
            if self.aim == "random sign":
                delta = project(signs * epsilon, inputs, epsilon, "inf", self.domain)
            else:
                size = torch.where(inside, size, size / 2)
                length = wide(size, inputs)
                start = delta if step > 1 else project(signs * length, inputs, epsilon, "inf", self.domain)
                ahead = start + length * self._direction(stand_in, inputs, start, explained, targets)
                # From where the predictions had left the tolerance, half the way back, and smaller steps from there
                delta = torch.where(wide(inside, inputs), ahead, (safe + delta) / 2)
                delta = project(delta, inputs, epsilon, "inf", self.domain)
            adversarial = settle(inputs, delta, epsilon, "inf")
            with torch.no_grad():
                spectrograms = spectrograms_in(model, adversarial, self.domain)
            emotions, maps = attribution_maps(model, spectrograms, explained, self.method, self.ig_steps)
            inside = (emotions - clean).abs().amax(dim=1) <= self.tolerance
            score = torch.where(inside, self._score(before, maps), torch.nan)
            scores.append(score)
            safe = torch.where(wide(inside, inputs), delta, safe)
            worse = score < best[3]
            new = (adversarial, emotions, maps, score, torch.full_like(best[4], step))
            best = [torch.where(wide(worse, n), n, old) for n, old in zip(new, best, strict=True)]
        adversarial, attacked, after, _, kept = best
        moved = (attacked - clean).abs().amax(dim=1)
        return adversarial, adversarial - inputs, clean, attacked, before, after, moved, torch.stack(scores), kept


def _centre(maps: Tensor) -> Tensor:
    """Centre of the magnitudes, (clips, 2), in shares of the map's extents."""
    mass = maps.abs() / maps.abs().sum(dim=(1, 2), keepdim=True).clamp(min=1e-30)
    frames, bands = (torch.arange(extent) / extent for extent in maps.shape[1:])
    return torch.stack([(mass.sum(dim=2) * frames).sum(dim=1), (mass.sum(dim=1) * bands).sum(dim=1)], dim=1)
