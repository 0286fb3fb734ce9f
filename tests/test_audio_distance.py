"""The Frechet audio distance: zero for the same set, the known value for Gaussians, and more for worse sounds."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from mer_lib.audio_distance import Embedding, features, frechet_distance, gaussian_frechet, window_features

RATE = 22050


def piece(seed: int, seconds: float = 4) -> np.ndarray:
    """Three decaying tones of a random chord, again and again at a random tempo."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    tempo, notes = random.uniform(1, 4), 220 * 2 ** (random.integers(0, 24, 3) / 12)
    tones = sum(np.sin(2 * np.pi * note * k * time) / k for note in notes for k in (1, 2, 3))
    return (0.1 * tones * np.exp(-((time * tempo) % 1) * 3) + 1e-4 * random.normal(size=len(time))).astype(np.float32)


@pytest.fixture(scope="module")
def clips():
    return np.stack([piece(seed) for seed in range(24)])


@pytest.fixture(scope="module")
def recordings(clips):
    return features(clips)


@pytest.fixture(scope="module")
def embedding(recordings):
    return Embedding.fit(recordings[:16], dimensions=6)


def covariance(random, size):
    values = random.normal(size=(size, size + 2))
    return values @ values.T / size


@settings(max_examples=20)
@given(st.integers(0, 100_000), st.integers(1, 8))
def test_the_distance_of_gaussians_is_the_published_formula(seed, size):
    """Dowson and Landau (1982), with SciPy's general matrix square root; symmetric, and zero for the same Gaussian."""
    random = np.random.default_rng(seed)
    first, second = (
        (random.normal(size=size), covariance(random, size)),
        (random.normal(size=size), covariance(random, size)),
    )
    root = scipy.linalg.sqrtm(first[1] @ second[1]).real
    formula = ((first[0] - second[0]) ** 2).sum() + np.trace(first[1] + second[1] - 2 * root)
    assert gaussian_frechet(*first, *second) == pytest.approx(formula, rel=1e-5, abs=1e-6)
    assert gaussian_frechet(*first, *second) == pytest.approx(gaussian_frechet(*second, *first), rel=1e-6, abs=1e-8)
    assert gaussian_frechet(*first, *first) == pytest.approx(0, abs=1e-6)


def test_worked_examples():
    assert gaussian_frechet([0.0], [[4.0]], [3.0], [[1.0]]) == pytest.approx(9 + (2 - 1) ** 2)
    diagonal = gaussian_frechet([0, 0], np.diag([1.0, 9.0]), [1, 2], np.diag([4.0, 4.0]))
    assert diagonal == pytest.approx(1 + 4 + (1 - 2) ** 2 + (3 - 2) ** 2)
    assert gaussian_frechet([0, 0], np.diag([1.0, 0.0]), [0, 0], np.diag([0.0, 1.0])) == pytest.approx(2), "singular"


def test_samples_of_known_gaussians_come_near_the_closed_form():
    random = np.random.default_rng(3)
    wanted = [covariance(random, 4), covariance(random, 4)]
    draws = [
        random.multivariate_normal([shift] * 4, c, size=(400, 10)) for shift, c in zip((0, 1), wanted, strict=True)
    ]
    truth = gaussian_frechet([0] * 4, wanted[0], [1] * 4, wanted[1])
    assert frechet_distance(*draws) == pytest.approx(truth, rel=0.05)


def test_a_set_is_at_zero_from_itself_and_as_far_there_as_back(embedding, recordings):
    first, second = embedding(recordings[:8]), embedding(recordings[8:16])
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-6)
    assert frechet_distance(first, first[::-1]) == pytest.approx(0, abs=1e-6), "the order of the clips is nothing"


def test_it_grows_with_the_noise_that_is_added(clips, recordings, embedding):
    reference, held_out = embedding(recordings[:16]), clips[16:]
    random = np.random.default_rng(0)
    noise = random.normal(size=held_out.shape) * np.sqrt((held_out**2).mean(axis=1, keepdims=True))
    levels = [0, 0.03, 0.1, 0.3, 1, 10]
    distances = [frechet_distance(embedding(features(held_out + level * noise)), reference) for level in levels]
    assert distances == sorted(distances), distances
    assert distances[-1] > 10 * distances[0], "noise is far beyond the floor"


def test_smaller_sets_lie_farther_away():
    """The bias that a floor of the same size is for."""
    random = np.random.default_rng(5)
    reference = random.normal(size=(200, 9, 8))
    mean = {
        n: np.mean([frechet_distance(random.normal(size=(n, 9, 8)), reference) for _ in range(20)]) for n in (2, 8, 32)
    }
    assert mean[2] > mean[8] > mean[32]


def test_features_of_ten_seconds_and_what_has_none():
    windows = window_features(piece(0, 10))
    assert windows.shape == (9, 58) and np.isfinite(windows).all()
    assert np.isfinite(window_features(np.pad(piece(0, 3), (0, 3 * RATE)))).all(), "digital silence within a clip"
    for wrong in (np.zeros(5 * RATE), piece(0, 1), np.full(5 * RATE, np.nan), np.zeros((2, 5 * RATE))):
        with pytest.raises(ValueError, match=r"silent|needed"):
            window_features(wrong)


def test_the_level_is_left_out():
    clip = piece(1)
    np.testing.assert_allclose(window_features(0.01 * clip), window_features(clip), rtol=1e-3, atol=1e-3)


def test_chroma_and_onsets_mean_what_they_say():
    """The last twelve features are pitch classes: an A is the tenth. The onsets grow with the number of strokes."""
    time = np.arange(4 * RATE) / RATE
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    assert (window_features(tone)[:, -12:].argmax(axis=1) == 9).all()
    few, many = (window_features(tone * np.exp(-((time * rate) % 1) * 6)) for rate in (1, 6))
    assert many[:, 22].mean() > few[:, 22].mean()


def test_the_embedding_keeps_the_axes_that_vary_most(recordings):
    whole = Embedding.fit(recordings[:16], dimensions=20)(recordings[:16]).reshape(-1, 20)
    variances = whole.var(axis=0)
    assert (np.diff(variances) <= 1e-9).all() and variances.sum() <= recordings.shape[-1] + 1e-6
    np.testing.assert_allclose(np.corrcoef(whole[:, :8].T), np.eye(8), atol=1e-6)
    with pytest.raises(ValueError, match="cannot span"):
        Embedding.fit(recordings[:2, :2], dimensions=12)
