"""The networks are the published ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mer_lib.models import SYSTEMS, build, folded, predict


@pytest.fixture(scope="module")
def spectrograms() -> torch.Tensor:
    return torch.randn(3, 313, 149, generator=torch.Generator().manual_seed(0))


def test_there_are_six_systems_in_the_papers_order():
    assert list(SYSTEMS) == ["A2E", "A2B2E", "A2M2E", "aA2E", "aA2B2E", "aA2M2E"]
    assert (SYSTEMS["A2M2E"].emotion_weight, SYSTEMS["A2M2E"].midlevel_weight) == (0.5, 0.5)
    assert (SYSTEMS["A2B2E"].emotion_weight, SYSTEMS["A2B2E"].midlevel_weight) == (1.0, 0.0)
    assert [s.adversarial for s in SYSTEMS.values()] == [False] * 3 + [True] * 3


@pytest.mark.parametrize("system", SYSTEMS)
def test_parameter_counts_are_the_published_ones(system):
    count = sum(p.numel() for p in build(system).parameters())
    assert count == (3_937_671 if SYSTEMS[system].bottleneck else 3_937_864)
    assert [layer.p for layer in build(system).trunk if isinstance(layer, torch.nn.Dropout2d)] == [0.3, 0.3]


@pytest.mark.parametrize("width", [0.125, 0.25, 1.0])
def test_width_scales_the_trunk_alone(width, spectrograms):
    model = build("A2M2E", width).eval()
    assert model.midlevel_head.in_features == 256 * width and model.emotion_head.in_features == 7
    emotions, midlevel = model(spectrograms[:1])
    assert emotions.shape == (1, 8) and midlevel.shape == (1, 7)


def test_emotions_of_a_bottleneck_are_a_weighted_sum_of_its_seven_values(spectrograms):
    model = build("A2M2E", 0.125).eval()
    emotions, midlevel = model(spectrograms)
    torch.testing.assert_close(emotions, midlevel @ model.emotion_head.weight.T + model.emotion_head.bias)


def test_the_black_box_has_no_midlevel_values(spectrograms):
    assert build("A2E", 0.125).eval()(spectrograms).midlevel is None


def test_weights_are_he_normal_with_fan_in():
    weight = build("A2E").trunk[3].weight  # 64 -> 64, 3 x 3
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)


def test_from_waveform_is_front_end_z_scoring_and_network():
    model = build("A2E", 0.125, mean=0.4, std=0.5).eval()
    noise = torch.randn(2, 220500, generator=torch.Generator().manual_seed(0)) * 0.1
    expected = model((model.front_end(noise) - 0.4) / 0.5)
    torch.testing.assert_close(model.from_waveform(noise).emotions, expected.emotions)


def test_folding_changes_nothing_but_the_arithmetic(spectrograms):
    model = build("A2B2E", 0.25, mean=0.4, std=0.5)
    model.train()
    for _ in range(5):
        model(torch.randn(4, 313, 149))  # batch norm statistics other than 0 and 1
    model.eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    light = folded(model)
    for ours, theirs in zip(light(spectrograms), model(spectrograms), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(m, torch.nn.BatchNorm2d | torch.nn.Dropout2d) for m in light.modules())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_predict_works_in_batches_and_leaves_the_mode(spectrograms):
    model = build("A2M2E", 0.125).train()
    many = np.concatenate([spectrograms.numpy()] * 5)
    emotions, midlevel = predict(model, many, batch=4)
    assert model.training and emotions.shape == (15, 8)
    np.testing.assert_allclose(emotions[:3], emotions[12:], atol=1e-5)
    np.testing.assert_allclose(midlevel, predict(model, many, batch=15).midlevel, atol=1e-5)


@pytest.mark.parametrize("arguments", [("A2X",), ("A2E", 0), ("A2E", -1), ("A2E", 1.0, 0.0, 0.0)])
def test_impossible_networks_are_refused(arguments):
    with pytest.raises(ValueError, match="unknown system|positive"):
        build(*arguments)
