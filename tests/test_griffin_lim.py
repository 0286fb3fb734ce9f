"""A picture becomes a sound that has nearly this picture, and nothing is made louder or quieter without a word."""

import librosa
import numpy as np
import pytest
import torch

from mer_lib.griffin_lim import bin_magnitudes, griffin_lim, render_pictures, within_full_scale
from mer_lib.models import build
from mer_lib.rendering import spectra
from mer_lib.spectrogram import FRAME_SIZE, LogSpectrogram, frame_starts

RATE = 22050
SAMPLES = 2 * RATE


def picture(waveform) -> np.ndarray:
    return LogSpectrogram()(torch.tensor(np.asarray(waveform, dtype=np.float32))[None])[0].numpy()


def error(waveform, wanted) -> float:
    """Relative distance of a sound's picture from the wanted one."""
    return float(np.linalg.norm(picture(waveform) - wanted) / np.linalg.norm(wanted))


@pytest.fixture(scope="module")
def music():
    seconds = np.arange(SAMPLES) / RATE
    tones = sum(
        np.sin(2 * np.pi * f * seconds) * np.exp(-((seconds * k) % 1) * 4) for f, k in ((196, 2), (523.3, 3), (1244, 4))
    )
    return (0.2 * tones + 0.003 * np.random.default_rng(0).normal(size=SAMPLES)).astype(np.float32)


@pytest.fixture(scope="module")
def rendered(music):
    return griffin_lim(picture(music), SAMPLES)


def test_the_bins_give_the_bands_that_were_asked_for(music):
    wanted = picture(music)
    magnitudes = bin_magnitudes(wanted)
    assert magnitudes.shape == (len(wanted), 1024) and (magnitudes >= 0).all()
    back = np.log10(1 + magnitudes @ LogSpectrogram().filters.numpy())
    assert np.linalg.norm(back - wanted) < 0.02 * np.linalg.norm(wanted)
    assert bin_magnitudes(np.zeros((3, 149))).max() == 0, "silence stays silence"


def test_a_sound_is_found_whose_picture_is_near(music, rendered):
    wanted = picture(music)
    assert rendered.shape == (SAMPLES,) and rendered.dtype == np.float32
    start = griffin_lim(wanted, SAMPLES, iterations=0)
    assert error(rendered, wanted) < 0.15 < error(start, wanted), "the search for a phase is what brings it near"


def test_it_comes_nearer_than_librosa_on_a_resampled_picture(music, rendered):
    """librosa needs a whole hop: the columns are interpolated in time, which the exact frames spare."""
    wanted = picture(music)
    magnitudes, starts = bin_magnitudes(wanted), frame_starts(len(wanted)) + FRAME_SIZE // 2
    times = np.arange(0, SAMPLES + 1, 512)
    columns = np.stack([np.interp(times, starts, row) for row in magnitudes.T])
    full = np.concatenate([columns, np.zeros((1, len(times)))])
    theirs = librosa.griffinlim(full, n_iter=16, hop_length=512, n_fft=FRAME_SIZE, length=SAMPLES, random_state=0)
    assert error(rendered, wanted) < error(theirs, wanted)


def test_the_level_is_the_pictures(music, rendered):
    """A picture of the same music at half the level is rendered at half the level."""
    quiet = griffin_lim(picture(music / 2), SAMPLES)
    ratio = np.sqrt(np.mean(quiet**2) / np.mean(rendered**2))
    assert ratio == pytest.approx(0.5, rel=0.05)
    assert np.sqrt(np.mean(rendered**2)) == pytest.approx(np.sqrt(np.mean(music**2)), rel=0.15)


def test_a_tone_keeps_its_pitch():
    seconds = np.arange(SAMPLES) / RATE
    sound = griffin_lim(picture(0.5 * np.sin(2 * np.pi * 880 * seconds)), SAMPLES)
    power = np.abs(np.fft.rfft(sound * np.hanning(SAMPLES))) ** 2
    assert np.argmax(power) * RATE / SAMPLES == pytest.approx(880, rel=0.015), "within half a band"


def test_frames_are_those_of_the_front_end(music):
    assert len(picture(music)) == len(spectra(music))
    with pytest.raises(ValueError, match="frames"):
        griffin_lim(picture(music), SAMPLES + 2000)


def test_the_same_seed_gives_the_same_sound(music, rendered):
    wanted = picture(music)
    assert np.array_equal(rendered, griffin_lim(wanted, SAMPLES))
    assert not np.array_equal(rendered, griffin_lim(wanted, SAMPLES, seed=1))


def test_only_what_would_clip_is_turned_down_and_the_gain_is_told():
    quiet = np.array([0.5, -0.25], dtype=np.float32)
    same, gain = within_full_scale(quiet)
    assert same is quiet and gain == 0
    turned, gain = within_full_scale(np.array([2.0, -4.0], dtype=np.float32))
    assert gain == pytest.approx(-20 * np.log10(4)) and np.abs(turned).max() <= 1
    np.testing.assert_allclose(turned * 10 ** (-gain / 20), [2, -4], rtol=1e-4)


def test_pictures_of_a_network_are_rendered_with_its_z_scores(music):
    model = build("A2E", width=0.0625, mean=0.4, std=0.42)
    ten_seconds = np.tile(music, 5)
    wanted = picture(ten_seconds)
    sounds, gains = render_pictures(model, model.standardise(torch.from_numpy(wanted))[None])
    assert sounds.shape == (1, 220500) and sounds.abs().max() <= 1 and (gains <= 0).all()
    assert error(sounds[0].numpy() * 10 ** (-gains[0] / 20), wanted) < 0.2
