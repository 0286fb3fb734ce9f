"""Inversion: what is wanted is found where it can be, no iterate is lost, and a clip's result is its own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mer_lib.inversion import (
    LAYERS,
    Inversion,
    layers_of,
    limits,
    noise,
    outline_correlation,
    relative_distance,
    represent,
    spectrograms_of,
    white_noise,
)
from mer_lib.models import build, folded

HIGHEST = 2.5
FRAMES, BANDS = 61, 149  # the trunk takes any length: a fifth of a clip costs a fifth


def network(system="A2M2E", seed=1):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(system, width=0.0625, mean=0.4, std=0.42)
        model.train()
        for _ in range(3):  # running statistics other than 0 and 1, so that folding has something to fold
            model(torch.randn(4, FRAMES, BANDS))
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def clips():
    """Smooth pictures, as music is compared with noise."""
    small = torch.randn(3, 1, 8, 15, generator=torch.Generator().manual_seed(2))
    return torch.nn.functional.interpolate(small, (FRAMES, BANDS), mode="bilinear")[:, 0].clamp(-0.9, 2)


@pytest.mark.parametrize("system", ["A2E", "A2M2E"])
def test_the_layers_are_what_the_network_computes_on_its_way(system, clips):
    network_ = network(system)
    said = network_(clips)
    torch.testing.assert_close(represent(network_, clips, "emotions"), said.emotions)
    torch.testing.assert_close(represent(network_, clips, "features"), network_.features(clips))
    last_map = represent(network_, clips, "block 3").view(len(clips), network_.features(clips).shape[1], -1)
    torch.testing.assert_close(last_map.mean(dim=2), network_.features(clips))
    assert ("bottleneck" in layers_of(network_)) == network_.system.bottleneck
    if network_.system.bottleneck:
        torch.testing.assert_close(represent(network_, clips, "bottleneck"), said.midlevel)
    else:
        with pytest.raises(ValueError, match="no layer 'bottleneck'"):
            represent(network_, clips, "bottleneck")


def test_the_blocks_end_with_the_pooling(model, clips):
    """Each pooling halves both axes: hooks on the pooling modules see the same numbers."""
    seen = []
    pools = [module for module in model.trunk if isinstance(module, torch.nn.MaxPool2d)]
    hooks = [pool.register_forward_hook(lambda *_: seen.append(_[2])) for pool in pools]
    model(clips)
    for hook in hooks:
        hook.remove()
    for name, values in zip(("block 1", "block 2"), seen, strict=True):
        torch.testing.assert_close(represent(model, clips, name), values.flatten(1))


@pytest.mark.parametrize("layer", LAYERS)
def test_folding_changes_no_representation(model, clips, layer):
    torch.testing.assert_close(
        represent(folded(model), clips, layer), represent(model, clips, layer), atol=1e-4, rtol=1e-3
    )


def test_distances_and_correlations_of_worked_examples():
    wanted = torch.tensor([[[3.0, 4.0]]])
    assert relative_distance(torch.tensor([[[3.0, 1.0]]]), wanted).item() == pytest.approx(3 / 5)
    assert relative_distance(wanted, wanted).item() == 0
    picture = torch.randn(2, 64, 60, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(outline_correlation(3 * picture + 1, picture), torch.ones(2))
    torch.testing.assert_close(outline_correlation(-picture, picture), -torch.ones(2))
    assert outline_correlation(torch.ones(1, 64, 60), picture[:1]).item() == 0, "no contrast, no likeness"


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_the_outline_forgets_what_is_finer_than_a_cell(seed):
    """A pattern that adds up to zero in every cell changes no outline, however strong it is."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 5, 6, generator=generator)
    picture = coarse.repeat_interleave(8, dim=1).repeat_interleave(6, dim=2)
    grain = torch.rand(1, 40, 36, generator=generator)
    grain -= torch.nn.functional.avg_pool2d(grain, (8, 6)).repeat_interleave(8, 1).repeat_interleave(6, 2)
    assert outline_correlation(picture + 10 * grain, picture).item() == pytest.approx(1, abs=1e-3)


def test_the_original_itself_is_at_distance_zero_and_stays(model, clips):
    result = Inversion(layer="block 2", steps=3, highest=HIGHEST).invert(model, clips, clips.clone())
    assert result.distance.max() < 1e-3 and (result.best_step == 0).all()
    torch.testing.assert_close(result.found, clips)


@pytest.fixture(scope="module")
def inverted(model, clips):
    start = noise(len(clips), FRAMES, BANDS, seed=4)
    return start, Inversion(layer="block 1", steps=25, highest=HIGHEST).invert(model, clips, start)


def test_an_early_layer_gives_the_picture_back(inverted):
    _, result = inverted
    assert (result.distance < 0.6 * result.distance_per_step[0]).all()
    assert (result.at_best(result.outline_per_step) > 0.5).all()
    assert (result.at_best(result.outline_per_step) > result.outline_per_step[0] + 0.3).all()


def test_what_is_reported_is_what_the_network_says(model, clips, inverted):
    start, result = inverted
    wanted = represent(model, clips, "block 1")
    torch.testing.assert_close(relative_distance(represent(model, result.found, "block 1"), wanted), result.distance)
    first = relative_distance(represent(model, start, "block 1"), wanted)
    torch.testing.assert_close(result.distance_per_step[0], first, atol=1e-4, rtol=1e-3)
    logs = [values * model.std + model.mean for values in (result.found, clips)]
    torch.testing.assert_close(
        relative_distance(*logs), result.at_best(result.picture_distance_per_step), atol=1e-5, rtol=1e-4
    )
    assert result.gradients == 3 * 25


def test_every_clip_keeps_its_own_best_iterate_and_the_last_is_scored(model, clips):
    """With far too long steps the search jumps about; the clip that starts where it should end is best there."""
    start = noise(len(clips), FRAMES, BANDS, seed=2)
    start[0] = clips[0]

    def search(steps):
        return Inversion(layer="features", steps=steps, step_size=0.3, highest=HIGHEST).invert(model, clips, start)

    result = search(12)
    assert result.distance_per_step.shape == (13, 3)
    torch.testing.assert_close(result.distance, result.distance_per_step.min(dim=0).values, atol=1e-4, rtol=1e-2)
    assert torch.equal(result.best_step, result.distance_per_step.argmin(dim=0))
    assert result.best_step[0] == 0 and (result.best_step[1:] > 0).all(), "each its own"
    assert (result.distance < result.distance_per_step[-1]).any(), "the last iterate was not the best for all"
    last = int(result.best_step[1])
    shorter = search(last)  # the same search, ended at the second clip's best iterate
    assert shorter.best_step[1] == last, "the last iterate is scored"
    torch.testing.assert_close(shorter.found[1], result.found[1], atol=1e-5, rtol=1e-5)


def test_a_clips_result_does_not_depend_on_its_neighbours(model, clips):
    start = noise(len(clips), FRAMES, BANDS, seed=3)
    together = Inversion(layer="features", steps=4, highest=HIGHEST).invert(model, clips, start)
    alone = Inversion(layer="features", steps=4, highest=HIGHEST, batch_size=1).invert(model, clips, start)
    torch.testing.assert_close(together.found, alone.found, atol=2e-3, rtol=1e-3)
    again = Inversion(layer="features", steps=4, highest=HIGHEST).invert(model, clips, start)
    assert torch.equal(together.found, again.found), "same seed, same numbers"


def test_nothing_leaves_the_range_of_spectrograms(model, clips):
    low, high = limits(model, HIGHEST)
    assert low * 0.42 + 0.4 == pytest.approx(0, abs=1e-6) and high * 0.42 + 0.4 == pytest.approx(HIGHEST, abs=1e-6)
    search = Inversion(layer="block 1", steps=4, step_size=0.3, highest=HIGHEST)
    result = search.invert(model, clips, noise(len(clips), FRAMES, BANDS, spread=5.0))
    found = result.found
    assert (result.best_step > 0).all(), "steps were taken, from a start with many cells at the limits"
    assert found.min() >= low - 1e-6 and found.max() <= high + 1e-6


def test_the_network_is_left_as_it_was(model, clips):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Inversion(layer="features", steps=1).invert(model, clips[:1], noise(1, FRAMES, BANDS))
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    model.eval()


def test_a_waveform_is_found_through_the_front_end(model):
    seconds = torch.arange(22050 * 2) / 22050
    tone = (0.5 * torch.sin(2 * torch.pi * 440 * seconds))[None]
    wanted = model.standardise(model.front_end(tone))
    start = white_noise(1, tone.shape[1], seed=0)
    search = Inversion(layer="block 1", steps=15, domain="waveform")
    result = search.invert(model, wanted, start)
    assert result.found.shape == tone.shape and result.found.abs().max() <= 1
    assert result.distance.item() < 0.7 * result.distance_per_step[0].item()
    again = relative_distance(
        represent(model, spectrograms_of(model, result.found, "waveform"), "block 1"),
        represent(model, wanted, "block 1"),
    )
    assert again.item() == pytest.approx(result.distance.item(), rel=1e-4)


def test_bfloat16_gradients_are_judged_in_float32(model, clips):
    start = noise(len(clips), FRAMES, BANDS, seed=4)
    result = Inversion(layer="block 1", steps=8, precision="bfloat16", highest=HIGHEST).invert(model, clips, start)
    said = relative_distance(represent(model, result.found, "block 1"), represent(model, clips, "block 1"))
    torch.testing.assert_close(said, result.distance)


def test_the_last_iterate_wins_where_float32_finds_it_better(model, clips):
    search, random = Inversion(layer="features", steps=9), torch.Generator().manual_seed(0)
    far, near = (clips + spread * torch.randn(clips.shape, generator=random) for spread in (1.0, 0.01))
    found, reached, step = search._judge(model, clips, (far, torch.tensor([4, 4, 4])), near)
    assert torch.equal(found, near) and step.tolist() == [9, 9, 9]
    kept, better, step = search._judge(model, clips, (near, torch.tensor([4, 4, 4])), far)
    assert torch.equal(kept, near) and step.tolist() == [4, 4, 4] and torch.equal(better, reached)


def test_every_draw_and_clip_has_noise_of_its_own():
    draws = torch.cat([noise(2, 40, 30, seed=seed) for seed in (0, 1)])
    correlations = np.corrcoef(draws.flatten(1).numpy()) - np.eye(4)
    assert np.abs(correlations).max() < 0.1 and draws.std() == pytest.approx(0.1, rel=0.05)
    assert torch.equal(noise(2, 40, 30, seed=0), draws[:2]) and torch.equal(noise(1, 40, 30, seed=0), draws[:1])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"layer": "block 4"}, "layer is one of"),
        ({"layer": "features", "domain": "mel"}, "domain"),
        ({"layer": "features", "steps": -1}, "steps"),
        ({"layer": "features", "step_size": 0.0}, "step_size"),
        ({"layer": "features", "precision": "half"}, "precision"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        Inversion(**wrong)
