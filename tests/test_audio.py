"""Audio comes in as mono at 22 050 Hz at the file's level, and goes out lossless or not at all."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from mer_lib.audio import SAMPLE_RATE, AudioError, decode, peak_normalise, trim_zeros, write_flac
from tests.small import tone


@pytest.mark.parametrize(
    ("ending", "kind"), [("wav", {}), ("flac", {}), ("ogg", {}), ("mp3", {}), ("wav", {"subtype": "PCM_U8"})]
)
def test_every_format_decodes_to_the_same_tone(tmp_path, ending, kind):
    soundfile.write(tmp_path / f"a.{ending}", np.stack([tone(seconds=2)] * 2, axis=1), SAMPLE_RATE, **kind)
    decoded = decode(tmp_path / f"a.{ending}")
    assert decoded.dtype == np.float32 and decoded.ndim == 1
    strongest = np.abs(np.fft.rfft(decoded[:SAMPLE_RATE])).argmax()
    assert strongest == pytest.approx(440, abs=1)
    assert np.abs(decoded).max() == pytest.approx(0.5, rel=0.05)  # the level is the file's


@pytest.mark.parametrize("rate", [8000, 44100, 48000, 192000])
def test_other_rates_are_resampled(tmp_path, rate):
    seconds = np.arange(rate * 2) / rate
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * seconds), rate)
    decoded = decode(tmp_path / "a.wav")
    assert len(decoded) == pytest.approx(2 * SAMPLE_RATE, abs=2)
    middle = slice(2000, 2 * SAMPLE_RATE - 2000)
    assert np.abs(decoded - tone(seconds=3)[: len(decoded)])[middle].max() < 2e-3


def test_channels_are_averaged(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([tone(), -tone()], axis=1), SAMPLE_RATE, subtype="FLOAT")
    assert np.abs(decode(tmp_path / "a.wav")).max() == 0


@pytest.mark.parametrize("content", ["nothing", "text", "folder", "missing", "no samples", "NaN"])
def test_what_is_no_audio_is_named(tmp_path, content):
    path = tmp_path / "a.wav"
    if content == "nothing":
        path.write_bytes(b"")
    elif content == "text":
        path.write_text("no audio " * 100)
    elif content == "folder":
        path.mkdir()
    elif content == "no samples":
        soundfile.write(path, np.zeros(0), SAMPLE_RATE)
    elif content == "NaN":
        soundfile.write(path, np.full(100, np.nan), SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav"):
        decode(path)


@given(st.floats(1e-3, 1.0), st.integers(1, 1000))
def test_peak_is_one_whatever_the_level(level, seed):
    noise = np.random.default_rng(seed).normal(size=50).astype(np.float32) * level
    assert np.abs(peak_normalise(noise)).max() == pytest.approx(1, abs=1e-6)


def test_silence_is_refused():
    with pytest.raises(AudioError, match="silent"):
        peak_normalise(np.zeros(10, np.float32))


def test_zeros_are_trimmed_at_the_ends_alone():
    assert trim_zeros(np.array([0, 0, 1, 0, 2, 0.0])).tolist() == [1, 0, 2]


def test_flac_keeps_what_16_bits_would_lose(tmp_path):
    waveform = tone(seconds=1) + np.float32(1e-5) * np.sign(tone(997, 1))
    assert np.abs(decode(write_flac(tmp_path / "a.flac", waveform)) - waveform).max() < 2**-23


@pytest.mark.parametrize("waveform", [np.array([0.0, 1.5]), np.array([0.0, np.nan]), np.zeros((2, 2))])
def test_flac_refuses_what_it_would_have_to_change(tmp_path, waveform):
    with pytest.raises(AudioError):
        write_flac(tmp_path / "a.flac", waveform)
    assert not list(tmp_path.iterdir())
