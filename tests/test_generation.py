"""Generation: the starts follow the class, the ball holds, and what is asked for rises."""

import numpy as np
import pytest
import torch

from mer_lib.generation import Generation, gaussian_starts, output_of, rated_highest
from mer_lib.models import build

FRAMES, BANDS = 61, 149


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return build("A2M2E", width=0.0625, mean=0.4, std=0.42).eval()


@pytest.fixture(scope="module")
def start(model):
    pictures = np.random.default_rng(0).uniform(0, 1.5, (10, FRAMES, BANDS))
    return model.standardise(gaussian_starts(pictures, 2))


def test_the_clips_rated_highest_are_chosen_and_unrated_ones_never():
    ratings = np.array([np.nan, *np.linspace(0, 1, 100), np.nan])
    assert set(rated_highest(ratings)) == set(range(91, 101))
    assert len(rated_highest(ratings[:12])) == 8, "at least eight"
    assert set(rated_highest([0.1, np.nan, 0.3])) == {0, 2}


def test_draws_have_the_mean_and_the_spread_of_the_pictures_they_were_fitted_to():
    random = np.random.default_rng(1)
    pattern = 0.5 + np.add.outer(np.arange(32) / 40, np.arange(30) / 60)  # a slope, which interpolation keeps
    loud = random.normal(1, 0.2, (200, 1, 1))
    starts = gaussian_starts(pattern * loud, 300, seed=2).numpy()
    small = starts.reshape(300, 4, 8, 5, 6).mean(axis=(2, 4))
    truth = pattern.reshape(4, 8, 5, 6).mean(axis=(1, 3))
    np.testing.assert_allclose(small[:, 1:-1, 1:-1].mean(axis=0), truth[1:-1, 1:-1], rtol=0.05)
    # One loudness moves all cells together: so it does in the draws
    both = np.corrcoef(small[:, 1, 1], small[:, 2, 3])[0, 1]
    assert both > 0.9
    assert small.mean(axis=(1, 2)).std() == pytest.approx(0.2 * truth.mean(), rel=0.15)


def test_draws_are_smooth_not_negative_and_repeatable():
    pictures = np.random.default_rng(0).uniform(0, 1, (12, FRAMES, BANDS))
    starts = gaussian_starts(pictures, 3, seed=5)
    assert starts.shape == (3, FRAMES, BANDS) and starts.min() >= 0
    assert torch.equal(starts, gaussian_starts(pictures, 3, seed=5))
    assert not torch.equal(starts, gaussian_starts(pictures, 3, seed=6))
    # What is finer than a cell was averaged away
    assert starts.diff(dim=1).abs().mean() < 0.1 * np.abs(np.diff(pictures, axis=1)).mean()
    with pytest.raises(ValueError, match="at least two"):
        gaussian_starts(pictures[:1], 1)


@pytest.mark.parametrize("output", ["sad", "melodiousness"])
def test_the_output_rises_within_the_ball(model, start, output):
    result = Generation(output=output, budget=0.3, steps=8).generate(model, start)
    said = output_of(model(result.found), output)
    torch.testing.assert_close(said, result.output)
    torch.testing.assert_close(output_of(model(result.start), output), result.output_start)
    assert (result.output > result.output_start).all()
    measured = (result.found - result.start).flatten(1).double().norm(dim=1) / result.start.flatten(1).double().norm(
        dim=1
    )
    assert (measured <= 0.3).all()
    torch.testing.assert_close(measured.float(), result.change)
    low = -float(model.mean / model.std)
    assert result.found.min() >= low - 1e-6


def test_a_larger_ball_takes_the_output_farther(model, start):
    reached = [Generation(output="sad", budget=b, steps=8).generate(model, start).output for b in (0.1, 0.3, 0.9)]
    assert (reached[0] < reached[1]).all() and (reached[1] < reached[2]).all()
    nothing = Generation(output="sad", budget=0.0, steps=2).generate(model, start)
    assert torch.equal(nothing.found, nothing.start)


def test_a_set_value_is_met_and_not_passed(model, start):
    far = Generation(output="sad", budget=0.5, steps=10).generate(model, start)
    wanted = float((far.output_start.max() + far.output.min()) / 2)
    result = Generation(output="sad", target=wanted, budget=0.5, steps=30).generate(model, start)
    assert ((result.output - wanted).abs() < 0.1 * (far.output - far.output_start)).all()


def test_the_best_iterate_of_each_clip_is_kept(model, start):
    result = Generation(output="sad", target=0.2, budget=2.0, steps=9, step_size=0.7).generate(model, start)
    merit = -(result.output_per_step - 0.2).abs()
    torch.testing.assert_close(-(result.output - 0.2).abs(), merit.max(dim=0).values, atol=1e-4, rtol=1e-3)
    assert torch.equal(merit.argmax(dim=0), result.best_step)


def test_a_waveform_is_raised_through_the_front_end(model):
    noise = torch.tensor(np.random.default_rng(0).normal(0, 0.1, (1, 22050)), dtype=torch.float32)
    result = Generation(output="sad", budget=0.5, steps=4, domain="waveform").generate(model, noise)
    assert result.output > result.output_start and result.found.abs().max() <= 1
    torch.testing.assert_close(output_of(model.from_waveform(result.found), "sad"), result.output)


def test_an_output_that_is_not_there_is_named():
    black_box = build("A2E", width=0.0625)
    with pytest.raises(ValueError, match="no mid-level output 'minorness'"):
        output_of(black_box.eval()(torch.zeros(1, FRAMES, BANDS)), "minorness")
    with pytest.raises(ValueError, match="output is one of"):
        Generation(output="boredom")
    with pytest.raises(ValueError, match="budget"):
        Generation(output="sad", budget=-1)
