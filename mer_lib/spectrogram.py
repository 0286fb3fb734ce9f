"""The front end: a log-filtered spectrogram that equals the published one and can be differentiated.

The published study computes madmom's ``LogarithmicFilteredSpectrogram``: Hann frames of 2048 samples, 31.3 frames a
second, magnitudes of bins 0 to 1023, triangular filters at 24 bands an octave around 440 Hz between 20 and 16 000 Hz,
each of sum 1, then log10(1 + x) (Hoedt, Flexer, Widmer 2025, Section 3; Boeck et al. 2016, madmom). The hop of
22 050 / 31.3 samples is not a whole number, so frame i starts at sample floor(i * 22050 / 31.3): a whole hop would have
drifted by more than 100 samples after 10 s.

Notebook: 01_prepare_data
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from mer_lib.audio import SAMPLE_RATE
from mer_lib.torchaudio_cpu import torchaudio

FRAME_SIZE = 2048
FRAMES_PER_SECOND = 31.3
BANDS_PER_OCTAVE = 24
MINIMUM_HZ, MAXIMUM_HZ, REFERENCE_HZ = 20.0, 16000.0, 440.0
MKL_BLOCK = 384  # rows that MKL's float32 matrix product adds up at a time


def number_of_frames(samples: int) -> int:
    """Number of frames of a signal: as many as start within it (10 s give 313)."""
    return -(-samples * 313 // (SAMPLE_RATE * 10))


def frame_starts(frames: int) -> np.ndarray:
    """First sample of each frame, ``floor(i * 22050 / 31.3)``, in whole numbers so that no rounding creeps in."""
    return np.arange(frames) * (SAMPLE_RATE * 10) // 313


def frame_times(frames: int) -> np.ndarray:
    """Start of each frame in seconds."""
    return frame_starts(frames) / SAMPLE_RATE


@lru_cache(maxsize=1)
def _filterbank() -> tuple[np.ndarray, np.ndarray]:
    """Filters (bins, bands), each of sum 1, and the bands' centre frequencies in Hz."""
    octaves = np.log2(np.array([MINIMUM_HZ, MAXIMUM_HZ]) / REFERENCE_HZ) * BANDS_PER_OCTAVE
    ladder = REFERENCE_HZ * 2.0 ** (np.arange(np.floor(octaves[0]), np.ceil(octaves[1]) + 1) / BANDS_PER_OCTAVE)
    ladder = ladder[(ladder >= MINIMUM_HZ) & (ladder <= MAXIMUM_HZ)]
    bin_hz = np.arange(FRAME_SIZE // 2) * SAMPLE_RATE / FRAME_SIZE
    # Every frequency of the ladder goes to its nearest bin; at low frequencies several share one, which counts once.
    corners = np.unique(np.abs(ladder[:, None] - bin_hz[None, :]).argmin(axis=1))
    filters = np.zeros((len(bin_hz), len(corners) - 2))
    for band, (low, centre, high) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
        filters[low:centre, band] = np.arange(centre - low) / (centre - low)
        filters[centre:high, band] = 1 - np.arange(high - centre) / (high - centre)
    return filters / filters.sum(axis=0), bin_hz[corners[1:-1]]


def band_frequencies() -> np.ndarray:
    """Centre frequency of each of the 149 bands in Hz."""
    return _filterbank()[1].copy()


Run = tuple[slice, slice]  # columns of a matrix, and rows outside which they are zero


def _runs(matrix: np.ndarray, edges: Sequence[int], grain: int = 1) -> list[Run]:
    """For each block of columns, between two edges, the rows that it needs, in whole multiples of a grain."""
    runs = []
    for first, last in pairwise((0, *edges, matrix.shape[1])):
        rows = np.flatnonzero(matrix[:, first:last].any(axis=1))
        start, end = (rows[0] // grain * grain, -(-(rows[-1] + 1) // grain) * grain) if len(rows) else (0, 0)
        runs.append((slice(first, last), slice(int(start), int(min(end, len(matrix))))))
    return runs


class _Frames(torch.autograd.Function):
    """(batch, samples) -> (batch, frames, 2048), zeros past the end. Autograd's own backward of a gather is slow."""

    @staticmethod
    def forward(ctx, waveform: Tensor, starts: list[int]) -> Tensor:  # noqa: ANN001
        ctx.starts, ctx.samples = starts, waveform.shape[1]
        pieces = [waveform[:, start : start + FRAME_SIZE] for start in starts]
        whole = sum(start + FRAME_SIZE <= ctx.samples for start in starts)  # the last ones reach past the end
        padded = [nn.functional.pad(piece, (0, FRAME_SIZE - piece.shape[1])) for piece in pieces[whole:]]
        return torch.stack([*pieces[:whole], *padded], dim=1)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN001
        return _OverlapAdd.apply(gradient, ctx.starts, ctx.samples), None


class _OverlapAdd(torch.autograd.Function):
    """The transpose of :class:`_Frames`; its own backward is :class:`_Frames`, so second derivatives exist."""

    @staticmethod
    def forward(ctx, frames: Tensor, starts: list[int], samples: int) -> Tensor:  # noqa: ANN001
        ctx.starts = starts
        signal = frames.new_zeros(frames.shape[0], samples)
        for index, start in enumerate(starts):
            signal[:, start : start + FRAME_SIZE] += frames[:, index, : samples - start]
        return signal

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN001
        return _Frames.apply(gradient, ctx.starts), None, None


class _Spectra(torch.autograd.Function):
    """Frames (batch, frames, 2048) -> complex spectra (batch, frames, 1025) by the given transform."""

    @staticmethod
    def forward(ctx, frames: Tensor, transform: nn.Module) -> Tensor:  # noqa: ANN001
        ctx.transform = transform
        return transform(frames.flatten(start_dim=1)).transpose(1, 2)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN001
        return _SpectraTransposed.apply(gradient, ctx.transform), None


class _SpectraTransposed(torch.autograd.Function):
    """The transpose of :class:`_Spectra`: one inverse real FFT, where autograd's is a complex one of twice the size."""

    @staticmethod
    def forward(ctx, spectra: Tensor, transform: nn.Module) -> Tensor:  # noqa: ANN001
        ctx.transform = transform
        frames = torch.fft.irfft(spectra, FRAME_SIZE, norm="forward")  # counts every bin twice but the first and last
        first, last = spectra[..., 0].real, spectra[..., -1].real
        frames.unflatten(-1, (-1, 2)).add_(torch.stack([first + last, first - last], dim=-1)[..., None, :])
        return frames.mul_(transform.window / 2)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN001
        return _Spectra.apply(gradient, ctx.transform), None


class _Magnitude(torch.autograd.Function):
    """``abs`` of complex numbers. Its gradient, 0 at 0, reuses the magnitude that autograd's would compute again."""

    @staticmethod
    def forward(ctx, spectra: Tensor) -> Tensor:  # noqa: ANN001
        magnitude = spectra.abs()
        ctx.save_for_backward(spectra, magnitude)
        return magnitude

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # noqa: ANN001
        spectra, magnitude = ctx.saved_tensors
        return spectra * (gradient / magnitude.clamp(min=1e-30))


class _Banded(torch.autograd.Function):
    """(..., rows) @ (rows, columns), block by block of columns: most of the filterbank is zeros."""

    @staticmethod
    def forward(ctx, values: Tensor, matrix: Tensor, runs: list[Run], turned: list[Run]) -> Tensor:  # noqa: ANN001
        ctx.save_for_backward(matrix)
        ctx.runs = runs, turned
        return torch.cat([values[..., rows] @ matrix[rows, columns] for columns, rows in runs], dim=-1)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN001
        return _Banded.apply(gradient, ctx.saved_tensors[0].T, *reversed(ctx.runs)), None, None, None


class LogSpectrogram(nn.Module):
    """Waveforms to log-filtered spectrograms, batched and differentiable.

    Shapes: (batch, samples) float32 at 22 050 Hz -> (batch, frames, 149), values log10(1 + filtered magnitude),
    not z-scored; 220 500 samples (10 s) give 313 frames. Frames that reach past the end are padded with zeros.
    """

    def __init__(self) -> None:
        super().__init__()
        # Frames are cut first (the hop is no whole number), laid end to end and transformed without overlap.
        self.transform = torchaudio.transforms.Spectrogram(
            n_fft=FRAME_SIZE,
            hop_length=FRAME_SIZE,
            power=None,
            center=False,
            # madmom's window is the symmetric one of numpy.hanning
            window_fn=lambda size: torch.hann_window(size, periodic=False),
        )
        filters = _filterbank()[0]
        self.register_buffer("filters", torch.tensor(filters, dtype=torch.float32), persistent=False)
        self.transform.register_buffer("window", self.transform.window, persistent=False)
        # Forwards in blocks of 384 bins, in which MKL adds up too, so that not a bit differs from the whole product;
        # backwards, where a bin takes part in two bands at most, an octave at a time, the last bin in none.
        low = int(filters[MKL_BLOCK:].any(axis=0).argmax())  # the first band that reaches beyond the first block
        octaves = FRAME_SIZE // 16 * np.array([1, 2, 4, 8])
        self.runs = _runs(filters, [low], MKL_BLOCK), _runs(np.pad(filters, ((0, 1), (0, 0))).T, octaves)

    def spectra(self, waveform: Tensor) -> Tensor:
        """Complex spectra, bins 0 to 1024, (batch, frames, 1025)."""
        if waveform.ndim != 2 or waveform.shape[1] == 0:
            raise ValueError(f"expected waveforms of shape (batch, samples), got {tuple(waveform.shape)}")
        frames = _Frames.apply(waveform, frame_starts(number_of_frames(waveform.shape[1])).tolist())
        return _Spectra.apply(frames, self.transform)

    def magnitudes(self, waveform: Tensor) -> Tensor:
        """Magnitudes of the bins 0 to 1023, (batch, frames, 1024)."""
        return _Magnitude.apply(self.spectra(waveform))[..., :-1]

    def forward(self, waveform: Tensor) -> Tensor:
        """Log-filtered spectrogram, (batch, frames, 149)."""
        filters = nn.functional.pad(self.filters, (0, 0, 0, 1))  # no band hears the last bin, 11 025 Hz
        return torch.log10(1 + _Banded.apply(_Magnitude.apply(self.spectra(waveform)), filters, *self.runs))
