"""The Basic Iterative Method with a budget that holds, on spectrograms or waveforms.

Kurakin et al. (2017); the study's attack (Hoedt, Flexer, Widmer 2025, Section 5). Each step follows the sign of the
gradient and is projected back into the budget, every iterate is scored, the last one too, and for every clip the best
one is kept. ``published_update=True`` repeats the published step instead, whose budget was not enforced.

Notebook: 06_attack
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from mer_lib.budgets import _flat_norm, float32_below, project, settle
from mer_lib.models import Network
from mer_lib.winograd import surrogate as surrogate_of

DOMAINS = ("spectrogram", "waveform")
Loss = Callable[[object, Tensor], Tensor]


@dataclass(frozen=True)
class AttackResult:
    """What an attack found.

    Attributes
    ----------
    adversarial, delta
        Attacked inputs and what was added to them, shaped like the inputs.
    clean, attacked
        Predicted emotions (clips, 8) before and after, by the network itself in float32.
    clean_loss, attacked_loss
        The attacked loss of each clip (clips,), by the same network; never lower after than before.
    loss_per_step
        (steps + 1, clips), the loss of every iterate of the best restart as the attack saw it; row 0 is its start.
    gradients
        Number of clip-gradients spent (forward and backward passes of one clip).
    """

    adversarial: Tensor
    delta: Tensor
    clean: Tensor
    attacked: Tensor
    clean_loss: Tensor
    attacked_loss: Tensor
    loss_per_step: Tensor
    gradients: int


def emotions_of(output: object) -> Tensor:
    """The attacked outputs of any regressor: ``.emotions`` where it has such, else the tensor it returned."""
    return getattr(output, "emotions", output)


def mse_loss(output: object, ratings: Tensor) -> Tensor:
    """Mean squared error of the emotions per clip, (clips,); NaN ratings are left out."""
    rated = torch.isfinite(ratings)
    errors = (emotions_of(output).float() - torch.where(rated, ratings, 0.0)) ** 2
    return torch.where(rated, errors, 0.0).sum(dim=1) / rated.sum(dim=1).clamp(min=1)


@contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """The model in eval mode and without parameter gradients; everything is as it was afterwards."""
    modes = {module: module.training for module in model.modules()}
    wanted = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.eval().requires_grad_(False)
    try:
        yield model
    finally:
        for module, mode in modes.items():
            module.training = mode
        for parameter, requires_grad in wanted.items():
            parameter.requires_grad_(requires_grad)


def forward(model: nn.Module, inputs: Tensor, domain: str) -> object:
    """The model's output for inputs of a domain; a foreign model without ``from_waveform`` is simply called."""
    return model.from_waveform(inputs) if domain == "waveform" and hasattr(model, "from_waveform") else model(inputs)


class _Gathered:
    """Fields of :class:`AttackResult`, filled batch by batch, so that nothing is held twice."""

    def __init__(self, clips: int) -> None:
        self.clips, self.filled, self.fields = clips, 0, []

    def add(self, batch: tuple[Tensor, ...]) -> None:
        """Take in the next clips; of the last field they are the columns, of all others the rows."""
        clips = len(batch[0])
        if not self.fields:
            self.fields = [field.new_empty(self.clips, *field.shape[1:]) for field in batch[:-1]]
            self.fields.append(batch[-1].new_empty(len(batch[-1]), self.clips))
        for axis, whole, part in zip((0, 0, 0, 0, 0, 0, 1), self.fields, batch, strict=True):
            whole.narrow(axis, self.filled, clips).copy_(part)
        self.filled += clips


@dataclass(frozen=True, kw_only=True)
class BIM:
    """The Basic Iterative Method.

    Parameters
    ----------
    epsilon
        Budget: the largest change of any element ("inf") or of the clip's l2 norm ("2"); in units of the z-scored
        spectrogram, or of full scale for waveforms. None when ``snr_db`` is given.
    steps, step_size
        Number of steps and their size, by default 2.5 * epsilon / steps (Madry et al. 2018).
    domain
        "spectrogram": the published threat model, on z-scored log spectrograms. "waveform": through the front end.
    restarts, seed
        The first start is the clean input, every further one random; the same draw serves all clips, so that a clip's
        result does not depend on its neighbours.
    norm
        "inf" or "2".
    snr_db
        Instead of epsilon, for waveforms: the signal-to-noise ratio that every clip keeps at least (an l2 budget).
    loss
        "mse", or a function (output, ratings) -> (clips,) that is to rise.
    precision
        "bfloat16" takes gradients in bfloat16; the float32 network then judges the candidates.
    published_update
        The published step, for comparison only: Adam on the sign of the gradient, budget NOT enforced, last iterate
        kept.
    batch_size
        Clips attacked at once; memory grows with this and not with the number of clips.
    """

    epsilon: float | None = None
    steps: int
    step_size: float | None = None
    domain: str = "spectrogram"
    restarts: int = 1
    seed: int = 0
    norm: str = "inf"
    snr_db: float | None = None
    loss: str | Loss = "mse"
    precision: str = "float32"
    published_update: bool = False
    batch_size: int = 8

    def __post_init__(self) -> None:
        snr_misplaced = self.snr_db is not None and (self.domain != "waveform" or self.norm != "2")
        update_misplaced = self.published_update and (
            self.step_size is None or self.restarts > 1 or self.domain != "spectrogram"
        )
        problems = [
            (self.domain not in DOMAINS, f"domain is one of {DOMAINS}"),
            (self.norm not in ("inf", "2"), "norm is 'inf' or '2'"),
            ((self.epsilon is None) == (self.snr_db is None), "give either epsilon or snr_db"),
            (self.epsilon is not None and not 0 <= self.epsilon < np.inf, "epsilon is a number of at least 0"),
            (snr_misplaced, "snr_db goes with domain='waveform', norm='2'"),
            (self.steps < 0 or self.restarts < 1 or self.batch_size < 1, "steps >= 0, restarts >= 1, batch_size >= 1"),
            (self.step_size is not None and not self.step_size > 0, "step_size is positive"),
            (self.precision not in ("float32", "bfloat16"), "precision is 'float32' or 'bfloat16'"),
            (isinstance(self.loss, str) and self.loss != "mse", "loss is 'mse' or a function"),
            (update_misplaced, "published_update needs a step_size, one start and domain 'spectrogram'"),
        ]
        if any(wrong for wrong, _ in problems):
            raise ValueError("BIM: " + "; ".join(text for wrong, text in problems if wrong))

    def attack(self, model: nn.Module, inputs: Tensor, ratings: Tensor, progress: bool = False) -> AttackResult:
        """Attack every clip.

        Parameters
        ----------
        model
            A :class:`mer_lib.models.Network`, or any regressor that returns (clips, outputs); its mode, gradients and
            parameters are left as they were.
        inputs
            Z-scored spectrograms (clips, 313, 149) or waveforms (clips, samples) within [-1, 1]; for a foreign model
            whatever it takes, clips first.
        ratings
            (clips, outputs), NaN where unrated.
        """
        inputs, ratings = torch.as_tensor(inputs), torch.as_tensor(ratings, dtype=torch.float32)
        if len(inputs) != len(ratings) or len(inputs) == 0 or ratings.ndim != 2:
            raise ValueError(
                f"inputs {tuple(inputs.shape)} and ratings {tuple(ratings.shape)}: one row a clip, at least one"
            )
        ends = torch.stack(inputs.aminmax())  # NaN where there is one, and no copy of the inputs is made
        if inputs.dtype != torch.float32 or not torch.isfinite(ends).all():
            raise ValueError(f"inputs are finite float32, got {inputs.dtype}")
        if self.domain == "waveform" and ends.abs().max() > 1:
            raise ValueError(f"waveforms lie in [-1, 1], got a peak of {ends.abs().max():g}")
        device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), inputs.device)
        gathered = _Gathered(len(inputs))
        gradients = len(inputs) * self.steps * self.restarts
        with frozen(model), tqdm(total=gradients, desc="attack", unit="clip-step", disable=not progress) as bar:
            surrogate = surrogate_of(model, self.precision) if isinstance(model, Network) else model
            for batch, rated in zip(inputs.split(self.batch_size), ratings.split(self.batch_size), strict=True):
                gathered.add(self._attack_batch(model, surrogate, batch.to(device), rated.to(device), bar))
        return AttackResult(*gathered.fields, gradients=gradients)

    def _loss(self, output: object, ratings: Tensor) -> Tensor:
        return (mse_loss if self.loss == "mse" else self.loss)(output, ratings)

    def _budget(self, inputs: Tensor) -> float | Tensor:
        if self.snr_db is not None:
            return _flat_norm(inputs) * 10 ** (-self.snr_db / 20)
        return float32_below(self.epsilon)

    def _start(self, inputs: Tensor, restart: int, epsilon: float | Tensor) -> Tensor:
        if restart == 0:
            return torch.zeros_like(inputs)
        generator = torch.Generator().manual_seed(self.seed * 1000 + restart)
        noise = torch.rand(inputs.shape[1:], generator=generator).to(inputs.device) * 2 - 1
        noise = noise.expand_as(inputs) * (1 if self.norm == "inf" else 1 / _flat_norm(noise[None]))
        return project(noise * epsilon, inputs, epsilon, self.norm, self.domain)

    def _attack_batch(
        self, model: nn.Module, surrogate: nn.Module, inputs: Tensor, ratings: Tensor, bar: tqdm
    ) -> tuple[Tensor, ...]:
        """Fields of :class:`AttackResult` for one batch, on the CPU."""
        epsilon = self._budget(inputs)
        with torch.no_grad():
            clean_output = forward(model, inputs, self.domain)
            clean_loss = self._loss(clean_output, ratings).float()
        clean = emotions_of(clean_output).float()
        best = [inputs, clean, clean_loss, None]
        for restart in range(self.restarts):
            candidates, losses = self._climb(surrogate, inputs, ratings, epsilon, restart, bar)
            best[3] = losses if best[3] is None else best[3]
            for candidate in candidates:
                adversarial = (
                    inputs + candidate if self.published_update else settle(inputs, candidate, epsilon, self.norm)
                )
                with torch.no_grad():
                    output = forward(model, adversarial, self.domain)
                    loss = self._loss(output, ratings).float()
                better = torch.ones_like(loss, dtype=torch.bool) if self.published_update else loss > best[2]
                shaped = better.view(-1, *[1] * (inputs.ndim - 1))
                best[0] = torch.where(shaped, adversarial, best[0])
                best[1] = torch.where(better[:, None], emotions_of(output).float(), best[1])
                best[2] = torch.where(better, loss, best[2])
                best[3] = torch.where(better, losses, best[3])
        fields = (best[0], best[0] - inputs, clean, best[1], clean_loss, best[2], best[3])
        return tuple(field.detach().cpu() for field in fields)

    def _climb(
        self, surrogate: nn.Module, inputs: Tensor, ratings: Tensor, epsilon: float | Tensor, restart: int, bar: tqdm
    ) -> tuple[list[Tensor], Tensor]:
        """One start: perturbations worth judging (clips, ...), and the loss of every iterate (steps + 1, clips)."""
        size = self.step_size if self.step_size is not None else 2.5 * epsilon / max(1, self.steps)
        delta = self._start(inputs, restart, epsilon)
        adam = torch.optim.Adam([delta.requires_grad_()], lr=size, maximize=True) if self.published_update else None
        best, best_loss = delta, torch.full((len(inputs),), -torch.inf, device=inputs.device)
        losses = []
        for step in range(self.steps + 1):
            delta = delta.detach().requires_grad_() if adam is None else delta
            with torch.set_grad_enabled(step < self.steps):
                with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
                    loss = self._loss(forward(surrogate, inputs + delta, self.domain), ratings)
            losses.append(loss.detach().float())
            better = losses[-1] > best_loss
            best = torch.where(better.view(-1, *[1] * (inputs.ndim - 1)), delta.detach(), best.detach())
            best_loss = torch.where(better, losses[-1], best_loss)
            if step == self.steps:
                break
            (gradient,) = torch.autograd.grad(loss.sum(), delta)
            bar.update(len(inputs))
            if adam is not None:
                delta.grad = gradient.sign()
                adam.step()
                continue
            direction = gradient.sign() if self.norm == "inf" else gradient / _flat_norm(gradient).clamp(min=1e-30)
            delta = project(direction.mul_(size).add_(delta.detach()), inputs, epsilon, self.norm, self.domain)
        last = delta.detach()
        if self.published_update:
            return [last], torch.stack(losses)
        # Gradients in bfloat16 rank iterates with bfloat16's error: let float32 judge the last one too
        both = self.precision == "bfloat16" and not torch.equal(best, last)
        return [best, last] if both else [best], torch.stack(losses)
