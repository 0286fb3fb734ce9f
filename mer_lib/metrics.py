"""The study's metrics: correlation and error of the predictions, and the level of a perturbation.

All take numpy arrays or tensors. A rating that is NaN is left out; a correlation with a constant prediction counts as
0, because such a prediction tells nothing about the ratings (Pearson's formula would give 0 / 0).

Notebook: 08_robustness
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor


def _array(values: ArrayLike | Tensor) -> np.ndarray:
    values = values.detach().cpu().float().numpy() if isinstance(values, Tensor) else values
    return np.asarray(values, dtype=np.float64)


def _pair(ratings: ArrayLike | Tensor, predictions: ArrayLike | Tensor) -> tuple[np.ndarray, np.ndarray]:
    ratings, predictions = _array(ratings), _array(predictions)
    if ratings.shape != predictions.shape or ratings.ndim != 2:
        raise ValueError(
            f"ratings {ratings.shape} and predictions {predictions.shape}: expected (clips, outputs) twice"
        )
    return ratings, predictions


def correlations(ratings: ArrayLike | Tensor, predictions: ArrayLike | Tensor) -> np.ndarray:
    """Pearson correlation of each output over the clips.

    Parameters
    ----------
    ratings, predictions
        (clips, outputs); NaN ratings are left out.

    Returns
    -------
    numpy.ndarray
        (outputs,); 0 where the ratings or predictions are constant, NaN where fewer than two clips are rated.
    """
    ratings, predictions = _pair(ratings, predictions)
    rated = np.isfinite(ratings)
    count = rated.sum(axis=0)
    filled = np.where(rated, ratings, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_rating = filled.sum(axis=0) / count
        mean_prediction = np.where(rated, predictions, 0.0).sum(axis=0) / count
        a = np.where(rated, ratings - mean_rating, 0.0)
        b = np.where(rated, predictions - mean_prediction, 0.0)
        norms = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
        # Rounding leaves a constant a spread of about 1e-16 times its size, never exactly 0.
        scale = count * np.maximum(np.abs(mean_rating), 1e-3) * np.maximum(np.abs(mean_prediction), 1e-3)
        result = np.where(norms > 1e-10 * scale, (a * b).sum(axis=0) / norms, 0.0)
    return np.where(count >= 2, np.clip(result, -1.0, 1.0), np.nan)


def mean_correlation(ratings: ArrayLike | Tensor, predictions: ArrayLike | Tensor) -> float:
    """Mean over the outputs of :func:`correlations`, the study's headline metric (outputs without ratings left out)."""
    per_output = correlations(ratings, predictions)
    return float(np.nanmean(per_output)) if np.isfinite(per_output).any() else float("nan")


def absolute_errors(ratings: ArrayLike | Tensor, predictions: ArrayLike | Tensor) -> np.ndarray:
    """Mean absolute error of each output, (outputs,), in rating units; NaN where nothing is rated."""
    ratings, predictions = _pair(ratings, predictions)
    rated = np.isfinite(ratings)
    total = np.where(rated, np.abs(predictions - np.where(rated, ratings, 0.0)), 0.0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return total / rated.sum(axis=0)


def mean_absolute_error(ratings: ArrayLike | Tensor, predictions: ArrayLike | Tensor) -> float:
    """Mean absolute error over all rated cells, in rating units."""
    ratings, predictions = _pair(ratings, predictions)
    errors = np.abs(predictions - ratings)[np.isfinite(ratings)]
    return float(errors.mean()) if errors.size else float("nan")


def spread(predictions: ArrayLike | Tensor, ratings: ArrayLike | Tensor | None = None) -> float:
    """Standard deviation of the predictions over the clips, averaged over outputs: how far a system's answers reach.

    With ``ratings``, (clips, outputs), outputs that nobody rated are left out: nothing has trained them.
    """
    of_output = _array(predictions).std(axis=0)
    rated = np.ones(len(of_output), bool) if ratings is None else np.isfinite(_array(ratings)).any(axis=0)
    return float(of_output[rated].mean()) if rated.any() else float("nan")


def snr_db(clean: ArrayLike | Tensor, attacked: ArrayLike | Tensor) -> np.ndarray:
    """Signal-to-noise ratio of each clip in dB: energy of the clean clip over energy of the difference.

    Parameters
    ----------
    clean, attacked
        (clips, samples) waveforms.

    Returns
    -------
    numpy.ndarray
        (clips,); infinite where nothing was changed.
    """
    clean, attacked = _pair(clean, attacked)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (clean**2).sum(axis=1) / ((attacked - clean) ** 2).sum(axis=1)
        return np.where(np.isnan(ratio), np.nan, 10 * np.log10(ratio))


def segmental_snr_db(
    clean: ArrayLike | Tensor,
    attacked: ArrayLike | Tensor,
    frame: int = 441,
    limits: tuple[float, float] = (-10.0, 35.0),
) -> np.ndarray:
    """Segmental SNR of each clip in dB: the mean of the SNRs of short frames (default 20 ms at 22 050 Hz).

    Each frame's value is held within ``limits``, as is usual since silence would otherwise decide the mean
    (Hansen & Pellom, ICSLP 1998). Frames without any difference count as the upper limit.
    """
    clean, attacked = _pair(clean, attacked)
    frames = clean.shape[1] // frame
    if frames == 0:
        raise ValueError(f"a clip of {clean.shape[1]} samples is shorter than one frame of {frame}")
    shape = (len(clean), frames, frame)
    signal = (clean[:, : frames * frame].reshape(shape) ** 2).sum(axis=2)
    noise = ((attacked - clean)[:, : frames * frame].reshape(shape) ** 2).sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(noise == 0, limits[1], 10 * np.log10(signal / noise))
    return np.clip(values, *limits).mean(axis=1)
