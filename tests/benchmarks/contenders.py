"""What the attack is measured against: the published procedure written down again, and the attack libraries.

All attack the same z-scored spectrograms with the same step, number of steps and budget, and raise the same mean
squared error. A contender is a function ``(steps) -> attacked spectrograms``.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from importlib import metadata
from types import SimpleNamespace
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from mer_lib.bim import mse_loss

Contender = Callable[[int], Tensor]


class Emotions(nn.Module):
    """A network's emotions alone, as libraries expect them: (clips, 313, 149) -> (clips, 8)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, spectrograms: Tensor) -> Tensor:
        return self.model(spectrograms).emotions


def published_attack(model: nn.Module, clip: Tensor, rating: Tensor, epsilon: float, size: float, steps: int) -> Tensor:
    """One clip, (1, 313, 149), attacked as published (Hoedt, Flexer, Widmer 2025, Section 5), with the budget enforced.

    Adam on the sign of the gradient; backward() computes gradients of all parameters on the way; the correlation of
    prediction and rating is computed on the host at every step, to stop at a threshold that was never reached.
    """
    delta = torch.zeros_like(clip, requires_grad=True)
    optimiser = torch.optim.Adam([delta], lr=size)
    for _ in range(steps):
        model.zero_grad()
        optimiser.zero_grad()
        output = model(clip + delta).emotions
        correlation = np.corrcoef(output.detach().cpu().numpy()[0], rating.cpu().numpy()[0])[0, 1]
        if correlation < -1:  # the published threshold never fired
            break
        (-((output - rating) ** 2).mean()).backward()
        delta.grad = delta.grad.sign()
        optimiser.step()
        with torch.no_grad():
            delta.clamp_(-epsilon, epsilon)
    return (clip + delta).detach()


def published(model: nn.Module, inputs: Tensor, ratings: Tensor, epsilon: float, size: float) -> Contender:
    """The published procedure on several clips: one after the other."""

    def attack(steps: int) -> Tensor:
        pairs = zip(inputs.split(1), ratings.split(1), strict=True)
        return torch.cat([published_attack(model, clip, rated, epsilon, size, steps) for clip, rated in pairs])

    return attack


def with_torchattacks(model: nn.Module, inputs: Tensor, ratings: Tensor, epsilon: float, size: float) -> Contender:
    """Its BIM knows pictures in [0, 1] and cross-entropy: inputs are mapped there and back, the loss is replaced."""
    library = importlib.import_module("torchattacks")
    low, room = inputs.min() - epsilon, inputs.max() - inputs.min() + 2 * epsilon
    answers = nn.Sequential(Mapped(low, room), Emotions(model)).eval()
    losses = SimpleNamespace(CrossEntropyLoss=lambda: lambda output, rated: mse_loss(output, rated).sum())

    def attack(steps: int) -> Tensor:
        method = library.BIM(answers, eps=float(epsilon / room), alpha=float(size / room), steps=steps)
        with mock.patch("torchattacks.attacks.bim.nn", losses):
            return method((inputs - low) / room, ratings) * room + low

    return attack


class Mapped(nn.Module):
    """From [0, 1] to where the spectrograms lie."""

    def __init__(self, low: Tensor, room: Tensor) -> None:
        super().__init__()
        self.low, self.room = nn.Parameter(low, requires_grad=False), nn.Parameter(room, requires_grad=False)

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures * self.room + self.low


def with_foolbox(model: nn.Module, inputs: Tensor, ratings: Tensor, epsilon: float, size: float) -> Contender:
    """A subclass puts in the loss."""
    library, eagerpy = importlib.import_module("foolbox"), importlib.import_module("eagerpy")

    class OnRatings(library.attacks.LinfBasicIterativeAttack):
        def get_loss_fn(self, model: object, labels: object) -> Callable:
            return lambda x: eagerpy.astensor(mse_loss(model(x).raw, ratings).sum())

    bounds = (inputs.min().item() - epsilon, inputs.max().item() + epsilon)
    answers = library.PyTorchModel(Emotions(model).eval(), bounds=bounds, device="cpu")
    labels = library.criteria.Misclassification(torch.zeros(len(inputs), dtype=torch.long))
    return lambda steps: OnRatings(abs_stepsize=size, steps=steps, random_start=False).run(
        answers, inputs, labels, epsilon=epsilon
    )


class FlatLoss(nn.Module):
    """ART flattens what a regressor says; without this its attacks fail beyond one clip."""

    def forward(self, output: Tensor, ratings: Tensor) -> Tensor:
        return mse_loss(output.reshape(ratings.shape), ratings).sum()


def with_art(model: nn.Module, inputs: Tensor, ratings: Tensor, epsilon: float, size: float) -> Contender:
    """Its attack for regressors works on numpy arrays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        regression = importlib.import_module("art.estimators.regression")
        evasion = importlib.import_module("art.attacks.evasion")
    answers = regression.PyTorchRegressor(
        model=Emotions(model).eval(), loss=FlatLoss(), input_shape=tuple(inputs.shape[1:]), device_type="cpu"
    )

    def attack(steps: int) -> Tensor:
        method = evasion.BasicIterativeMethod(
            answers, eps=epsilon, eps_step=size, max_iter=steps, batch_size=len(inputs), verbose=False
        )
        return torch.from_numpy(method.generate(inputs.numpy(), ratings.numpy()))

    return attack


def with_captum(model: nn.Module, inputs: Tensor, ratings: Tensor, epsilon: float, size: float) -> Contender:
    """captum.robust.PGD takes a loss."""
    robust = importlib.import_module("captum.robust")
    method = robust.PGD(Emotions(model).eval(), loss_func=mse_loss)
    return lambda steps: method.perturb(
        inputs.clone().requires_grad_(), radius=epsilon, step_size=size, step_num=steps, target=ratings
    )


class Library(NamedTuple):
    """How to get a library, and what attacks with it."""

    requirement: str
    make: Callable[..., Contender]


# None is a dependency. Installed without theirs, they leave torch as it is.
LIBRARIES = {
    "torchattacks": Library("torchattacks==3.3.0", with_torchattacks),
    "Foolbox": Library("foolbox", with_foolbox),
    "ART": Library("adversarial-robustness-toolbox", with_art),
    "captum.robust": Library("captum", with_captum),
}


def installed(missing: list[str]) -> dict[str, str]:
    """The libraries that are there, with their versions; what to say about the others is added to ``missing``."""
    found = {}
    for name, library in LIBRARIES.items():
        try:
            found[name] = metadata.version(library.requirement.partition("==")[0])
        except metadata.PackageNotFoundError:
            missing.append(
                f"{name} is not installed and was left out: .venv/bin/python -m pip install --no-deps "
                f"{library.requirement}"
            )
    return found
