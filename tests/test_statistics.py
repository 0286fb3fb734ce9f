"""Statistics: intervals cover what they promise, tests keep their level, and few seeds are not talked over."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mer_lib import statistics

SEEDS, CLIPS, STUDIES = 10, 36, 3000


def crossed(spread_seed: float, spread_clip: float, spread_rest: float, mean: float, studies: int = STUDIES, seed=0):
    """Differences (studies, seeds, clips) with what all seeds and all clips have in common."""
    random = np.random.default_rng(seed)
    return (
        mean
        + spread_seed * random.normal(size=(studies, SEEDS, 1))
        + spread_clip * random.normal(size=(studies, 1, CLIPS))
        + spread_rest * random.normal(size=(studies, SEEDS, CLIPS))
    )


def coverage(interval: statistics.Interval, mean: float) -> float:
    return float(np.mean((interval.low <= mean) & (mean <= interval.high)))


WORLDS = {"balanced": (0.3, 0.5, 1.0), "seeds decide": (1.0, 0.3, 1.0), "clips decide": (0.05, 1.0, 0.5)}


@pytest.mark.parametrize("mean", [0.0, 0.7], ids=["no difference", "a difference"])
@pytest.mark.parametrize("world", WORLDS)
def test_95_percent_intervals_cover_92_to_98_percent(world, mean):
    values = crossed(*WORLDS[world], mean)
    assert 0.92 <= coverage(statistics.random_effects_interval(values), mean) <= 0.98


@pytest.mark.parametrize("mean", [0.0, 0.7], ids=["no difference", "a difference"])
@pytest.mark.parametrize("world", WORLDS)
def test_the_crossed_bootstrap_covers_too_and_errs_on_the_wide_side(world, mean):
    values = crossed(*WORLDS[world], mean, studies=800)
    assert 0.92 <= coverage(statistics.crossed_bootstrap(values, draws=600), mean) <= 0.995


def test_what_pools_seeds_and_clips_does_not_cover():
    values = crossed(*WORLDS["seeds decide"], 0.0)
    flat = values.reshape(STUDIES, -1)
    half = stats.t.ppf(0.975, flat.shape[1] - 1) * flat.std(axis=1, ddof=1) / np.sqrt(flat.shape[1])
    assert np.mean(np.abs(flat.mean(axis=1)) <= half) < 0.6


def test_the_permutation_test_keeps_its_level_and_the_pooled_one_does_not():
    values = crossed(*WORLDS["seeds decide"], 0.0, studies=600)
    exact = np.array([statistics.permutation_test(part.mean(axis=1)) for part in values])
    pooled = np.array([statistics.pooled_t_test(part, np.zeros_like(part))[1] for part in values])
    assert np.mean(exact <= 0.05) <= 0.08
    assert np.mean(pooled <= 0.05) > 0.3


def test_without_common_seeds_and_clips_the_interval_is_nearly_that_of_independent_values():
    values = crossed(0.0, 0.0, 1.0, 0.0, studies=500)
    interval = statistics.random_effects_interval(values)
    naive = 2 * stats.t.ppf(0.975, SEEDS * CLIPS - 1) / np.sqrt(SEEDS * CLIPS)
    assert 1.0 <= np.median(interval.high - interval.low) / naive < 1.4


def test_one_interval_over_clips_is_scipys():
    values = np.random.default_rng(1).normal(size=(1, CLIPS))
    interval = statistics.clips_interval(values)
    theirs = stats.ttest_1samp(values[0], 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high))


def test_if_clips_are_all_alike_only_seeds_count():
    of_seed = np.random.default_rng(2).normal(size=SEEDS)
    interval = statistics.random_effects_interval(np.repeat(of_seed[:, None], CLIPS, axis=1))
    theirs = stats.ttest_1samp(of_seed, 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("count", [3, 7, 10])
def test_the_permutation_test_is_scipys(count):
    random = np.random.default_rng(count)
    first, second = random.normal(size=(2, count)) + [[0.8], [0.0]]
    theirs = stats.permutation_test(
        (first, second), lambda a, b, axis: (a - b).mean(axis=axis), permutation_type="samples", n_resamples=np.inf,
        vectorized=True,
    )  # fmt: skip
    assert statistics.permutation_test(first - second) == pytest.approx(theirs.pvalue)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(-500, 500).map(lambda n: n / 100), min_size=2, max_size=9),
    st.floats(0.1, 10),
    st.randoms(use_true_random=False),
)
def test_the_permutation_test_does_not_care_for_order_sign_and_unit(differences, unit, random):
    p = statistics.permutation_test(differences)
    shuffled = list(differences)
    random.shuffle(shuffled)
    assert statistics.permutation_test(shuffled) == pytest.approx(p)
    assert statistics.permutation_test([-value for value in differences]) == pytest.approx(p)
    assert statistics.smallest_p(len(differences)) <= p <= 1
    assert statistics.permutation_test([unit * value for value in differences]) == pytest.approx(p)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(0, 1000))
def test_an_interval_over_groups_of_one_clip_is_one_over_clips(clips, seed):
    values = np.random.default_rng(seed).normal(size=(1, clips))
    found = statistics.grouped_interval(values, np.arange(clips))
    np.testing.assert_allclose(found, statistics.clips_interval(values), rtol=1e-9, atol=1e-12)


def test_clips_of_an_album_that_go_together_are_not_counted_as_independent():
    """Twelve albums of five clips, two thirds of the variance the album's: naive intervals miss the mean too often."""
    random = np.random.default_rng(0)
    albums, times = np.repeat(np.arange(12), 5), 400
    values = np.sqrt(2) * random.normal(size=(times, 1, 12))[..., albums] + random.normal(size=(times, 1, 60))
    grouped, naive = statistics.grouped_interval(values, albums), statistics.clips_interval(values)
    hits = [np.mean((found.low <= 0) & (found.high >= 0)) for found in (grouped, naive)]
    assert 0.91 <= hits[0] <= 0.98 and hits[1] < 0.8


def test_what_seeds_have_in_common_widens_an_interval_over_groups():
    random = np.random.default_rng(1)
    albums, times = np.repeat(np.arange(8), 4), 300
    values = random.normal(size=(times, 6, 1)) + random.normal(size=(times, 1, 8))[..., albums]
    values = values + random.normal(size=(times, 6, 32))
    found = statistics.grouped_interval(values, albums)
    assert 0.92 <= np.mean((found.low <= 0) & (found.high >= 0)) <= 1
    half = np.median(found.high - found.low) / 2  # of the variances that went in: 6 seeds, 8 albums, 192 values
    assert half == pytest.approx(stats.t.ppf(0.975, 5) * np.sqrt(1 / 6 + 1 / 8 + 1 / 192), rel=0.1)
    alone = statistics.grouped_interval(values.mean(axis=1, keepdims=True), albums)
    assert (found.high - found.low > alone.high - alone.low).all()
    with pytest.raises(ValueError, match="at least two"):
        statistics.grouped_interval(values, np.zeros(32))


def test_many_seeds_are_tested_by_drawing_and_never_reach_zero():
    assert 1 / 100_001 <= statistics.permutation_test(np.ones(20)) <= 1e-4
    balanced = np.tile([1.0, -1.0], 10)
    assert statistics.permutation_test(balanced) == 1.0


def test_the_clearest_outcome_has_the_smallest_p():
    assert statistics.permutation_test([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == statistics.smallest_p(6) == 1 / 32


def test_holm_by_hand():
    np.testing.assert_allclose(statistics.holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(statistics.holm([0.6, np.nan, 0.5]), [1.0, np.nan, 1.0])


def test_the_pooled_test_is_scipys_paired_t_test():
    random = np.random.default_rng(3)
    first, second = random.normal(size=(2, 4, 5))
    theirs = stats.ttest_rel(first.ravel(), second.ravel())
    assert statistics.pooled_t_test(first, second) == (theirs.statistic, theirs.pvalue)


def test_an_effect_size_by_hand():
    differences = np.array([1.0, 2.0, 3.0])
    assert statistics.effect_size(differences) == pytest.approx(2.0 * (1 - 3 / 7))
    assert np.isnan(statistics.effect_size([1.0])) and np.isnan(statistics.effect_size([0.1] * 3))


def test_a_bootstrap_of_any_statistic():
    random = np.random.default_rng(4)
    ratings = random.normal(size=(1, CLIPS)) + np.zeros((SEEDS, 1))
    pairs = np.stack([ratings, ratings + 0.5 * random.normal(size=ratings.shape)], axis=-1)
    interval = statistics.crossed_bootstrap(
        pairs, lambda part: np.corrcoef(part[..., 0].ravel(), part[..., 1].ravel())[0, 1], draws=300
    )
    assert interval.low < interval.estimate < interval.high < 1
    again = statistics.crossed_bootstrap(pairs[..., 0], draws=50, seed=1)
    assert again == statistics.crossed_bootstrap(pairs[..., 0], draws=50, seed=1)


def test_holes_and_too_few_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        statistics.random_effects_interval([[1.0, np.nan], [1.0, 2.0]])
    with pytest.raises(ValueError, match="at least two"):
        statistics.random_effects_interval([[1.0, 2.0]])
