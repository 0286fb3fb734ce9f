"""What happens to recordings anyway: each corruption does what it says, and stays aligned with the recording."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mer_lib.audio import SAMPLE_RATE
from mer_lib.corruptions import KINDS, Corruption, corruption_table
from mer_lib.metrics import snr_db
from mer_lib.models import build

STRENGTH = {"vorbis": 0.6, "mp3": 0.6, "resample": 16000, "tilt": 6.0, "noise": 30.0}


def music(seconds: float = 2.0) -> np.ndarray:
    """A decaying chord in soft noise, which has one place only."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    chord = sum(np.sin(2 * np.pi * hertz * time) for hertz in (220, 277.2, 329.6, 2000)) * np.exp(-time)
    return (0.2 * chord + 0.02 * np.random.default_rng(0).normal(size=len(time))).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_corruption_changes_the_sound_and_not_its_place(kind):
    clean = music()
    changed = Corruption(kind=kind, strength=STRENGTH[kind]).apply(clean)
    assert changed.shape == clean.shape and changed.dtype == np.float32 and np.abs(changed).max() <= 1
    assert not np.array_equal(changed, clean)
    lags = np.arange(-1500, 1501)
    middle = clean[2000:-2000]
    parts = [changed[2000 + lag : len(changed) - 2000 + lag] for lag in lags]
    match = [np.dot(middle, part) / np.linalg.norm(part) for part in parts]
    assert lags[int(np.argmax(match))] == 0
    assert (snr_db(clean[None], changed[None]) > (5 if kind == "tilt" else 8)).all()


def test_noise_has_the_snr_it_is_asked_for():
    clean = music()
    for wanted in (10, 40):
        changed = Corruption(kind="noise", strength=wanted).apply(clean)
        assert snr_db(clean[None], changed[None])[0] == pytest.approx(wanted, abs=0.01)


def test_a_tilt_raises_what_lies_above_a_kilohertz_by_its_decibels():
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for hertz, expected in ((60, 0.0), (8000, 6.0)):
        tone = (0.1 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)
        changed = Corruption(kind="tilt", strength=6.0).apply(tone)[2000:]
        assert 20 * np.log10(changed.std() / tone[2000:].std()) == pytest.approx(expected, abs=0.15)


def test_a_corruption_answers_like_an_attack():
    network = build("A2E", 0.0625, mean=0.1, std=0.2).eval()
    inputs = torch.from_numpy(np.stack([music(), music()[::-1].copy()]))
    result = Corruption(kind="noise", strength=20).attack(network, inputs, torch.rand(2, 8))
    assert result.attacked.shape == (2, 8) and result.gradients == 0
    torch.testing.assert_close(result.delta, result.adversarial - inputs)
    torch.testing.assert_close(network.from_waveform(result.adversarial).emotions, result.attacked)


def test_an_unknown_corruption_is_refused_with_what_there_is():
    with pytest.raises(ValueError, match="vorbis"):
        Corruption(kind="opus", strength=1)


def test_the_table_counts_a_rise_of_the_error_as_positive():
    class Level(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.std(dim=1, keepdim=True).expand(-1, 8)

    clips = torch.from_numpy(np.stack([music(), 0.5 * music()]))
    ratings = Level()(clips)
    noise = Corruption(kind="noise", strength=10)
    row = corruption_table({"m": Level()}, clips, ratings, [noise]).iloc[0]
    louder = [noise.apply(clip).std() - clip.std() for clip in clips.numpy()]
    assert row["SNR (dB)"] == pytest.approx(10, abs=0.1)
    assert row["m"] == pytest.approx(np.mean(louder), rel=1e-3) and row["m"] > 0.001
