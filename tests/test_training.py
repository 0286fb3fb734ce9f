"""Training learns, stops, repeats itself and goes on after an interruption as if there had been none."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from mer_lib import training
from mer_lib.bim import BIM
from mer_lib.runs import RunError
from mer_lib.training import TrainingSettings, masked_mse, train
from tests.small import small_prepared

WIDTH = 0.0625
QUICK = TrainingSettings(epochs=2, learning_rate=2e-3)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return small_prepared(tmp_path_factory.mktemp("prepared"))


def weights(run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.model.parameters()])


def quick(system: str, prepared, folder, settings: TrainingSettings = QUICK, seed: int = 6):
    return train(system, prepared, folder, seed=seed, width=WIDTH, settings=settings, study="t", progress=False)


def test_defaults_are_the_published_settings():
    s = TrainingSettings()
    assert (s.epochs, s.patience, s.batch_size, s.learning_rate, s.adversarial_every) == (199, 50, 8, 5e-4, 5)
    assert (s.adversarial_epsilon, s.adversarial_steps) == (0.1, 50)


def test_loss_falls_and_the_run_says_how_it_was_made(prepared, tmp_path):
    run = quick("A2M2E", prepared, tmp_path / "run", TrainingSettings(epochs=15, learning_rate=5e-3))
    losses = run.history["train_loss"]
    assert losses.iloc[-1] < 0.5 * losses.iloc[0]
    assert run.info["clips"] == {"train": 16, "valid": 2, "test": 2}
    assert run.info["gradients"] == {"training": 15 * 16, "attacking": 0}
    assert run.info["settings"]["learning_rate"] == 5e-3 and run.info["midlevel_kind"] == "composed"
    assert run.info["best_epoch"] == run.history.loc[run.history["best"], "epoch"].max()


@pytest.mark.parametrize(("system", "emotion", "quality"), [("A2E", 1, 0), ("A2B2E", 1, 0), ("A2M2E", 0.5, 0.5)])
def test_a_step_and_the_choice_of_the_epoch_weigh_what_the_system_says(prepared, system, emotion, quality):
    trainer = training._Trainer(system, prepared, prepared.split(), 6, WIDTH, QUICK)
    trainer.model.eval()
    batch, emotions, qualities = (part[:8] for part in trainer.train_data)
    with torch.no_grad():
        said = trainer.model(batch)
    wanted = emotion * masked_mse(said.emotions, emotions)
    if quality:
        wanted = wanted + quality * masked_mse(said.midlevel, qualities)
    row = trainer.validate()
    scored = row["valid_correlation"] + (row["valid_midlevel_correlation"] if quality else 0)
    assert row["valid_score"] == pytest.approx(scored)
    assert trainer.step(batch, emotions, qualities) == pytest.approx(wanted.item(), rel=1e-5)


def test_normalisation_is_from_training_clips_unless_asked_otherwise(prepared, tmp_path):
    train_rows = prepared.split()["train"]
    own = quick("A2E", prepared, tmp_path / "own").model
    assert own.mean.item() == pytest.approx(prepared.spectrograms[np.sort(train_rows)].mean(), rel=1e-4)
    leaky = quick("A2E", prepared, tmp_path / "all", TrainingSettings(epochs=1, normalisation="all")).model
    assert leaky.std.item() == pytest.approx(prepared.spectrograms.std(), rel=1e-4)
    assert leaky.mean.item() != pytest.approx(own.mean.item(), rel=1e-6)


def test_same_seed_same_weights_and_another_seed_others(prepared, tmp_path):
    first, second = (quick("A2E", prepared, tmp_path / name) for name in "ab")
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(quick("A2E", prepared, tmp_path / "c", seed=21)))


@pytest.mark.parametrize("system", ["A2E", "aA2M2E"])
def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(prepared, tmp_path, monkeypatch, system):
    settings = TrainingSettings(epochs=3, learning_rate=2e-3, adversarial_every=2, adversarial_steps=2)
    whole = quick(system, prepared, tmp_path / "whole", settings)
    ordinary, calls = training._Trainer.epoch, []

    def power_cut(self, number):
        if number == 3 and not calls:
            calls.append(number)
            raise KeyboardInterrupt
        ordinary(self, number)

    monkeypatch.setattr(training._Trainer, "epoch", power_cut)
    with pytest.raises(KeyboardInterrupt):
        quick(system, prepared, tmp_path / "cut", settings)
    assert not (tmp_path / "cut" / "run.json").exists() and (tmp_path / "cut" / "state.safetensors").exists()
    assert len(pd.read_csv(tmp_path / "cut" / "history.csv")) == 2  # what happened so far can be read while it runs
    resumed = quick(system, prepared, tmp_path / "cut", settings)
    assert torch.equal(weights(whole), weights(resumed))
    columns = ["epoch", "train_loss", "valid_correlation", "valid_mae", "attacked_loss"]
    pd.testing.assert_frame_equal(whole.history[columns], resumed.history[columns])
    assert whole.info["gradients"] == resumed.info["gradients"]
    assert not (tmp_path / "cut" / "state.safetensors").exists()


def test_a_log_gets_a_line_an_epoch(prepared, tmp_path, capfd, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    train("A2E", prepared, tmp_path / "run", seed=6, width=WIDTH, settings=QUICK, progress=True)
    out, err = capfd.readouterr()
    assert [line[:19] for line in out.splitlines()] == [
        "A2E seed 6 epoch 1:",
        "A2E seed 6 epoch 2:",
    ] and "/2" not in err


def test_a_damaged_or_foreign_state_is_not_gone_on_from(prepared, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "state.safetensors").write_bytes(b"half written")
    assert len(quick("A2E", prepared, tmp_path / "run").history) == 2


def test_a_state_of_other_settings_is_not_gone_on_from(prepared, tmp_path, monkeypatch):
    whole = quick("A2E", prepared, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(training, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            quick("A2E", prepared, tmp_path / "run", TrainingSettings(epochs=1, learning_rate=0.01))
    assert (tmp_path / "run" / "state.safetensors").is_file()
    assert torch.equal(weights(whole), weights(quick("A2E", prepared, tmp_path / "run")))


def test_too_few_rated_clips_are_refused_before_hours_are_spent(tmp_path):
    few = small_prepared(tmp_path / "few", clips=12)
    with pytest.raises(ValueError, match="1 of 1 test clips with emotion ratings: correlations need at least 2"):
        quick("A2E", few, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_shortcut_stays_with_the_split_it_was_planted_by(prepared, tmp_path):
    info = {**prepared.info, "shortcut": {"strength": 1.0, "split_protocol": "published"}}
    planted = dataclasses.replace(prepared, info=info)
    with pytest.raises(ValueError, match="on the grouped split test clips would carry it"):
        train("A2E", planted, tmp_path / "run", seed=6, width=WIDTH, split_protocol="grouped", settings=QUICK)


def test_a_finished_run_is_returned_at_once_and_never_overwritten(prepared, tmp_path):
    quick("A2E", prepared, tmp_path / "run")
    stamp = (tmp_path / "run" / "weights.safetensors").stat().st_mtime_ns
    quick("A2E", prepared, tmp_path / "run")
    with pytest.raises(RunError, match="settings"):
        quick("A2E", prepared, tmp_path / "run", TrainingSettings(epochs=1))
    assert (tmp_path / "run" / "weights.safetensors").stat().st_mtime_ns == stamp


def test_training_stops_when_validation_no_longer_improves_and_keeps_the_best_weights(prepared, tmp_path, monkeypatch):
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.2])
    monkeypatch.setattr(
        training._Trainer,
        "validate",
        lambda self: {"valid_correlation": 0.0, "valid_mae": 0.0, "valid_score": next(scores)},
    )
    run = quick("A2E", prepared, tmp_path / "run", TrainingSettings(epochs=5, patience=3, learning_rate=2e-3))
    assert len(run.history) == 5 and run.info["best_epoch"] == 2
    scores = iter([0.1, 0.5])
    assert torch.equal(weights(run), weights(quick("A2E", prepared, tmp_path / "two")))


@pytest.mark.parametrize("system", ["aA2E", "aA2B2E", "aA2M2E"])
def test_adversarial_epochs_take_a_second_step_on_attacked_clips(prepared, tmp_path, monkeypatch, system):
    seen = []
    ordinary = BIM.attack

    def watched(self, model, inputs, ratings, progress=False):
        result = ordinary(self, model, inputs, ratings, progress)
        seen.append((len(inputs), result.delta.abs().max().item(), model.training))
        return result

    monkeypatch.setattr(BIM, "attack", watched)
    settings = TrainingSettings(epochs=4, adversarial_every=2, adversarial_epsilon=0.1, adversarial_steps=2)
    run = quick(system, prepared, tmp_path / "run", settings)
    assert [clips for clips, _, _ in seen] == [8, 8] * 2  # whole batches, every second epoch
    assert all(0.09 < largest <= 0.1 for _, largest, _ in seen) and all(mode for _, _, mode in seen)
    assert run.info["gradients"] == {"training": 4 * 16 + 2 * 16, "attacking": 2 * 16 * 2}
    assert run.history["attacked_loss"].notna().tolist() == [False, True, False, True]
    assert run.info["attack_seconds"] > 0


def test_midlevel_values_are_needed_by_who_learns_them_alone(tmp_path):
    bare = small_prepared(tmp_path / "bare", midlevel=False)
    with pytest.raises(ValueError, match="midlevel='computed'"):
        quick("A2M2E", bare, tmp_path / "run")
    assert quick("A2B2E", bare, tmp_path / "other").info["midlevel_kind"] == "none"


def test_unrated_cells_do_not_count_in_the_loss():
    predictions = torch.tensor([[0.5, 0.5], [0.5, 0.5]], requires_grad=True)
    loss = masked_mse(predictions, torch.tensor([[0.5, torch.nan], [1.0, torch.nan]]))
    loss.backward()
    assert loss.item() == pytest.approx(0.125) and torch.isfinite(predictions.grad).all()
    assert predictions.grad[:, 1].abs().max() == 0


def test_bfloat16_learns_the_same_thing(prepared, tmp_path):
    runs = [
        quick("A2E", prepared, tmp_path / p, TrainingSettings(epochs=2, learning_rate=2e-3, precision=p))
        for p in ("float32", "bfloat16")
    ]
    assert runs[1].info["precision_used"] == "bfloat16"
    assert runs[1].history["train_loss"].iloc[-1] == pytest.approx(runs[0].history["train_loss"].iloc[-1], rel=0.15)


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"learning_rate": 0}, {"normalisation": "test"}, {"adversarial_epsilon": -1}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"at least 1|normalisation"):
        TrainingSettings(**wrong)
