"""Training steps and adversarial epochs against float32 and the published loop over single clips."""

from __future__ import annotations

import time
from statistics import median
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mer_lib.precision import bfloat16_speedup
from mer_lib.training import TrainingSettings, _Trainer
from mer_lib.winograd import direct_only
from mer_lib.winograd_training import training_speedup
from tests.benchmarks.contenders import published
from tests.benchmarks.measuring import Duel, Size, faster
from tests.benchmarks.report import Report, Row


def trainer(system: str, size: Size, clips: dict, spectrograms: torch.Tensor, precision: str) -> _Trainer:
    """One that trains on the given clips and validates on the same."""
    prepared = SimpleNamespace(
        spectrograms=spectrograms.numpy(),
        emotions=clips["ratings"].numpy(),
        midlevel=np.full((len(spectrograms), 7), np.nan, np.float32),
    )
    rows = dict.fromkeys(("train", "valid", "test"), np.arange(len(spectrograms)))
    settings = TrainingSettings(precision=precision, adversarial_steps=size.steps, adversarial_every=1)
    return _Trainer(system, prepared, rows, 21, size.width, settings)


def contiguous(trained: _Trainer) -> _Trainer:
    """With weights laid out as torch lays them out by itself, and its convolutions."""
    with direct_only():
        trained.to("cpu")
    trained.model.to(memory_format=torch.contiguous_format)
    return trained


@pytest.mark.parametrize(("precision", "target"), [("bfloat16", 3), ("float32", None)])
def test_a_training_step(
    precision: str,
    target: float | None,
    duel: Duel,
    size: Size,
    report: Report,
    clips: dict,
    spectrograms: torch.Tensor,
) -> None:
    alone = bfloat16_speedup(3 if size.quick else 15)
    if precision == "bfloat16" and alone < 0.5 and not size.quick:
        pytest.skip(f"no units for bfloat16: {alone:.2f} times as fast as float32")
    chosen = trainer("A2E", size, clips, spectrograms, precision)
    full = contiguous(trainer("A2E", size, clips, spectrograms, "float32"))
    for trained in (chosen, full):
        trained.model.train()
    steps = 1 if size.quick else 5

    def take(trained: _Trainer) -> None:
        for _ in range(steps):
            trained.step(*trained.train_data)

    take(chosen)
    take(full)
    taken = duel(lambda: take(chosen), {"float32": lambda: take(full)}, size.rounds)
    rates = [steps * len(spectrograms) / median(taken[name]) for name in ("ours", "float32")]
    limit = f"A convolution alone, forward and backward, is {alone:.2f} times as fast in bf16 here"
    if precision == "float32":
        limit = f"Wide convolutions in Winograd's form, alone {training_speedup():.2f} times as fast"
    report.rows.append(
        Row(
            order=6,
            work=f"training step, {'bf16' if precision == 'bfloat16' else 'f32'}, channels_last, {chosen.convolutions}",
            against="f32, contiguous, direct",
            sizes=f"{size}",
            ratios=faster(taken, "float32"),
            target=target,
            measured=f"{rates[0]:.3g} against {rates[1]:.3g} clips/s",
            limit=f"{limit}; batch normalisation, ReLU, pooling and Adam wait for memory",
        )
    )


def test_an_adversarial_epoch(duel: Duel, size: Size, report: Report, clips: dict, spectrograms: torch.Tensor) -> None:
    ours = trainer("aA2E", size, clips, spectrograms, "auto")
    theirs = contiguous(trainer("aA2E", size, clips, spectrograms, "float32"))
    epsilon, steps, short = theirs.bim.epsilon, theirs.bim.steps, size.other_steps
    attacking: list[float] = []

    def published_epoch() -> None:
        """With fewer steps an attack than ours; its seconds are counted as many times as steps are missing."""
        theirs.model.train()
        for rows in torch.arange(len(spectrograms)).split(theirs.settings.batch_size):
            inputs, emotions, midlevel = (tensor[rows] for tensor in theirs.train_data)
            theirs.step(inputs, emotions, midlevel)
            theirs.model.eval()
            begin = time.perf_counter()
            attacked = published(theirs.model, inputs, emotions, epsilon, 2.5 * epsilon / steps)(short)
            attacking.append(time.perf_counter() - begin)
            theirs.model.train()
            theirs.step(attacked, emotions, midlevel)
        theirs.validate()

    numbers = iter(range(1, 100))
    taken = duel(lambda: ours.epoch(next(numbers)), {"published": published_epoch}, size.rounds)
    batches = len(attacking) // size.rounds
    spent = [sum(attacking[batches * number : batches * (number + 1)]) for number in range(size.rounds)]
    taken["published"] = [
        whole + (steps / short - 1) * attack for whole, attack in zip(taken["published"], spent, strict=True)
    ]
    own_share = sum(row["attack_seconds"] for row in ours.history) / sum(row["seconds"] for row in ours.history)
    report.rows.append(
        Row(
            order=7,
            work=f"adversarial epoch, {steps} steps, {ours.precision}",
            against="published loop over clips",
            ratios=faster(taken, "published"),
            target=8,
            sizes=f"an epoch of {len(spectrograms)} clips, width {size.width:g}; of the published attack {short} steps "
            f"measured and counted {steps / short:g} times",
            measured=f"{median(taken['ours']):.3g} against {median(taken['published']):.3g} s",
            limit=f"The attack takes {own_share:.0%} of our epoch, so that this is the row of the attack in "
            f"{ours.precision}, and limited by the same",
        )
    )
