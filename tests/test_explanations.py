"""Attributions sum to what they explain, agree with captum and by hand, and do not hang on chance."""

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mer_lib import explanations
from mer_lib.dataset import EMOTIONS
from mer_lib.explanations import METHODS, attribute, frame_profile, silence
from mer_lib.models import build
from mer_lib.runs import load_pretrained

FRAMES = 45  # the networks take any number of frames; fewer are faster


@pytest.fixture(scope="module")
def model():
    return load_pretrained("A2M2E").model


@pytest.fixture(scope="module")
def clips(model):
    """Two clips: a chord that fades, and noise; not z-scored, silence is 0."""
    generator = torch.Generator().manual_seed(0)
    spectrograms = torch.zeros(2, FRAMES, 149)
    spectrograms[0, :, [40, 56, 68]] = torch.linspace(1.5, 0.2, FRAMES)[:, None]
    spectrograms[1] = torch.rand(FRAMES, 149, generator=generator)
    return model.standardise(spectrograms)


def waveforms(seconds=1.0):
    generator = torch.Generator().manual_seed(1)
    return 0.3 * torch.randn(1, int(22050 * seconds), generator=generator).clamp(-3, 3)


def test_silence_is_minus_mean_over_std_and_the_same_in_both_domains(model):
    spectrograms, samples = torch.zeros(1, FRAMES, 149), torch.zeros(1, 22050)
    quiet = silence(model, spectrograms)
    assert torch.allclose(quiet, (-model.mean / model.std).expand_as(quiet))
    with torch.no_grad():
        heard = model.standardise(model.front_end(silence(model, samples, "waveform")))
    assert torch.allclose(heard, quiet[:, :1, :].expand_as(heard))


def test_the_default_baseline_is_silence_and_not_zero(model, clips):
    found = attribute(model, clips, "sad", steps=4)
    with torch.no_grad():
        answers = model(torch.cat([silence(model, clips), torch.zeros_like(clips[:1])])).emotions[
            :, EMOTIONS.index("sad")
        ]
    assert found.baseline_answers[0] == pytest.approx(answers[0].item(), abs=1e-5)
    assert abs(answers[0] - answers[1]) > 1e-3


def test_integrated_gradients_is_captums_on_the_network_itself(model, clips):
    """Folding the batch normalisation and going clip by clip changes nothing."""
    found = attribute(model, clips, "happy", steps=6)
    explainer = IntegratedGradients(lambda x: model(x).emotions)
    baseline = silence(model, clips)
    captums = explainer.attribute(clips, baseline, target=EMOTIONS.index("happy"), n_steps=6)
    assert torch.allclose(found.maps, captums.detach(), atol=1e-6)


def test_more_steps_leave_a_smaller_completeness_error(model, clips):
    coarse, fine = (attribute(model, clips, "tension", steps=steps).completeness() for steps in (2, 48))
    assert fine["relative error"].max() < 0.03
    assert fine["error"].mean() < coarse["error"].mean() / 3
    assert np.allclose(fine["sum"] - fine["explained"], fine["error"] * np.sign(fine["sum"] - fine["explained"]))


@pytest.mark.parametrize("background", [False, True])
def test_deep_lift_shap_is_complete_although_a_relu_meets_a_max_pooling(model, clips, background):
    baselines = torch.cat([silence(model, clips), clips.flip(0), 0.5 * clips])[: 5 if background else 1]
    found = attribute(model, clips, "fear", "DeepLiftShap", baselines=baselines)
    assert found.completeness()["error"].max() < 1e-5
    assert found.maps.abs().max() > 0


def test_without_the_copy_captums_deep_lift_is_not_complete(model, clips, monkeypatch):
    """Why the copies are there; when captum mends it, they can go."""
    monkeypatch.setattr(explanations, "_for_deep_lift", lambda network: network)
    assert attribute(model, clips, "fear", "DeepLiftShap").completeness()["error"].max() > 1e-4


def test_gradient_shap_nears_integrated_gradients_with_one_baseline_and_many_draws(model, clips):
    exact = attribute(model, clips[:1], "happy", steps=48).maps
    few, many = (attribute(model, clips[:1], "happy", "GradientShap", steps=n, seed=1).maps for n in (4, 64))
    assert (many - exact).norm() < (few - exact).norm() / 2
    assert (many - exact).norm() < 0.25 * exact.norm()


def test_gradient_shap_depends_on_its_seed_alone_and_leaves_the_generators(model, clips):
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    first, again, other = (
        attribute(model, clips[:1], "happy", "GradientShap", steps=3, seed=seed).maps for seed in (5, 5, 6)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert (np.random.get_state()[1] == before[0]).all() and torch.equal(torch.get_rng_state(), before[1])


def test_a_background_is_the_mean_over_its_baselines(model, clips):
    one, two = (attribute(model, clips[:1], "sad", baselines=clips[1:] * scale, steps=4) for scale in (1.0, -0.5))
    both = attribute(model, clips[:1], "sad", baselines=torch.cat([clips[1:], -0.5 * clips[1:]]), steps=4)
    assert torch.allclose(both.maps, (one.maps + two.maps) / 2, atol=1e-6)
    assert torch.allclose(both.baseline_answers, (one.baseline_answers + two.baseline_answers) / 2, atol=1e-6)


def test_an_emotions_map_is_the_weighted_sum_of_its_neurons_maps(model, clips):
    """The head is linear, so the explanation has two levels that fit together (Chowdhury et al. 2019)."""
    weights = model.emotion_head.weight[EMOTIONS.index("happy")].detach()
    neurons = [attribute(model, clips, name, steps=4).maps for name in explanations.outputs_of(model)[8:]]
    parts = sum(weight * maps for weight, maps in zip(weights, neurons, strict=True))
    assert torch.allclose(attribute(model, clips, "happy", steps=4).maps, parts, atol=1e-6)


def test_through_to_the_waveform_the_same_difference_is_explained(model):
    heard = waveforms()
    with torch.no_grad():
        seen = model.standardise(model.front_end(heard))
    there, here = (
        attribute(model, heard, "happy", domain="waveform", steps=32),
        attribute(model, seen, "happy", steps=32),
    )
    assert there.maps.shape == heard.shape
    assert torch.allclose(there.answers - there.baseline_answers, here.answers - here.baseline_answers, atol=1e-4)
    assert there.completeness()["error"].max() < 0.1 * abs(here.answers - here.baseline_answers).max()
    assert frame_profile(there.maps).shape == frame_profile(here.maps).shape
    assert frame_profile(there.maps).sum() == pytest.approx(there.maps.double().sum().item())


def test_a_click_counts_for_the_frame_whose_middle_is_nearest():
    samples = torch.zeros(1, 22050)
    samples[0, 1024 + 704 * 3] = 2.0
    profile = frame_profile(samples)[0]
    assert profile.argmax() == 3 and profile.sum() == 2.0


def test_what_cannot_be_explained_is_named(model, clips):
    with pytest.raises(ValueError, match="says nothing about 'joy'"):
        attribute(model, clips, "joy")
    with pytest.raises(ValueError, match="unknown method"):
        attribute(model, clips, "happy", "LIME")
    with pytest.raises(ValueError, match="no rule for the Fourier transform"):
        attribute(model, waveforms(), "happy", "DeepLiftShap", domain="waveform")


def test_explaining_leaves_the_network_as_it_was(clips):
    network = build("A2B2E", 0.0625)
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for method in METHODS:
        attribute(network, clips[:1], "neuron 3", method, steps=2)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert network.training and all(p.requires_grad and p.grad is None for p in network.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules() if isinstance(m, nn.Module))


@given(st.integers(0, 1000))
def test_agreement_is_one_with_itself_minus_one_with_its_negative_and_blind_to_size(seed):
    maps = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(seed))
    table = explanations.agreement({"a": maps, "b": -maps, "c": 3 * maps + 1, "constant": torch.ones(2, 5, 7)})
    assert table.loc["a", "b"] == pytest.approx(-1) and table.loc["a", "c"] == pytest.approx(1)
    assert table.loc["a", "constant"] == 0 and (table == table.T).all(axis=None)
    assert explanations.rank_correlation(maps, -maps, absolute=True) == pytest.approx(1)
