"""The front end equals madmom's log-filtered spectrogram, on every frame, and has the right gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mer_lib.spectrogram import LogSpectrogram, band_frequencies, frame_starts, frame_times, number_of_frames


def reference(signal: np.ndarray) -> np.ndarray:
    """The published spectrogram written down once more, frame by frame, filter by filter, in float64 numpy."""
    rate, fps, size = 22050, 31.3, 2048
    bins = np.fft.rfftfreq(size, 1 / rate)[: size // 2]
    # corners: 24 per octave around 440 Hz, within 20 to 16 000 Hz, each moved to its nearest bin, every bin once
    corners = []
    for step in range(-400, 400):
        hertz = 440 * 2 ** (step / 24)
        if 20 <= hertz <= 16000:
            nearest = int(np.argmin([abs(b - hertz) for b in bins]))
            if nearest not in corners:
                corners.append(nearest)
    frames = []
    for index in range(math.ceil(round(len(signal) * fps / rate, 6))):
        start = int(math.floor(index * rate / fps + 1e-9))
        piece = np.zeros(size)
        available = signal[start : start + size]
        piece[: len(available)] = available
        magnitudes = np.abs(np.fft.rfft(piece * np.hanning(size)))[: size // 2]
        bands = []
        for left, centre, right in zip(corners, corners[1:], corners[2:], strict=False):
            triangle = np.zeros(size // 2)
            for b in range(left, right):
                triangle[b] = (b - left) / (centre - left) if b < centre else (right - b) / (right - centre)
            bands.append(magnitudes @ (triangle / triangle.sum()))
        frames.append(np.log10(1 + np.array(bands)))
    return np.array(frames)


@pytest.fixture(scope="module")
def music_like() -> np.ndarray:
    random = np.random.default_rng(0)
    seconds = np.arange(220500) / 22050
    chord = sum(np.sin(2 * np.pi * f * seconds) * np.exp(-(seconds % 0.5)) for f in (110, 277.2, 440, 987.8, 5000))
    return (chord + 0.1 * random.normal(size=len(seconds))).astype(np.float32) / 6


def test_ten_seconds_are_313_frames_of_149_bands(music_like):
    assert LogSpectrogram()(torch.from_numpy(music_like)[None]).shape == (1, 313, 149)
    assert len(band_frequencies()) == 149 and (np.diff(band_frequencies()) > 0).all()


def test_equals_the_reference_on_every_frame(music_like):
    ours = LogSpectrogram()(torch.from_numpy(music_like)[None])[0].numpy()
    np.testing.assert_allclose(ours, reference(music_like.astype(np.float64)), rtol=1e-4, atol=1e-6)


def test_the_hop_does_not_drift():
    starts = frame_starts(313)
    assert starts[312] == int(312 * 22050 / 31.3)
    assert set(np.diff(starts)) == {704, 705}
    assert abs(312 * 704 - starts[312]) > 100  # what a whole hop would have been wrong by
    assert frame_times(313)[-1] == pytest.approx(312 / 31.3, abs=1 / 22050)


@pytest.mark.parametrize("samples", [1, 704, 705, 2048, 22050, 220499, 220500, 220501])
def test_any_length_has_as_many_frames_as_start_in_it(samples):
    frames = number_of_frames(samples)
    assert frame_starts(frames)[-1] < samples <= frame_starts(frames + 1)[-1]
    assert LogSpectrogram()(torch.zeros(1, samples)).shape == (1, frames, 149)


def test_batch_and_level():
    front_end, noise = LogSpectrogram(), torch.randn(3, 30000, generator=torch.Generator().manual_seed(0))
    together = front_end(noise)
    for clip, row in zip(noise, together, strict=True):
        torch.testing.assert_close(front_end(clip[None])[0], row, rtol=1e-5, atol=1e-5)
    magnitude = 10 ** front_end(noise) - 1
    torch.testing.assert_close(10 ** front_end(2 * noise) - 1, 2 * magnitude, rtol=1e-3, atol=1e-4)


def test_a_tone_lights_the_band_at_its_frequency():
    hertz = band_frequencies()[80]
    tone = torch.sin(2 * torch.pi * hertz * torch.arange(22050) / 22050)[None]
    assert LogSpectrogram()(tone)[0, 5].argmax() == 80


def test_gradient_is_right_to_second_order():
    front_end = LogSpectrogram().double()
    front_end.transform.window = front_end.transform.window.double()
    signal = torch.randn(1, 2100, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    direction = torch.randn(1, 2100, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    weights = torch.randn(1, 3, 149, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    def score(x: torch.Tensor) -> torch.Tensor:
        return (front_end(x) * weights).sum()

    (gradient,) = torch.autograd.grad(score(signal), signal, create_graph=True)
    step = 1e-6
    numeric = (score(signal + step * direction) - score(signal - step * direction)) / (2 * step)
    assert (gradient * direction).sum().item() == pytest.approx(numeric.item(), rel=1e-6)
    (second,) = torch.autograd.grad((gradient * direction).sum(), signal)
    ahead, behind = (
        torch.autograd.grad(score(x), x)[0] for x in (signal + step * direction, signal - step * direction)
    )
    curvature = ((ahead - behind) * direction).sum() / (2 * step)
    assert (second * direction).sum().item() == pytest.approx(curvature.item(), rel=1e-4)


@pytest.mark.parametrize("shape", [(220500,), (1, 2, 3), (1, 0)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="batch, samples"):
        LogSpectrogram()(torch.zeros(shape))
