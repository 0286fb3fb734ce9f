"""An attacked spectrogram becomes sound: no change stays none, and what is changed follows the request."""

import numpy as np
import pytest
import torch

from mer_lib.metrics import snr_db
from mer_lib.models import build
from mer_lib.rendering import BINS, LARGEST_GAIN, bin_gains, overlap_add, render, render_attack, spectra
from mer_lib.spectrogram import LogSpectrogram, band_frequencies

RATE = 22050
SAMPLES = 3 * RATE


def tones(*hertz: float) -> np.ndarray:
    seconds = np.arange(SAMPLES) / RATE
    return sum(np.sin(2 * np.pi * f * seconds + f) for f in hertz) * 0.9 / len(hertz)


@pytest.fixture(scope="module")
def music():
    noise = np.random.default_rng(5).normal(size=SAMPLES)
    signal = tones(196, 392, 523.3, 1244.5, 4000) * (0.6 + 0.4 * np.sin(np.arange(SAMPLES) / 4000)) + 0.02 * noise
    return (0.8 * signal / np.abs(signal).max()).astype(np.float32)


def picture(waveform) -> np.ndarray:
    """Log spectrogram (frames, 149)."""
    return LogSpectrogram()(torch.tensor(np.asarray(waveform, dtype=np.float32))[None])[0].double().numpy()


def snr(clean, other) -> float:
    return float(snr_db(np.asarray(clean)[None], np.asarray(other)[None])[0])


@pytest.mark.parametrize("samples", [2048, 22050, 66150, 70000])
def test_overlap_add_undoes_the_frames_at_the_fractional_hop(samples):
    signal = np.random.default_rng(0).uniform(-1, 1, samples)
    back = overlap_add(spectra(signal), samples)
    assert back.shape == (samples,)
    assert snr(signal[512:], back[512:]) > 200
    assert (np.abs(back[:512]) <= np.abs(signal[:512]) + 1e-12).all(), "the first samples are faded in, never raised"


def test_the_frames_are_those_of_the_front_end(music):
    ours = np.abs(spectra(music)[:, :BINS])
    theirs = LogSpectrogram().magnitudes(torch.from_numpy(music)[None])[0].numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-4)


def test_an_attack_that_changes_nothing_is_heard_as_the_clean_recording(music):
    assert snr(music, render(music, picture(music))) > 60
    network = build("A2E", width=0.0625, mean=0.4, std=0.42)
    z = network.standardise(torch.from_numpy(picture(music)).float())[None]
    assert snr(music, render_attack(network, music[None], z)[0]) > 60


def test_small_changes_add_up(music):
    """Twice the change of the magnitudes gives twice the change of the sound, and two changes the sum of both."""
    clean, random = 10 ** picture(music) - 1, np.random.default_rng(2)
    one, two = (1e-3 * clean * random.uniform(0, 1, clean.shape) for _ in range(2))

    def change(of: np.ndarray) -> np.ndarray:
        return render(music, np.log10(1 + clean + of)).astype(float) - render(music, np.log10(1 + clean))

    assert snr(2 * change(one), change(2 * one)) > 40
    assert snr(change(one) + change(two), change(one + two)) > 40


def test_bands_get_what_they_ask_for(music):
    filters = LogSpectrogram().filters.double().numpy()
    magnitudes = np.abs(spectra(music)[:, :BINS])
    wanted = magnitudes @ filters * np.random.default_rng(3).uniform(0.97, 1.03, (len(magnitudes), filters.shape[1]))
    error = np.abs((magnitudes * bin_gains(magnitudes, wanted)) @ filters - wanted)
    assert np.median(error) < 1e-12 and error.mean() < 1e-3 * np.abs(wanted - magnitudes @ filters).mean()


def test_gains_are_bounded_and_silence_stays_silent():
    silent = np.zeros(8192)
    assert (render(silent, np.full((12, 149), 2.0)) == 0).all(), "silence has no phase to lend"
    magnitudes = np.abs(spectra(1e-9 * tones(1000)[:8192])[:, :BINS])
    gains = bin_gains(magnitudes, np.full((12, 149), 50.0))
    assert np.isfinite(gains).all() and gains.min() >= 0 and gains.max() <= LARGEST_GAIN * (1 + 1e-12)
    assert (bin_gains(magnitudes, np.zeros((12, 149))) >= 0).all()


def test_a_louder_band_is_heard_in_that_band_and_from_its_frame_on(music):
    band, clean = 90, picture(music)
    attacked = clean.copy()
    attacked[40:60, band] += 0.3
    heard = render(music, attacked)
    moved = (picture(heard) - clean)[44:56].mean(axis=0)
    assert moved.argmax() == band and moved[band] > 0.2
    change = np.abs(heard - music)
    start, end = int(40 * RATE / 31.3), int(59 * RATE / 31.3) + 2048
    assert change[:start].max() < 1e-4 and change[end:].max() < 1e-4 and change[start:end].max() > 1e-3
    strength = np.abs(np.fft.rfft(heard.astype(float) - music))
    peak = np.fft.rfftfreq(SAMPLES, 1 / RATE)[strength.argmax()]
    assert band_frequencies()[band - 1] < peak < band_frequencies()[band + 1]


def test_a_rendering_stays_within_full_scale(music):
    loud = music / np.abs(music).max()
    heard = render(loud, picture(loud) + 0.2)
    assert heard.dtype == np.float32 and np.abs(heard).max() == 1.0


def test_a_spectrogram_of_another_recording_is_refused(music):
    with pytest.raises(ValueError, match="does not belong"):
        render(music, picture(music)[:-1])
