"""Effects add up to the emotions and are Integrated Gradients at the bottleneck; neurons are judged as they deserve."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mer_lib import effects
from mer_lib.dataset import EMOTIONS, MIDLEVEL
from mer_lib.models import build
from mer_lib.runs import load_pretrained


@pytest.fixture(scope="module")
def model():
    return load_pretrained("A2M2E").model


def values(clips=12, seed=0):
    return np.random.default_rng(seed).uniform(0.3, 0.8, (clips, 7)).astype(np.float32)


@given(seed=st.integers(0, 10_000), clips=st.integers(1, 6))
def test_bias_and_effects_add_up_to_the_emotions(model, seed, clips):
    said = values(clips, seed)
    with torch.no_grad():
        emotions = model.emotion_head(torch.from_numpy(said)).numpy()
    total = effects.effects(model, said).sum(axis=2) + model.emotion_head.bias.detach().numpy()
    assert np.allclose(total, emotions, atol=1e-5)


@settings(max_examples=8)
@given(seed=st.integers(0, 10_000))
def test_the_effect_is_layer_integrated_gradients_with_baseline_zero(model, seed):
    said = values(4, seed)
    assert np.abs(effects.effects(model, said) - effects.effects_by_captum(model, said)).max() < 1e-5


def test_with_another_baseline_it_is_not(model):
    said = values()
    assert np.abs(effects.effects(model, said, 0.5) - effects.effects_by_captum(model, said)).max() > 0.01


def test_relative_effects_add_up_to_the_distance_from_the_mean_emotion(model):
    said = values()
    table = effects.effects_table(model, said, pd.Series(range(len(said))))
    with torch.no_grad():
        emotions = model.emotion_head(torch.from_numpy(said)).numpy()
    sums = table.groupby(["clip", "emotion"], sort=False)["relative"].sum().to_numpy().reshape(emotions.shape)
    assert np.allclose(sums, emotions - emotions.mean(axis=0), atol=1e-5)
    one = table[(table["clip"] == "3") & (table["emotion"] == "fear") & (table["neuron"] == "dissonance")].iloc[0]
    weight = model.emotion_head.weight[EMOTIONS.index("fear"), MIDLEVEL.index("dissonance")].item()
    assert one["effect"] == pytest.approx(weight * said[3, MIDLEVEL.index("dissonance")], abs=1e-6)


def test_only_taught_neurons_bear_names():
    assert effects.neuron_names(build("A2M2E", 0.05)) == list(MIDLEVEL)
    assert effects.neuron_names(build("A2B2E", 0.05))[0] == "neuron 1"
    with pytest.raises(ValueError, match="no bottleneck"):
        effects.effects(build("A2E", 0.05), values())


def test_the_pair_has_like_emotions_and_other_reasons(model):
    """Two clips are made to differ only along the direction that the head sees least."""
    said = values(20)
    least = np.linalg.svd(model.emotion_head.weight.detach().numpy())[2][-1]
    said[7] = said[11] + 0.6 * least
    with torch.no_grad():
        emotions = model.emotion_head(torch.from_numpy(said)).numpy()
    apart = np.abs(emotions[7] - emotions[11]).mean()
    assert set(effects.like_emotions_other_reasons(model, said, tolerance=1.01 * apart)) == {7, 11}
    first, second = effects.like_emotions_other_reasons(model, said, tolerance=0.05)
    assert np.abs(emotions[first] - emotions[second]).mean() <= 0.05
    said[3] = said[4]
    assert set(effects.like_emotions_other_reasons(model, said, tolerance=0.0)) == {3, 4}
    with pytest.raises(ValueError, match="two clips"):
        effects.like_emotions_other_reasons(model, said[:1])


def test_a_partial_correlation_sees_through_a_neighbour():
    """A neuron that only copies another quality is correlated with its own, and not partially."""
    rng = np.random.default_rng(3)
    known = rng.normal(size=(4000, 7))
    known[:, 1] = 0.8 * known[:, 0] + 0.6 * known[:, 1]
    said = known + 0.3 * rng.normal(size=known.shape)
    said[:, 1] = known[:, 0] + 0.3 * rng.normal(size=len(known))
    table = effects.neuron_quality(said, known)
    assert table["r"].iloc[1] > 0.7 and abs(table["partial r"].iloc[1]) < 0.06
    assert table["partial r"].iloc[2] == pytest.approx(1 / np.sqrt(1 + 0.3**2), abs=0.01)
    few = effects.neuron_quality(said[:9], known[:9])
    assert few["partial r"].isna().all() and few["r"].notna().all()


def test_the_interval_of_r_covers_as_often_as_it_says():
    rng, true = np.random.default_rng(4), 0.6
    inside = []
    for _ in range(150):
        known = rng.normal(size=(36, 7))
        table = effects.neuron_quality(true * known + 0.8 * rng.normal(size=known.shape), known)
        inside += list((table["low"] <= true) & (true <= table["high"]))
    assert 0.93 < np.mean(inside) < 0.97


def test_clips_without_known_values_are_left_out():
    known = values(20)
    said = known + 0.01
    known[:5, 2] = np.nan
    table = effects.neuron_quality(said, known)
    assert np.allclose(table["MAE"], 0.01, atol=1e-6) and np.allclose(table["r"], 1)
    with pytest.raises(ValueError, match="too few"):
        effects.neuron_quality(said[:6], known[:6])


def test_the_closest_cause_is_found_and_noise_stays_below_chance():
    rng = np.random.default_rng(5)
    causes = pd.DataFrame(rng.normal(size=(60, 11)), columns=[f"c{i}" for i in range(11)])
    said = rng.normal(size=(60, 7))
    said[:, 4] = -causes["c9"] + 0.2 * rng.normal(size=60)
    table = effects.closest_causes(said, causes, draws=400)
    assert table.loc["neuron 5", "closest cause"] == "c9" and table.loc["neuron 5", "r"] < -0.9
    assert (table["chance"].between(0.25, 0.5)).all()
    assert (table["r"].abs() > table["chance"]).sum() <= 2
