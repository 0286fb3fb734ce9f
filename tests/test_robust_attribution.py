"""Training for explanations that stay: the norm is what it says, weight 0 changes nothing, parts stay comparable."""

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from torch import nn

from mer_lib import robust_attribution as robust
from mer_lib.bim import BIM, mse_loss
from mer_lib.robust_attribution import RobustSettings, ig_norm, part_of_training, train_robust
from mer_lib.runs import RunError
from mer_lib.training import train
from tests.small import small_prepared

QUICK = {"epochs": 2, "learning_rate": 2e-3, "adversarial_every": 1, "adversarial_steps": 2, "patience": 9}


class Regressor(nn.Module):
    """(clips, 6, 5) -> (clips, 8), with curvature."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Flatten(), nn.Linear(30, 20), nn.Tanh(), nn.Linear(20, 8)).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.fixture
def toy() -> tuple[Regressor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    clean, way = torch.randn(2, 4, 6, 5, generator=generator, dtype=torch.float64)
    return Regressor(), clean, clean + 0.5 * way, torch.rand(4, 8, generator=generator)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return small_prepared(tmp_path_factory.mktemp("corpus") / "noise", clips=20)


def test_the_integrated_gradients_sum_to_the_rise_of_the_loss_and_their_norm_is_no_smaller(toy):
    model, clean, attacked, ratings = toy
    norm, total = ig_norm(model, clean, attacked, ratings, steps=60)
    rise = mse_loss(model(attacked), ratings) - mse_loss(model(clean), ratings)
    torch.testing.assert_close(total.float(), rise.float(), atol=2e-4, rtol=2e-3)
    assert (norm >= total.abs()).all() and (norm > 1.5 * total.abs()).any()


def test_the_norm_is_that_of_captums_integrated_gradients(toy):
    model, clean, attacked, ratings = toy
    explainer = IntegratedGradients(lambda x: mse_loss(model(x), ratings.repeat(len(x) // 4, 1)).double())
    for steps in (2, 5):
        found = explainer.attribute(attacked, clean, n_steps=steps, method="riemann_middle")
        torch.testing.assert_close(
            ig_norm(model, clean, attacked, ratings, steps)[0].float(), found.abs().sum(dim=(1, 2)).float()
        )


def test_the_norm_has_a_slope_by_the_weights(toy):
    model, clean, attacked, ratings = toy
    weight = model.layers[1].weight
    (slope,) = torch.autograd.grad(ig_norm(model, clean, attacked, ratings, 3)[0].sum(), weight)
    step = torch.zeros_like(weight)
    step[4, 7] = 1e-4
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * step
        values.append(ig_norm(model, clean, attacked, ratings, 3)[0].sum().item())
        with torch.no_grad():
            weight -= sign * step
    # The losses are float32, so the difference is rough
    assert slope[4, 7].item() == pytest.approx((values[0] - values[1]) / 2e-4, rel=0.02, abs=1e-3)


def test_without_weight_it_is_the_studys_adversarial_training_to_the_last_bit(prepared, tmp_path):
    settings = RobustSettings(**QUICK, attribution_weight=0.0)
    plain = train("aA2E", prepared, tmp_path / "plain", seed=3, width=0.0625, settings=settings, progress=False)
    term = train_robust(prepared, tmp_path / "term", seed=3, width=0.0625, settings=settings, progress=False)
    for name, tensor in plain.model.state_dict().items():
        assert torch.equal(tensor, term.model.state_dict()[name]), name


def test_the_term_lowers_what_it_weighs(prepared, tmp_path):
    """Norms on attacked training clips, relative to those of the same training without the term."""
    norms = {}
    for weight in (0.0, 10.0):
        settings = RobustSettings(**{**QUICK, "epochs": 4}, attribution_weight=weight)
        run = train_robust(prepared, tmp_path / f"{weight}", seed=3, width=0.0625, settings=settings, progress=False)
        rows = prepared.split()["train"]
        clips = run.model.standardise(torch.from_numpy(np.array(prepared.spectrograms[rows])))
        ratings = torch.from_numpy(prepared.emotions[rows])
        attacked = BIM(epsilon=0.1, steps=3).attack(run.model, clips, ratings).adversarial
        norms[weight] = ig_norm(run.model, clips, attacked, ratings, 3)[0].mean().item()
    assert norms[10.0] < 0.9 * norms[0.0], norms


def test_a_run_holds_how_it_was_made_and_is_not_made_twice(prepared, tmp_path, monkeypatch):
    settings = RobustSettings(**QUICK, attribution_weight=0.5, ig_steps=2)
    made = train_robust(prepared, tmp_path, seed=3, width=0.0625, settings=settings, study="mine", progress=False)
    assert made.info["settings"]["attribution_weight"] == 0.5 and made.info["settings"]["ig_steps"] == 2
    assert made.info["system"] == "aA2E" and made.info["seed"] == 3 and made.info["weights_sha256"]
    monkeypatch.setattr(robust._RobustTrainer, "epoch", None)
    again = train_robust(prepared, tmp_path, seed=3, width=0.0625, settings=settings, study="mine", progress=False)
    assert again.info == made.info
    other = RobustSettings(**QUICK, attribution_weight=1.0)
    with pytest.raises(RunError, match="settings"):
        train_robust(prepared, tmp_path, seed=3, width=0.0625, settings=other, study="mine", progress=False)


def test_parts_of_the_training_clips_are_nested_and_tested_on_the_same_clips(prepared):
    whole = prepared.split()
    small, large = part_of_training(prepared, 4), part_of_training(prepared, 8)
    for part in ("valid", "test"):
        np.testing.assert_array_equal(small.split()[part], whole[part])
    assert len(small.split()["train"]) == 4 and set(small.split()["train"]) < set(large.split()["train"])
    assert set(large.split()["train"]) < set(whole["train"])
    assert set(part_of_training(prepared, 4, draw=1).split()["train"]) != set(small.split()["train"])
    names = {part_of_training(prepared, 4, draw).folder.name for draw in (0, 1)} | {prepared.folder.name}
    assert len(names) == 3, "a run says which part it was trained on"
    assert part_of_training(prepared, 16) is prepared
    for wrong in (0, 17):
        with pytest.raises(ValueError, match="training clips"):
            part_of_training(prepared, wrong)


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"attribution_weight": -1.0}, {"ig_steps": 0}, {"epochs": 0}):
        with pytest.raises(ValueError):
            RobustSettings(**wrong)
