"""The masking model puts hand-made maskers and probes in the order that listeners do."""

import numpy as np
import pytest

from mer_lib.perceptibility import (
    FULL_SCALE_DB_SPL,
    _bands,
    _bin_powers,
    bark,
    masking_threshold,
    noise_to_mask,
    perceptibility,
    spreading_db,
    threshold_in_quiet_db,
    zimtohrli_mos,
)

RATE, SECONDS = 22050, 1.0
TIME = np.arange(int(RATE * SECONDS)) / RATE


def tone(hertz: float, level_db: float) -> np.ndarray:
    """A sine, level in dB below or above full scale."""
    return 10 ** (level_db / 20) * np.sin(2 * np.pi * hertz * TIME)


def band_noise(low: float, high: float, level_db: float, seed: int = 0) -> np.ndarray:
    """Noise between two frequencies with the power of a sine of that level."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=len(TIME)))
    hertz = np.fft.rfftfreq(len(TIME), 1 / RATE)
    signal = np.fft.irfft(np.where((hertz >= low) & (hertz <= high), spectrum, 0), len(TIME))
    return signal / np.sqrt(np.mean(signal**2)) * 10 ** (level_db / 20) / np.sqrt(2)


def nmr(masker: np.ndarray, probe: np.ndarray) -> float:
    return noise_to_mask(masker, masker + probe)[0]


def test_bark_and_threshold_are_the_published_ones():
    np.testing.assert_allclose(bark([100, 510, 1080, 2000, 4400, 9500]), [1, 5, 9, 13, 18, 22], atol=0.35)
    assert threshold_in_quiet_db(1000) == pytest.approx(3.4, abs=0.1)
    assert -6 < threshold_in_quiet_db(3300) < -4 and threshold_in_quiet_db(50) > 35


def test_a_masker_reaches_further_up_than_down():
    assert spreading_db(0) == pytest.approx(0, abs=0.01)
    assert spreading_db(5) - spreading_db(6) == pytest.approx(10, abs=0.5)
    assert spreading_db(-5) - spreading_db(-6) == pytest.approx(25, abs=0.5)


def test_ten_decibels_more_noise_are_ten_decibels_more():
    masker = band_noise(200, 4000, -20)
    quiet, loud = (nmr(masker, band_noise(200, 4000, level, seed=1)) for level in (-60, -50))
    assert loud - quiet == pytest.approx(10, abs=1e-6)


def test_a_full_scale_sine_sounds_at_the_assumed_level():
    """In silence a tone 10 dB above the threshold in quiet is heard, one 10 dB below it is not."""
    silence = np.zeros_like(TIME)
    for hertz in (250, 1000, 3500, 9000):
        at_threshold = threshold_in_quiet_db(hertz) - 96
        above, below = (noise_to_mask(silence, tone(hertz, at_threshold + d))[1] for d in (10, -10))
        assert (above, below) == (1.0, 0.0), hertz


def test_the_playback_level_matters_in_the_quiet():
    silence, probe = np.zeros_like(TIME), tone(1000, -80)
    assert noise_to_mask(silence, probe, full_scale_db_spl=96)[1] == 1
    assert noise_to_mask(silence, probe, full_scale_db_spl=70)[1] == 0


def test_noise_under_the_music_is_heard_less_than_noise_beside_it():
    masker, level = band_noise(900, 1100, -20), -45
    inside, above, far = (nmr(masker, tone(hertz, level)) for hertz in (1000, 1500, 6000))
    assert inside < above < far
    assert inside < 0 < far, "the same tone at the same SNR"


def test_masking_spreads_upwards():
    masker = band_noise(950, 1050, -20)
    higher = 1000 * 1.42  # two Bark above, and two below
    lower = 1000 / 1.42
    assert bark(higher) - bark(1000) == pytest.approx(bark(1000) - bark(lower), abs=0.3)
    assert nmr(masker, tone(higher, -50)) < nmr(masker, tone(lower, -50)) - 5


def test_noise_masks_better_than_tones():
    noise, probe = band_noise(50, 10000, -20), band_noise(50, 10000, -45, seed=3)
    phases = np.random.default_rng(7).uniform(0, 2 * np.pi, 90)
    chord = sum(np.sin(2 * np.pi * 110 * (k + 1) * TIME + phase) for k, phase in enumerate(phases))
    chord *= np.sqrt(np.mean(noise**2) / np.mean(chord**2))
    assert nmr(noise, probe) < nmr(chord, probe) - 2


def test_a_rest_masks_nothing():
    masker = band_noise(200, 8000, -20)
    half = np.where(TIME < 0.5, masker, 0)
    noise = band_noise(200, 8000, -45, seed=4)
    assert noise_to_mask(half, half + noise)[0] > noise_to_mask(masker, masker + noise)[0] + 20
    assert 0.4 < noise_to_mask(half, half + noise)[1] < 0.6, "it is heard in the half that is silent"


def test_the_threshold_follows_the_level_of_the_music():
    masker = band_noise(200, 4000, -20)
    loud, centres = masking_threshold(masker)
    soft, _ = masking_threshold(masker / 10)
    middle = (centres > bark(300)) & (centres < bark(3500))
    np.testing.assert_allclose(10 * np.log10(loud / soft)[:, middle], 20, atol=1e-6)


def test_the_table_holds_every_measure():
    clean = np.stack([band_noise(200, 8000, -20, seed=5)] * 3)
    attacked = clean + np.stack([0 * TIME, band_noise(200, 8000, -60), band_noise(200, 8000, -30)])
    table = perceptibility(clean, attacked)
    assert list(table.columns) == ["snr_db", "segmental_snr_db", "nmr_db", "heard_frames"]
    np.testing.assert_allclose(table["snr_db"], [np.inf, 40, 10], atol=1e-6)
    assert table["nmr_db"].iloc[0] == -np.inf and table["heard_frames"].iloc[0] == 0
    assert table["nmr_db"].is_monotonic_increasing and table["heard_frames"].iloc[2] == 1


def test_clips_of_different_length_are_refused():
    with pytest.raises(ValueError, match=r"expected \(samples,\) twice"):
        noise_to_mask(np.zeros(10), np.zeros(9))


def test_zimtohrli_hears_loud_noise_before_quiet_noise():
    pytest.importorskip("zimtohrli", reason='the optional measure is not installed: pip install -e ".[perceptual]"')
    masker = band_noise(100, 5000, -12) + tone(440, -12)
    scores = [zimtohrli_mos(masker, masker + band_noise(100, 9000, level, seed=6)) for level in (-90, -50, -25)]
    assert scores[0] > scores[1] > scores[2] and scores[0] > 4.5 and 1 <= scores[2] < 4.5


def test_without_zimtohrli_there_is_no_score(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert np.isnan(zimtohrli_mos(TIME, TIME))


def test_the_mask_of_noise_lies_as_far_below_it_as_johnston_says():
    """By hand: white noise has a flatness of -2.5 dB, hence a tonality of .04 and a mask 6.4 dB below its own power."""
    noise = 0.1 * np.random.default_rng(0).normal(size=RATE)
    mask, centres = masking_threshold(noise)
    own = _bin_powers(noise, FULL_SCALE_DB_SPL) @ _bands()[0]
    middle = (centres > 5) & (centres < 20)
    assert (10 * np.log10(own.mean(axis=0) / mask.mean(axis=0)))[middle].mean() == pytest.approx(6.4, abs=0.7)
