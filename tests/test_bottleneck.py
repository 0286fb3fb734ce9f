"""Attacks on the bottleneck: each moves what it aims at, and no explanation moves farther than the head allows."""

from __future__ import annotations

import pytest
import torch

from mer_lib.attacks import PGD
from mer_lib.bottleneck import attacks_on_the_bottleneck, explanation_bound, other_explanation
from mer_lib.losses import SameEmotions, both_loss, midlevel_loss
from mer_lib.models import Prediction, build


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build("A2M2E", 0.0625, mean=0.1, std=0.2).eval()


@pytest.fixture(scope="module")
def clips():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(3, 60, 149, generator=generator)
    return inputs, torch.rand(3, 8, generator=generator), torch.rand(3, 7, generator=generator)


@pytest.mark.parametrize("tolerance", [0.01, 0.1])
def test_the_emotions_stay_and_the_explanation_moves_within_its_bound(network, clips, tolerance):
    result, table = other_explanation(network, clips[0], PGD(epsilon=0.2, steps=20, restarts=2), tolerance)
    assert (table["emotions moved"] <= tolerance * (1 + 1e-5)).all()
    assert (table["explanation moved"] > 0.1 * tolerance).all(), "the attack does something"
    assert (table["explanation moved"] <= table["bound for that"] * (1 + 1e-4)).all()
    assert (table["share of the bound"] <= 1 + 1e-4).all()
    assert result.delta.abs().max() <= 0.2


def test_the_bound_is_reached_by_the_head_alone(network):
    """In the direction of the smallest singular value the emotions move by exactly the tolerance."""
    weight = network.emotion_head.weight.detach().double()
    direction = torch.linalg.svd(weight).Vh[-1] * explanation_bound(network, 0.3)
    assert (weight @ direction).norm().item() == pytest.approx(0.3)


def test_a_head_that_confuses_two_qualities_bounds_nothing():
    model = build("A2M2E", 0.0625)
    with torch.no_grad():
        model.emotion_head.weight[:, 3] = 0
    assert explanation_bound(model, 0.1) > 1e6


def test_each_attack_moves_what_it_aims_at(network, clips):
    inputs, ratings, midlevel = clips
    table = attacks_on_the_bottleneck(network, inputs, ratings, midlevel, PGD(epsilon=0.1, steps=8))
    assert table["mid-level: MAE attacked"].idxmax() == "mid-level values"
    assert table["emotions: MAE attacked"].idxmax() == "emotions"
    for aim, column in (("emotions", "emotions"), ("mid-level values", "mid-level")):
        assert table.loc[aim, f"{column}: MAE attacked"] > table.loc[aim, f"{column}: MAE clean"]
    assert (table.loc["both", ["emotions moved", "mid-level moved"]] > 0).all()


def test_a_bottleneck_without_meaning_is_driven_away_from_its_own_answers(clips):
    model = build("A2B2E", 0.0625).eval()
    inputs, ratings, midlevel = clips
    table = attacks_on_the_bottleneck(model, inputs, ratings, midlevel, PGD(epsilon=0.1, steps=5))
    assert (table["mid-level: MAE clean"] == 0).all()
    assert table.loc["mid-level values", "mid-level: MAE attacked"] > 0


def test_a_black_box_has_no_explanation_to_attack(clips):
    with pytest.raises(ValueError, match="no bottleneck"):
        other_explanation(build("A2E", 0.0625), clips[0], PGD(epsilon=0.1, steps=1), 0.1)


def test_the_losses_by_hand():
    said = Prediction(torch.full((1, 8), 0.5), torch.full((1, 7), 0.25))
    ratings = torch.cat([torch.zeros(1, 8), torch.full((1, 7), 0.75)], dim=1)
    assert midlevel_loss(said, ratings[:, 8:]).item() == 0.25
    assert both_loss(said, ratings).item() == pytest.approx(0.5 * 0.25 + 0.5 * 0.25)
    assert SameEmotions(tolerance=2.0)(said, ratings).item() == pytest.approx(0.5 * 7**0.5)
    assert SameEmotions(tolerance=1.0)(said, ratings).item() == pytest.approx(10 * (1 - 2**0.5))
