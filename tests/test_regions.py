"""Regions hold as many cells as asked for; kept and taken away they are what they say, and they can be heard."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mer_lib.dataset import EMOTIONS
from mer_lib.models import Prediction
from mer_lib.regions import fidelity, hear_regions, masked_sound, only, orders, strongest
from mer_lib.runs import load_pretrained

RATE = 22050


@pytest.fixture(scope="module")
def model():
    return load_pretrained("A2E").model


class Sum(nn.Module):
    """A network whose every emotion is the sum over some cells above silence: what is important is known."""

    def __init__(self, weights):
        super().__init__()
        self.weights = weights
        self.midlevel_head = None

    def standardise(self, spectrograms):
        return spectrograms - 1

    def forward(self, inputs):
        return Prediction(((inputs + 1) * self.weights).sum(dim=(1, 2), keepdim=True)[..., 0].expand(-1, 8), None)


@given(share=st.floats(0, 1), seed=st.integers(0, 99), window=st.sampled_from([(1, 1), (3, 5), (5, 5)]))
def test_exactly_the_wanted_share_is_chosen_even_among_equals(share, seed, window):
    importance = np.random.default_rng(seed).integers(0, 3, (12, 10))
    assert strongest(importance, share, window).sum() == round(share * 120)


@given(seed=st.integers(0, 99))
def test_single_cells_are_the_largest_ones(seed):
    importance = np.random.default_rng(seed).random((9, 11))
    chosen = strongest(importance, 0.2, (1, 1))
    assert importance[chosen].min() > importance[~chosen].max()


def test_a_neighbourhood_outweighs_a_lonely_peak():
    importance = np.zeros((20, 20))
    importance[4, 4], importance[10:14, 10:14] = 3.0, 1.0
    assert strongest(importance, 4 / 400, (3, 3))[10:14, 10:14].sum() == 4
    with pytest.raises(ValueError, match="between 0 and 1"):
        strongest(importance, 1.2)


def test_outside_the_mask_is_silence(model):
    clip = torch.rand(1, 20, 149)
    masks = torch.rand(1, 20, 149) < 0.3
    kept = only(model, clip, masks)
    assert torch.equal(kept[masks], clip[masks])
    assert torch.allclose(kept[~masks], -model.mean / model.std)
    assert torch.equal(only(model, clip, torch.ones_like(masks)), clip)


def test_where_the_truth_is_known_true_importance_beats_both_controls():
    generator = torch.Generator().manual_seed(0)
    weights = torch.zeros(30, 30)
    weights[5:12, 8:20] = 1.0
    clips = torch.rand(4, 30, 30, generator=generator)
    table = fidelity(Sum(weights), clips - 1, {"true": weights * clips}, EMOTIONS[3], [0.1, 84 / 900 * 2, 1.0])
    means = table.groupby(["side", "share", "order"])["moved"].mean()
    for share in (0.1, 84 / 900 * 2):
        for control in ("loudest", "random"):
            assert means["kept alone", share, "true"] < means["kept alone", share, control]
            assert means["silenced", share, "true"] > means["silenced", share, control]
    assert means["kept alone", 1.0].abs().max() < 1e-4  # nothing is lost
    assert np.allclose(means["silenced", 1.0], ((clips * weights).sum(dim=(1, 2))).mean().item(), rtol=1e-4)


def test_the_loudest_are_loud_and_random_depends_on_its_seed(model):
    clip = torch.rand(1, 10, 149)
    found = orders(model, clip, {"m": -clip}, seed=1)
    assert torch.equal(found["m"], clip) and (found["loudest"] >= 0).all()
    assert torch.equal(found["random"], orders(model, clip, {}, seed=1)["random"])
    assert not torch.equal(found["random"], orders(model, clip, {}, seed=2)["random"])


@pytest.fixture(scope="module")
def heard(model):
    """A low and a high tone, the latter quieter; the region is the high one."""
    time = np.arange(2 * RATE) / RATE
    fade = np.minimum(1, np.minimum(time, time[::-1]) / 0.3) ** 2
    tones = 0.5 * np.sin(2 * np.pi * 220 * time) + 0.02 * np.sin(2 * np.pi * 3520 * time)
    waveform = (fade * tones).astype(np.float32)
    mask = np.zeros((63, 149), dtype=bool)
    mask[:, 100:] = True
    return waveform, hear_regions(model, waveform, mask, "the high tone")


def level_db(signal, hertz):
    spectrum = np.abs(np.fft.rfft(signal[4096:-4096] * np.hanning(len(signal) - 8192)))
    bin_ = round(hertz * (len(signal) - 8192) / RATE)
    return 20 * np.log10(spectrum[bin_ - 2 : bin_ + 3].max() + 1e-12)


def test_a_region_sounds_alone_and_the_rest_without_it(heard):
    waveform, result = heard
    assert list(result.signals) == ["clean", "the high tone", "the rest"]
    assert level_db(result.signals["the high tone"], 3520) == pytest.approx(level_db(waveform, 3520), abs=1)
    assert level_db(result.signals["the high tone"], 220) < level_db(waveform, 220) - 60
    assert level_db(result.signals["the rest"], 3520) < level_db(waveform, 3520) - 40
    assert level_db(result.signals["the rest"], 220) == pytest.approx(level_db(waveform, 220), abs=1)


def test_gains_are_whole_decibels_that_do_not_clip_and_answers_are_to_the_unamplified_sound(heard, model):
    waveform, result = heard
    for name, gain in result.gains_db.items():
        peak = np.abs(result.signals[name]).max()
        assert gain == round(gain) and gain >= 0
        assert gain == 0 or peak * 10 ** (gain / 20) < 10 ** (-2.9 / 20)
    assert result.gains_db["the high tone"] > 20
    with torch.no_grad():
        said = model.from_waveform(torch.from_numpy(result.signals["the rest"])[None]).emotions[0].numpy()
    assert np.abs(result.answers["the rest"].to_numpy() - said).max() < 1e-4
    assert list(result.answers.index) == list(EMOTIONS) and np.isfinite(result.answers.to_numpy()).all()


def test_with_everything_inside_the_mask_the_recording_is_heard(heard):
    waveform, _ = heard
    everything = masked_sound(waveform, np.ones((63, 149), dtype=bool))
    assert np.abs(everything - waveform)[512:].max() < 1e-3  # what no filter sees is gone: the lowest three bins
    assert np.abs(masked_sound(waveform, np.zeros((63, 149), dtype=bool))).max() == 0
    with pytest.raises(ValueError, match="does not belong"):
        masked_sound(waveform, np.ones((62, 149), dtype=bool))
