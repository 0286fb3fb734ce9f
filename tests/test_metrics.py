"""The metrics are what the paper says they are, and their traps are closed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import pearsonr

from mer_lib import metrics

tables = arrays(np.float64, (12, 8), elements=st.floats(0, 1, width=32))


@given(tables, tables)
def test_correlation_is_pearsons(ratings, predictions):
    ours = metrics.correlations(ratings, predictions)
    for emotion in range(8):
        a, b = ratings[:, emotion], predictions[:, emotion]
        if a.std() > 1e-3 and b.std() > 1e-3:
            assert ours[emotion] == pytest.approx(pearsonr(a, b).statistic, abs=1e-6)
        if np.ptp(a) == 0 or np.ptp(b) == 0:
            assert ours[emotion] == 0
    assert (np.abs(ours) <= 1).all()


@given(tables, tables, st.permutations(range(12)))
def test_the_order_of_clips_changes_nothing(ratings, predictions, order):
    for metric in (metrics.mean_correlation, metrics.mean_absolute_error):
        assert metric(ratings[order], predictions[order]) == pytest.approx(metric(ratings, predictions), abs=1e-9)


def test_scale_and_offset_of_predictions_do_not_matter_to_correlation_but_to_error():
    ratings = np.random.default_rng(0).uniform(size=(20, 8))
    assert metrics.mean_correlation(ratings, 3 * ratings - 1) == pytest.approx(1)
    assert metrics.mean_absolute_error(ratings, ratings + 0.25) == pytest.approx(0.25)


def test_a_constant_prediction_counts_as_zero_and_not_nan():
    ratings = np.random.default_rng(0).uniform(size=(20, 8))
    predictions = ratings.copy()
    predictions[:, :4] = 0.3
    assert metrics.mean_correlation(ratings, predictions) == pytest.approx(0.5)


def test_unrated_cells_are_left_out():
    random = np.random.default_rng(0)
    ratings, predictions = random.uniform(size=(20, 8)), random.uniform(size=(20, 8))
    holes = ratings.copy()
    holes[:5, 2] = np.nan
    assert metrics.correlations(holes, predictions)[2] == pytest.approx(
        pearsonr(ratings[5:, 2], predictions[5:, 2]).statistic
    )
    holes[:, 3] = np.nan
    others = [0, 1, 2, 4, 5, 6, 7]
    assert np.isnan(metrics.correlations(holes, predictions)[3])
    assert metrics.mean_correlation(holes, predictions) == pytest.approx(
        metrics.correlations(holes, predictions)[others].mean()
    )


def test_tensors_and_arrays_agree():
    a, b = torch.rand(10, 8), torch.rand(10, 8)
    assert metrics.mean_correlation(a, b) == metrics.mean_correlation(a.numpy(), b.numpy())


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="clips, outputs"):
        metrics.mean_correlation(np.zeros((3, 8)), np.zeros((4, 8)))


@given(st.floats(-10, 90), st.integers(0, 1000))
def test_snr_is_what_was_put_in(wanted, seed):
    random = np.random.default_rng(seed)
    clean, noise = random.normal(size=(2, 500)), random.normal(size=(2, 500))
    noise *= (np.linalg.norm(clean, axis=1) / np.linalg.norm(noise, axis=1) * 10 ** (-wanted / 20))[:, None]
    np.testing.assert_allclose(metrics.snr_db(clean, clean + noise), wanted, atol=1e-3)


def test_snr_of_nothing_changed_is_infinite_and_segmental_snr_is_bounded():
    clean = np.random.default_rng(0).normal(size=(1, 4410))
    assert metrics.snr_db(clean, clean)[0] == np.inf
    assert metrics.segmental_snr_db(clean, clean)[0] == 35
    assert metrics.segmental_snr_db(clean, -clean * 10)[0] == -10
    noisy = clean + 0.1 * np.random.default_rng(1).normal(size=clean.shape)
    assert metrics.segmental_snr_db(clean, noisy)[0] == pytest.approx(20, abs=1)


def test_absolute_errors_by_hand():
    found = metrics.absolute_errors(np.array([[0, 0.5], [1, np.nan]]), np.array([[0.3, 0.1], [0.6, 0.9]]))
    assert found == pytest.approx([0.35, 0.4])


def test_segmental_snr_is_a_mean_over_frames():
    clean = np.random.default_rng(0).normal(size=(1, 4410))
    noise = clean * np.where(np.arange(4410) < 2205, 0.1, 1.0)  # half of the frames at 20 dB, half at 0
    assert metrics.segmental_snr_db(clean, clean + noise)[0] == pytest.approx(10, abs=0.5)
    assert metrics.snr_db(clean, clean + noise)[0] == pytest.approx(3, abs=0.2)


def test_the_spread_leaves_out_what_nobody_rated():
    answers = np.random.default_rng(0).normal(size=(9, 4)) * [1, 2, 50, 3]
    ratings = np.where([True, True, False, True], 0.5, np.nan) * np.ones((9, 1))
    assert metrics.spread(answers, ratings) == pytest.approx(metrics.spread(answers[:, [0, 1, 3]]))
    assert metrics.spread(answers) > 2 * metrics.spread(answers, ratings)
    assert np.isnan(metrics.spread(answers, np.full_like(answers, np.nan)))
