"""Do two explanations agree? Top-k agreement of attribution maps, blind to small shifts, and how much of it is chance.

Kamath et al. (AAAI 2024, arXiv 2312.10534): S and S' are the k highest cells before and after, N_w adds the window
around each. top-k = ``|S ∩ S'| / k``, LENS-recall = ``|N_w(S) ∩ S'| / k``, LENS-precision = ``|S ∩ N_w(S')| / k``;
diverse top-k walks down the ranking, keeps a cell and drops its window. Here windows have a radius in time and one in
frequency and end at the map's edges; the published code adds numbers to flat indices, so its windows wrap into the next
row, its second diverse pick is skipped and its cell 0 is never counted. A large window agrees with anything, hence
:mod:`mer_lib.lens_chance`.

Maps are (..., frames, bands), a before and b after; leading dimensions are kept. Cells are ranked by their signed
values, as the authors do; ``absolute=True`` ranks magnitudes. Of equal cells the earlier one ranks higher.

Notebook: 11_attribution_robustness
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage, stats

from mer_lib.spectrogram import FRAMES_PER_SECOND

Window = int | tuple[int, int]


def radii(milliseconds: float, bands: int) -> tuple[int, int]:
    """Radius of a window in (frames, bands) from one in milliseconds to either side, rounded, and bands to either side.

    A frame is 31.9 ms (31.3 a second); two bands are a semitone (24 an octave), below about 500 Hz more, because
    bands narrower than a bin of the transform were merged.
    """
    if milliseconds < 0 or bands < 0:
        raise ValueError(f"a window of {milliseconds} ms and {bands} bands: neither may be negative")
    return round(milliseconds / 1000 * FRAMES_PER_SECOND), int(bands)


def milliseconds(frames: float) -> float:
    """Frames in milliseconds."""
    return frames / FRAMES_PER_SECOND * 1000


def window_radii(window: Window) -> tuple[int, int]:
    """The radius as (time, frequency); one int serves both."""
    pair = (window, window) if isinstance(window, int | np.integer) else tuple(window)
    if len(pair) != 2 or any(int(radius) != radius or radius < 0 for radius in pair):
        raise ValueError(f"window {window!r}: a radius of at least 0, or two of them (time, frequency)")
    return int(pair[0]), int(pair[1])


def _maps(*maps: ArrayLike) -> list[np.ndarray]:
    arrays = [np.asarray(values, dtype=np.float64) for values in maps]
    if any(array.ndim < 2 or array.shape != arrays[0].shape for array in arrays):
        raise ValueError(f"maps of shapes {', '.join(str(a.shape) for a in arrays)}: the same (..., frames, bands)")
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("maps hold NaN or infinity")
    return arrays


def _order(values: np.ndarray, absolute: bool) -> np.ndarray:
    """Flat indices of one map's cells, the highest first, ties in reading order."""
    return np.argsort(-(np.abs(values) if absolute else values), axis=None, kind="stable")


def top_cells(values: ArrayLike, k: int, *, diverse: Window | None = None, absolute: bool = False) -> np.ndarray:
    """Which cells are among the k highest: a mask shaped like the maps.

    Parameters
    ----------
    diverse
        Radius of the windows that :func:`diverse_top_k` drops; None takes plain top-k.
    """
    (values,) = _maps(values)
    cells = values.shape[-2] * values.shape[-1]
    if not 1 <= k <= cells:
        raise ValueError(f"k = {k}: between 1 and the map's {cells} cells")
    masks = np.zeros((int(np.prod(values.shape[:-2])), cells), dtype=bool)
    for mask, one in zip(masks, values.reshape(-1, *values.shape[-2:]), strict=True):
        chosen = _order(one, absolute)[:k] if diverse is None else _diverse(one, k, window_radii(diverse), absolute)
        mask[chosen] = True
    return masks.reshape(values.shape)


def neighbourhood(cells: ArrayLike, window: Window) -> np.ndarray:
    """N_w: the cells of a mask (..., frames, bands) and all within the window of one, up to the map's edges."""
    cells = np.asarray(cells, dtype=bool)
    time, frequency = window_radii(window)
    size = (*[1] * (cells.ndim - 2), 2 * time + 1, 2 * frequency + 1)
    return ndimage.maximum_filter(cells, size=size, mode="constant", cval=0)


def _diverse(values: np.ndarray, k: int, window: tuple[int, int], absolute: bool) -> list[int]:
    """Flat indices of a map's diverse top-k, the highest first; fewer than k where windows leave no more cells."""
    order, bands = _order(values, absolute), values.shape[1]
    free, kept = np.ones(values.shape, dtype=bool), []
    for index in order.tolist():
        row, column = divmod(index, bands)
        if free[row, column]:
            kept.append(index)
            if len(kept) == k:
                break
            free[max(0, row - window[0]) : row + window[0] + 1, max(0, column - window[1]) : column + window[1] + 1] = 0
    return kept


def diverse_top_k(a: ArrayLike, k: int, window: Window, *, absolute: bool = False) -> np.ndarray:
    """The k highest cells of one map of which none lies in another's window, the highest first.

    Returns
    -------
    numpy.ndarray
        (k, 2) frame and band of each; fewer rows where the windows leave no more cells.
    """
    (a,) = _maps(a)
    if a.ndim != 2 or not 1 <= k <= a.size:
        raise ValueError(f"k = {k}, map {a.shape}: one map, and k between 1 and its number of cells")
    return np.column_stack(np.unravel_index(_diverse(a, k, window_radii(window), absolute), a.shape))


def share(near: np.ndarray, cells: np.ndarray) -> np.ndarray | float:
    """Share of the cells of a mask that lie in another: a number, or one a map."""
    found = (near & cells).sum(axis=(-2, -1)) / cells.sum(axis=(-2, -1))
    return float(found) if np.ndim(found) == 0 else found


def top_k(
    a: ArrayLike, b: ArrayLike, k: int, *, diverse: Window | None = None, absolute: bool = False
) -> np.ndarray | float:
    """Top-k intersection, ``|S ∩ S'| / k``: 1 where both maps have the same k highest cells.

    Parameters
    ----------
    a, b
        Maps before and after.
    diverse
        Compare the diverse top-k with this radius instead.
    """
    before, after = (top_cells(values, k, diverse=diverse, absolute=absolute) for values in _maps(a, b))
    larger = np.maximum(before.sum(axis=(-2, -1)), after.sum(axis=(-2, -1)))  # k, unless windows left fewer
    found = (before & after).sum(axis=(-2, -1)) / larger
    return float(found) if np.ndim(found) == 0 else found


def recall(
    a: ArrayLike, b: ArrayLike, k: int, window: Window, *, diverse: bool = False, absolute: bool = False
) -> np.ndarray | float:
    """LENS-recall, ``|N_w(S) ∩ S'| / k``: share of the highest cells after that lie near one of those before.

    Parameters
    ----------
    a, b
        Maps before and after.
    window
        Radius (time, frequency) in cells, or one for both; see :func:`radii`.
    diverse
        Compare the diverse top-k, with the same window.
    """
    settings = {"diverse": window if diverse else None, "absolute": absolute}
    before, after = (top_cells(values, k, **settings) for values in _maps(a, b))
    return share(neighbourhood(before, window), after)


def precision(
    a: ArrayLike, b: ArrayLike, k: int, window: Window, *, diverse: bool = False, absolute: bool = False
) -> np.ndarray | float:
    """LENS-precision, ``|S ∩ N_w(S')| / k``: share of the highest cells before that lie near one of those after."""
    return recall(b, a, k, window, diverse=diverse, absolute=absolute)


def smoothed(values: ArrayLike, window: Window) -> np.ndarray:
    """Mean of each cell's window; at the edges, of that part of it that lies in the map."""
    (values,) = _maps(values)
    time, frequency = window_radii(window)
    size = (*[1] * (values.ndim - 2), 2 * time + 1, 2 * frequency + 1)
    inside = ndimage.uniform_filter(np.ones(values.shape[-2:]), size[-2:], mode="constant")
    return ndimage.uniform_filter(values, size, mode="constant") / inside


def centred_ranks(values: ArrayLike, window: Window = 0, absolute: bool = False) -> np.ndarray:
    """Ranks of the smoothed maps' cells, with mean 0 and length 1 for each map (0 for a constant map)."""
    (values,) = _maps(values)
    values = np.abs(values) if absolute else values
    values = smoothed(values, window) if max(window_radii(window)) else values
    ranks = stats.rankdata(values.reshape(*values.shape[:-2], -1), axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(ranks, axis=-1, keepdims=True)
    return np.divide(ranks, length, out=np.zeros_like(ranks), where=length > 0).reshape(values.shape)


def spearman(a: ArrayLike, b: ArrayLike, window: Window = 0, *, absolute: bool = False) -> np.ndarray | float:
    """Spearman's rank correlation of maps that are smoothed by the window first (LENS-Spearman); 0 if one is constant.

    The default window smooths nothing.
    """
    first, second = (centred_ranks(values, window, absolute) for values in _maps(a, b))
    found = np.clip((first * second).sum(axis=(-2, -1)), -1.0, 1.0)
    return float(found) if np.ndim(found) == 0 else found


def kendall(a: ArrayLike, b: ArrayLike, window: Window = 0, *, absolute: bool = False) -> np.ndarray | float:
    """Kendall's tau-b of maps that are smoothed by the window first (LENS-Kendall); 0 if one is constant."""
    a, b = (np.abs(values) if absolute else values for values in _maps(a, b))
    first, second = (smoothed(values, window) if max(window_radii(window)) else values for values in (a, b))
    cells = a.shape[-2] * a.shape[-1]
    pairs = zip(first.reshape(-1, cells), second.reshape(-1, cells), strict=True)
    found = np.array([stats.kendalltau(one, other).statistic for one, other in pairs])
    found = np.nan_to_num(found).reshape(a.shape[:-2])
    return float(found) if np.ndim(found) == 0 else found


def mass_centre(a: ArrayLike, *, absolute: bool = True) -> np.ndarray:
    """Centre of a map's mass in (frames, bands), (..., 2): where the explanation points on the whole.

    Magnitudes are the masses; ``absolute=False`` takes the positive values alone. A map without mass has NaN.
    """
    (a,) = _maps(a)
    mass = np.abs(a) if absolute else np.maximum(a, 0)
    total = mass.sum(axis=(-2, -1))
    frames, bands = (np.arange(extent) for extent in a.shape[-2:])
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = [(mass.sum(axis=-1) @ frames) / total, (mass.sum(axis=-2) @ bands) / total]
    return np.stack(centre, axis=-1)
