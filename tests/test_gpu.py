"""On a GPU the study says what it says on the processor. Skipped without one; so far it was never run on one."""

from __future__ import annotations

import json

import pytest
import torch

from mer_lib.bim import BIM
from mer_lib.evaluation import attack_run
from mer_lib.precision import bfloat16_speedup
from mer_lib.runs import load_pretrained
from mer_lib.training import TrainingSettings, train
from tests.small import small_prepared

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU with CUDA here")


@pytest.mark.parametrize(("domain", "shape"), [("spectrogram", (3, 313, 149)), ("waveform", (3, 30000))])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_attack_is_as_strong_as_on_the_processor(domain, shape, precision):
    generator = torch.Generator().manual_seed(0)
    inputs, ratings = 0.1 * torch.randn(shape, generator=generator), torch.rand(3, 8, generator=generator)
    method = BIM(epsilon=0.01, steps=5, restarts=2, domain=domain, precision=precision)
    here = method.attack(load_pretrained("A2E").model, inputs, ratings)
    there = method.attack(load_pretrained("A2E").model.cuda(), inputs, ratings)
    assert there.adversarial.device.type == "cpu" and there.delta.abs().max() <= 0.01 * (1 + 1e-5)
    torch.testing.assert_close(there.clean, here.clean, rtol=0, atol=5e-3)  # convolutions may use TF32 there
    torch.testing.assert_close(there.attacked_loss, here.attacked_loss, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize("system", ["A2M2E", "aA2E"])
def test_a_run_trained_there_is_kept_for_the_processor(system, tmp_path):
    prepared = small_prepared(tmp_path / "prepared")
    settings = TrainingSettings(epochs=2, adversarial_every=1, adversarial_steps=2)
    made = {"seed": 6, "width": 0.0625, "settings": settings, "progress": False}
    run = train(system, prepared, tmp_path / "run", device="cuda", **made)
    assert {parameter.device.type for parameter in run.model.parameters()} == {"cpu"}
    losses = train(system, prepared, tmp_path / "here", **made).history["train_loss"]
    assert run.history["train_loss"].to_numpy() == pytest.approx(losses.to_numpy(), rel=0.5)  # dropout differs


def test_a_study_attacks_there_and_keeps_what_it_found_here(tmp_path):
    prepared = small_prepared(tmp_path / "prepared")
    made = {"seed": 6, "width": 0.0625, "settings": TrainingSettings(epochs=1), "progress": False}
    run = train("A2M2E", prepared, tmp_path / "run", device="cuda", **made)
    row = attack_run(run, prepared, BIM(epsilon=0.1, steps=2), "there", examples=0, progress=False, device="cuda")
    assert row["linf_max"].item() <= 0.1 and {p.device.type for p in run.model.parameters()} == {"cpu"}
    assert json.loads((run.folder / "attacks" / "there" / "metrics.json").read_text())["device"] == "cuda"


def test_the_precision_is_measured_there():
    assert bfloat16_speedup(rounds=3, device="cuda") > 0
