"""Agreement of explanations: worked-out values, windows that end at the edges, and what chance alone gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from scipy.ndimage import gaussian_filter

from mer_lib import lens, lens_chance

# Highest two cells before: (0, 3) and (2, 0); after: (1, 0) and (1, 1)
BEFORE = np.array([[0, 0, 0, 9], [1, 0, 0, 0], [8, 0, 0, 0]])
AFTER = np.array([[0, 0, 0, 1], [9, 8, 0, 0], [1, 0, 0, 0]])

small_maps = arrays.arrays(
    np.float64, st.tuples(st.just(2), st.integers(1, 6), st.integers(1, 6)), elements=st.integers(-9, 9)
)
windows = st.tuples(st.integers(0, 3), st.integers(0, 3))


def near_by_loops(cells: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    found = np.zeros_like(cells)
    for i, j in np.argwhere(cells):
        for di in range(-window[0], window[0] + 1):
            for dj in range(-window[1], window[1] + 1):
                if 0 <= i + di < cells.shape[0] and 0 <= j + dj < cells.shape[1]:
                    found[i + di, j + dj] = True
    return found


def test_the_three_scores_of_two_small_maps_as_worked_out_by_hand():
    assert lens.top_k(BEFORE, AFTER, 2) == 0
    assert lens.recall(BEFORE, AFTER, 2, 1) == 1  # both lie around (2, 0)
    assert lens.precision(BEFORE, AFTER, 2, 1) == 0.5  # (0, 3) is far from (1, 0) and (1, 1)
    assert lens.recall(BEFORE, AFTER, 2, (0, 1)) == 0  # another frame
    assert lens.recall(BEFORE, AFTER, 2, (1, 0)) == 0.5  # (1, 0) alone lies a frame from (2, 0)
    assert lens.precision(BEFORE, AFTER, 2, (1, 2)) == 1 and isinstance(lens.top_k(BEFORE, AFTER, 2), float)


def test_a_window_does_not_wrap_into_the_next_frame():
    last, first = np.zeros((2, 4)), np.zeros((2, 4))
    last[0, 3] = first[1, 0] = 1  # neighbours as flat indices 3 and 4
    assert lens.recall(last, first, 1, 1) == 0 and lens.precision(last, first, 1, 1) == 0


def test_cell_0_counts():
    corner = np.zeros((3, 3))
    corner[0, 0] = 1
    assert lens.recall(corner, corner, 1, 1) == 1 and lens.top_k(corner, corner, 1) == 1
    assert lens.diverse_top_k(corner, 1, 1).tolist() == [[0, 0]]
    beside = np.roll(corner, 1, axis=1)
    assert lens.recall(beside, corner, 1, 1) == 1, "cell 0 lies in its neighbour's window"


def test_the_diverse_top_k_skips_nothing_but_windows():
    row = np.array([[9.0, 8, 7, 6, 5, 4, 3]])
    assert lens.diverse_top_k(row, 3, (0, 1)).tolist() == [[0, 0], [0, 2], [0, 4]]
    assert lens.diverse_top_k(row, 9 - 2, (0, 1))[:, 1].tolist() == [0, 2, 4, 6], "no more cells are left"
    assert lens.diverse_top_k(row, 3, 0)[:, 1].tolist() == [0, 1, 2]
    peaks = np.array([[5.0, 9, 0], [0, 0, 0], [0, 0, 8]])
    assert lens.diverse_top_k(peaks, 2, 1).tolist() == [[0, 1], [2, 2]]


def test_diverse_scores_by_hand():
    a = np.array([[9.0, 8, 7, 1, 2, 3, 4]])  # diverse: cells 0, 2 (plain: 0, 1)
    b = np.array([[1.0, 2, 9, 8, 3, 7, 0]])  # diverse: cells 2, 5 (plain: 2, 3)
    assert lens.top_k(a, b, 2) == 0 and lens.top_k(a, b, 2, diverse=(0, 1)) == 0.5
    assert lens.recall(a, b, 2, (0, 1), diverse=True) == 0.5 and lens.precision(a, b, 2, (0, 1), diverse=True) == 0.5


def test_signed_values_are_ranked_unless_magnitudes_are_asked_for():
    a, b = np.array([[-9.0, 1, 0]]), np.array([[9.0, 1, 0]])
    assert lens.top_k(a, b, 1) == 0 and lens.top_k(a, b, 1, absolute=True) == 1
    assert lens.spearman(a, b) < 1 and lens.spearman(a, b, absolute=True) == pytest.approx(1)
    assert lens.diverse_top_k(a, 1, 0, absolute=True).tolist() == [[0, 0]]


@given(small_maps, windows, st.data())
@settings(max_examples=150)
def test_scores_equal_loops_over_cells(maps, window, data):
    a, b = maps
    k = data.draw(st.integers(1, a.size))
    ranked = [sorted(range(a.size), key=lambda i, m=m: (-m.flat[i], i))[:k] for m in maps]
    first, second = (np.isin(np.arange(a.size), chosen).reshape(a.shape) for chosen in ranked)
    assert lens.top_k(a, b, k) == np.sum(first & second) / k
    assert lens.recall(a, b, k, window) == np.sum(near_by_loops(first, window) & second) / k
    assert lens.precision(a, b, k, window) == np.sum(first & near_by_loops(second, window)) / k
    assert lens.recall(a, b, k, window) >= lens.top_k(a, b, k)
    assert lens.recall(a, b, k, tuple(r + 1 for r in window)) >= lens.recall(a, b, k, window)
    kept = lens.diverse_top_k(a, k, window)
    apart = np.abs(kept[:, None] - kept[None]) > np.array(window)
    assert (apart.any(axis=2) | np.eye(len(kept), dtype=bool)).all(), "no two share a window"
    if len(kept) < k:
        mask = np.zeros(a.shape, dtype=bool)
        mask[tuple(kept.T)] = True
        assert near_by_loops(mask, window).all(), "it stops early only where nothing is left"


def test_rank_correlations_equal_scipys_on_maps_that_are_smoothed_by_hand():
    a, b = np.random.default_rng(0).normal(size=(2, 7, 5))
    assert lens.spearman(a, b) == pytest.approx(stats.spearmanr(a.ravel(), b.ravel()).statistic)
    assert lens.kendall(a, b) == pytest.approx(stats.kendalltau(a.ravel(), b.ravel()).statistic)
    by_hand = [
        [[m[max(0, i - 2) : i + 3, max(0, j - 1) : j + 2].mean() for j in range(5)] for i in range(7)] for m in (a, b)
    ]
    np.testing.assert_allclose(lens.smoothed(a, (2, 1)), by_hand[0])
    flat = np.reshape(by_hand, (2, -1))
    assert lens.spearman(a, b, (2, 1)) == pytest.approx(stats.spearmanr(*flat).statistic)
    assert lens.kendall(a, b, (2, 1)) == pytest.approx(stats.kendalltau(*flat).statistic)
    assert lens.spearman(a, np.zeros_like(a)) == 0


def test_a_stack_of_maps_gives_what_each_gives():
    a, b = np.random.default_rng(1).normal(size=(2, 3, 9, 8))
    for score in (lens.top_k(a, b, 9), lens.recall(a, b, 9, (1, 2)), lens.spearman(a, b, 1), lens.kendall(a, b, 1)):
        assert score.shape == (3,)
    np.testing.assert_array_equal(
        lens.precision(a, b, 9, 1, diverse=True),
        [lens.precision(x, y, 9, 1, diverse=True) for x, y in zip(a, b, strict=True)],
    )
    assert lens.mass_centre(a).shape == (3, 2)


def test_the_mass_centre_of_two_cells_lies_between_them():
    values = np.zeros((5, 5))
    values[0, 0], values[4, 2] = 1, -3
    np.testing.assert_allclose(lens.mass_centre(values), [3, 1.5])
    np.testing.assert_allclose(lens.mass_centre(values, absolute=False), [0, 0])
    assert np.isnan(lens.mass_centre(np.zeros((2, 2)))).all()


def test_windows_in_milliseconds_and_bands_become_cells():
    assert lens.radii(100, 2) == (3, 2) and lens.radii(0, 0) == (0, 0) and lens.radii(1000, 1) == (31, 1)
    assert lens.milliseconds(3) == pytest.approx(95.85, abs=0.01)
    for wrong in ((-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="negative"):
            lens.radii(*wrong)


@pytest.mark.parametrize(
    "call",
    [
        lambda: lens.top_k(BEFORE, AFTER[:2], 1),
        lambda: lens.top_k(BEFORE, AFTER, 13),
        lambda: lens.recall(BEFORE, AFTER, 0, 1),
        lambda: lens.recall(BEFORE, AFTER, 2, -1),
        lambda: lens.recall(BEFORE, AFTER, 2, (1, 2, 3)),
        lambda: lens.spearman(np.full((2, 2), np.nan), np.zeros((2, 2))),
        lambda: lens_chance.agreement(BEFORE, AFTER, 2, 1, measures=("top-3",)),
    ],
)
def test_what_makes_no_sense_is_refused(call):
    with pytest.raises(ValueError):
        call()


def test_two_maps_of_noise_agree_as_the_paper_found():
    """28 x 28 cells, k = 100: 0.13 in top-k, 0.69 in 3 x 3 windows, 0.95 in 5 x 5."""
    a, b = np.random.default_rng(0).normal(size=(2, 200, 28, 28))
    for window, published in ((0, 0.13), (1, 0.69), (2, 0.95)):
        expected = lens_chance.noise_chance((28, 28), 100, window)
        assert round(expected, 2) == published
        assert lens.recall(a, b, 100, window).mean() == pytest.approx(expected, abs=0.005)
    assert lens.top_k(a, b, 100).mean() == pytest.approx(100 / 784, abs=0.005)


def test_chance_of_noise_by_hand():
    # Three cells in a row, one drawn: their windows hold 2, 3 and 2 cells
    assert lens_chance.noise_chance((1, 3), 1, 1) == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert lens_chance.noise_chance((1, 4), 2, (0, 1)) == pytest.approx(
        (5 / 6 + 1 + 1 + 5 / 6) / 4
    )  # 1 - C(2,2)/C(4,2)
    assert lens_chance.noise_chance((4, 5), 20, 0) == 1


@given(small_maps, windows, st.data())
@settings(max_examples=40)
def test_shifts_are_all_circular_shifts_and_their_mean_is_what_the_windows_cover(maps, window, data):
    a, b = maps
    k = data.draw(st.integers(1, a.size))
    near = lens.neighbourhood(lens.top_cells(a, k), window)
    cells = lens.top_cells(b, k)
    scores = lens_chance.shift_scores(near, cells, k)
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            assert scores[i, j] == pytest.approx(lens.share(near, np.roll(cells, (i, j), axis=(0, 1))), abs=1e-9)
    table = lens_chance.agreement(a, b, k, window, measures=("LENS-recall", "top-k"), draws=2).set_index("measure")
    assert table.loc["LENS-recall", "chance_shifts"] == pytest.approx(near.mean())
    assert table.loc["top-k", "chance_shifts"] == pytest.approx(k / a.size)
    assert table.loc["LENS-recall", "chance_time"] == pytest.approx(scores[:, 0].mean())


def smooth_noise(seed: int, clips: int = 40, scale: tuple[int, int] = (5, 3)) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(clips, 60, 40))
    return gaussian_filter(noise, (0, *scale), mode="wrap")


def test_corrected_agreement_is_0_by_chance_and_1_for_the_same_maps():
    a, b = smooth_noise(0), smooth_noise(1)
    apart = lens_chance.agreement(a, b, 100, 1, measures=lens_chance.MEASURES, draws=4)
    mean = apart.groupby("measure").mean()
    for null in ("shifts", "time", "clips"):
        assert (mean[f"corrected_{null}"].abs() < 0.06).all(), null
    same = lens_chance.agreement(a[:3], a[:3], 100, 1, measures=lens_chance.MEASURES, draws=4)
    corrected = same[[name for name in same if name.startswith("corrected_")]]
    np.testing.assert_allclose(corrected, 1, atol=1e-6)
    noise = lens_chance.agreement(*np.random.default_rng(2).normal(size=(2, 40, 60, 40)), 100, 1, draws=40)
    means = noise.groupby("measure")[["corrected_noise", "corrected_shifts"]].mean()
    assert (means.abs() < 0.03).all(axis=None), "for maps without structure all nulls are one"


def test_smooth_maps_agree_less_than_noise_on_average_and_more_when_they_meet():
    """Clumps cover less of the map, so noise is the wrong null for them in both directions."""
    table = lens_chance.agreement(smooth_noise(0), smooth_noise(1), 100, 1, draws=4).groupby("measure").mean()
    rough = lens_chance.agreement(*np.random.default_rng(3).normal(size=(2, 40, 60, 40)), 100, 1, draws=4)
    rough = rough.groupby("measure").mean()
    assert table.loc["LENS-recall", "chance_shifts"] < 0.6 * table.loc["LENS-recall", "chance_noise"]
    for measure in ("top-k", "LENS-recall", "Spearman"):
        assert table.loc[measure, "spread_shifts"] > 2 * rough.loc[measure, "spread_shifts"]


def test_maps_that_share_their_bands_agree_by_a_chance_that_shifts_in_time_find():
    profile = 3 * np.exp(-(((np.arange(40) - 12) / 3) ** 2))
    a, b = (np.random.default_rng(seed).normal(size=(30, 60, 40)) + profile for seed in (4, 5))
    table = lens_chance.agreement(a, b, 100, 0, measures=("top-k", "Spearman"), draws=2).groupby("measure").mean()
    assert (table["corrected_shifts"] > 0.05).all() and (table["corrected_noise"] > 0.05).all()
    assert (table[["corrected_time", "corrected_clips"]].abs() < 0.02).all(axis=None)


def test_where_chance_is_certain_nothing_is_left_to_correct():
    assert np.isnan(lens_chance.corrected(1.0, 1.0)) and lens_chance.corrected(0.5, 0.5) == 0
    np.testing.assert_allclose(lens_chance.corrected([0.69, 0.845], 0.69), [0, 0.5])


def test_all_shifts_begin_with_the_score_and_windows_of_several_sizes_are_agreements():
    a, b = smooth_noise(0, 3), smooth_noise(1, 3)
    found = lens_chance.all_shifts(a[0], b[0], 100, (2, 1), ("top-k", "LENS-recall", "LENS-Spearman"))
    assert found["top-k"][0, 0] == pytest.approx(lens.top_k(a[0], b[0], 100))
    assert found["LENS-recall"][0, 0] == pytest.approx(lens.recall(a[0], b[0], 100, (2, 1)))
    assert found["LENS-Spearman"][0, 0] == pytest.approx(lens.spearman(a[0], b[0], (2, 1)))
    table = lens_chance.windows(a, b, 100, (0, 64), (0, 2))
    assert table["score"].tolist() == pytest.approx(
        [np.mean(lens.recall(a, b, 100, window)) for window in ((0, 0), (0, 2), (2, 0), (2, 2))]
    )
    assert table["corrected"].notna().all()
