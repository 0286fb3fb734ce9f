"""What the attacks of the family share beyond BIM: settings that make sense for all, losses and slopes of a batch.

Notebooks: 06_attack, 09_credibility
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from mer_lib.bim import BIM, _flat_norm, emotions_of, forward, frozen


def wide(per_clip: Tensor, like: Tensor) -> Tensor:
    """One value a clip, shaped to go with inputs."""
    return per_clip.view(-1, *[1] * (like.ndim - 1))


@dataclass(frozen=True, kw_only=True)
class Relative(BIM):
    """What BIM's relatives have in common; no attack of its own."""

    def __post_init__(self) -> None:
        try:
            super().__post_init__()
        except ValueError as error:
            raise ValueError(str(error).replace("BIM", type(self).__name__, 1)) from None
        if self.published_update:
            raise ValueError(f"{type(self).__name__}: published_update is BIM's alone")

    def _generator(self, restart: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1000 + restart)

    def _losses(self, surrogate: nn.Module, inputs: Tensor, delta: Tensor, ratings: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            return self._loss(forward(surrogate, inputs + delta, self.domain), ratings)

    def _slope(
        self, surrogate: nn.Module, inputs: Tensor, delta: Tensor, ratings: Tensor, bar: tqdm
    ) -> tuple[Tensor, Tensor]:
        """Loss of each clip and the direction of steepest rise: signs (l-inf) or a unit vector (l2)."""
        delta = delta.detach().requires_grad_()
        loss = self._losses(surrogate, inputs, delta, ratings)
        (gradient,) = torch.autograd.grad(loss.sum(), delta)
        bar.update(len(inputs))
        direction = gradient.sign() if self.norm == "inf" else gradient / _flat_norm(gradient).clamp(min=1e-30)
        return loss.detach().float(), direction


def predictions_on(model: nn.Module, inputs: Tensor, ratings: Tensor, method: BIM) -> tuple[Tensor, Tensor]:
    """A network's emotions (clips, outputs) for inputs of an attack's domain, and the attack's loss of each clip."""
    emotions, losses = [], []
    device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), inputs.device)
    with frozen(model), torch.no_grad():
        for part, rated in zip(inputs.split(method.batch_size), ratings.split(method.batch_size), strict=True):
            output = forward(model, part.to(device), method.domain)
            emotions.append(emotions_of(output).float().cpu())
            losses.append(method._loss(output, rated.to(device)).float().cpu())
    return torch.cat(emotions), torch.cat(losses)
