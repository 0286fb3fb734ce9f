"""How much two attribution maps agree by chance, and what is left of an agreement without it: 0 = chance, 1 = the same.

Two maps of noise, 28 x 28 cells, k = 100, agree by 0.13 in top-k, 0.69 in LENS-recall with 3 x 3 windows and 0.95 with
5 x 5: a figure near 1 says nothing by itself. Four kinds of chance, from the blindest to the strictest:

- ``noise``: independent maps without any structure, in closed form;
- ``shifts``: the real maps, one of them moved round in time and frequency. Its mean depends on how much of the map the
  windows cover, so clumped maps may agree *less* than noise on average; but single shifts agree far better, because
  whole clumps meet. Mean, spread and the share of shifts that agree at least as well are all given;
- ``time``: moved round in time alone: the bands that matter stay the same;
- ``clips``: the map of one clip against those of other clips: independent maps of the same network.

Corrected agreement is (score - chance) / (1 - chance), as in Cohen's kappa; NaN where chance is 1.

Notebook: 11_attribution_robustness
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import fft
from scipy.special import gammaln

from mer_lib import lens
from mer_lib.lens import Window, window_radii

NULLS = ("noise", "shifts", "time", "clips")
SETS = ("top-k", "LENS-recall", "LENS-precision")
DIVERSE = ("top-k-div", "LENS-recall-div", "LENS-precision-div")
RANKS = ("Spearman", "LENS-Spearman")
TAUS = ("Kendall", "LENS-Kendall")
MEASURES = (*SETS, *DIVERSE, *RANKS, *TAUS)


def corrected(score: ArrayLike, chance: ArrayLike) -> np.ndarray:
    """(score - chance) / (1 - chance): 0 where the agreement is that of chance, 1 where the maps are the same."""
    score, chance = np.asarray(score, dtype=np.float64), np.asarray(chance, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(chance < 1 - 1e-12, (score - chance) / (1 - chance), np.nan)


def window_sizes(shape: tuple[int, int], window: Window) -> np.ndarray:
    """Number of cells in each cell's window, (frames, bands): fewer at the edges."""
    sides = []
    for extent, radius in zip(shape, window_radii(window), strict=True):
        at = np.arange(extent)
        sides.append(np.minimum(at + radius, extent - 1) - np.maximum(at - radius, 0) + 1)
    return np.outer(*sides)


def noise_chance(shape: tuple[int, int], k: int, window: Window = 0) -> float:
    """Expected LENS-recall (and precision) of two independent maps of noise; with window 0, of top-k: k / cells.

    A cell of S' has no cell of S in its window of m cells with probability C(n - m, k) / C(n, k).
    """
    cells, sizes = int(np.prod(shape)), window_sizes(shape, window)
    if not 1 <= k <= cells:
        raise ValueError(f"k = {k}: between 1 and the map's {cells} cells")
    rest = np.maximum(cells - sizes - k, 0)
    missed = gammaln(cells - sizes + 1) - gammaln(rest + 1) - gammaln(cells + 1) + gammaln(cells - k + 1)
    return float(np.where(cells - sizes >= k, 1 - np.exp(missed), 1.0).mean())


@lru_cache(maxsize=32)
def _diverse_noise(shape: tuple[int, int], k: int, window: tuple[int, int], draws: int) -> tuple[float, float]:
    """Simulated top-k-div and LENS-recall-div of two maps of noise."""
    maps = np.random.default_rng(0).normal(size=(2, draws, *shape))
    scores = [lens.top_k(*maps, k, diverse=window), lens.recall(*maps, k, window, diverse=True)]
    return tuple(float(np.mean(score)) for score in scores)


class _Product(NamedTuple):
    """An agreement of the form sum(left x right) / size, for a stack of maps: left and right (clips, frames, bands)."""

    left: np.ndarray
    right: np.ndarray
    size: np.ndarray


def _products(
    before: np.ndarray, after: np.ndarray, k: int, window: tuple[int, int], measures: tuple[str, ...]
) -> dict[str, _Product]:
    found = {}
    for names, diverse in ((SETS, None), (DIVERSE, window)):
        if not set(names) & set(measures):
            continue
        first, second = (lens.top_cells(values, k, diverse=diverse) for values in (before, after))
        sizes = [cells.sum(axis=(1, 2)) for cells in (first, second)]
        near = [lens.neighbourhood(cells, window) for cells in (first, second)]
        found |= {
            names[0]: _Product(first, second, np.maximum(*sizes)),
            names[1]: _Product(near[0], second, sizes[1]),
            names[2]: _Product(first, near[1], sizes[0]),
        }
    for name, radius in zip(RANKS, (0, window), strict=True):
        if name not in measures:
            continue
        ranks = [lens.centred_ranks(values, radius) for values in (before, after)]
        found[name] = _Product(*ranks, np.ones(len(before)))
    return found


def shift_scores(left: ArrayLike, right: ArrayLike, size: float = 1.0) -> np.ndarray:
    """sum(left x right) / size for every circular shift of the right map, (frames, bands); [0, 0] is unshifted."""
    left, right = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    return fft.irfft2(fft.rfft2(left) * np.conj(fft.rfft2(right)), s=left.shape[-2:]) / size


def _noise(measure: str, shape: tuple[int, int], k: int, window: tuple[int, int], draws: int) -> float:
    if measure in SETS:
        return noise_chance(shape, k, 0 if measure == "top-k" else window)
    if measure in DIVERSE:
        return _diverse_noise(shape, k, window, draws)[0 if measure == "top-k-div" else 1]
    return 0.0


def _of_product(measure: str, product: _Product) -> pd.DataFrame:
    clips = len(product.left)
    left, right = (values.reshape(clips, -1).astype(np.float32) for values in product[:2])
    pairs = (left @ right.T).astype(np.float64) / np.maximum(product.size, 1)[None, :]
    if measure.startswith("LENS-precision"):  # its size belongs to the left map
        pairs = (left @ right.T).astype(np.float64) / np.maximum(product.size, 1)[:, None]
    rows = []
    for clip in range(clips):
        shifted = shift_scores(product.left[clip], product.right[clip], product.size[clip])
        score, others = shifted[0, 0], np.delete(pairs[clip], clip)
        rows.append(
            {
                "score": score,
                "chance_shifts": shifted.mean(),
                "chance_time": shifted[:, 0].mean(),
                "chance_clips": others.mean() if len(others) else np.nan,
                "spread_shifts": shifted.std(),
                "as_good": np.mean(shifted >= score - 1e-9),
            }
        )
    return pd.DataFrame(rows)


def _of_taus(before: np.ndarray, after: np.ndarray, window: tuple[int, int], draws: int) -> pd.DataFrame:
    """Kendall's tau is no product of maps: its chance comes from a few random shifts and the next clip."""
    random, rows = np.random.default_rng(0), []
    a, b = (lens.smoothed(values, window) if max(window) else values for values in (before, after))
    for clip in range(len(a)):
        score = lens.kendall(a[clip], b[clip])
        steps = [[int(random.integers(1, extent)) for extent in b.shape[1:]] for _ in range(draws)]
        shifted = [lens.kendall(a[clip], np.roll(b[clip], step, axis=(0, 1))) for step in steps]
        moved = [lens.kendall(a[clip], np.roll(b[clip], step[0], axis=0)) for step in steps]
        rows.append(
            {
                "score": score,
                "chance_shifts": np.mean(shifted),
                "chance_time": np.mean(moved),
                "chance_clips": lens.kendall(a[clip], b[(clip + 1) % len(b)]) if len(b) > 1 else np.nan,
                "spread_shifts": np.std(shifted),
                "as_good": (1 + np.sum(np.array(shifted) >= score)) / (1 + draws),
            }
        )
    return pd.DataFrame(rows)


def agreement(
    before: ArrayLike,
    after: ArrayLike,
    k: int,
    window: Window,
    *,
    measures: tuple[str, ...] = (*SETS, *DIVERSE, *RANKS),
    absolute: bool = False,
    draws: int = 8,
) -> pd.DataFrame:
    """Every measure of agreement between maps before and after, with its chances and corrected forms.

    Parameters
    ----------
    before, after
        (clips, frames, bands), or one map each.
    k, window
        As for :func:`mer_lib.lens.recall`; the same window drops cells of the diverse top-k and smooths the maps of
        LENS-Spearman and LENS-Kendall.
    measures
        Of :data:`MEASURES`; Kendall's tau takes much longer than the others.
    draws
        Pairs of noise maps for the diverse measures, and random shifts for Kendall's tau.

    Returns
    -------
    pandas.DataFrame
        A row a clip and measure: score; chance_noise, chance_shifts, chance_time, chance_clips; spread_shifts (standard
        deviation over all shifts); as_good (share of the shifts, the unshifted one included, that agree at least as
        well); corrected_noise, corrected_shifts, corrected_time, corrected_clips.
    """
    before, after = (np.asarray(values, dtype=np.float64) for values in (before, after))
    if unknown := set(measures) - set(MEASURES):
        raise ValueError(f"unknown measures {sorted(unknown)}: of {', '.join(MEASURES)}")
    if before.ndim == 2:
        before, after = before[None], after[None]
    if absolute:
        before, after = np.abs(before), np.abs(after)
    window, tables = window_radii(window), []
    products = _products(before, after, k, window, measures)
    for measure in measures:
        table = (
            _of_taus(before, after, window if measure == "LENS-Kendall" else (0, 0), draws)
            if measure in TAUS
            else _of_product(measure, products[measure])
        )
        table.insert(1, "chance_noise", _noise(measure, before.shape[1:], k, window, draws))
        tables.append(table.assign(measure=measure, clip=np.arange(len(before))))
    table = pd.concat(tables, ignore_index=True)
    for null in NULLS:
        table[f"corrected_{null}"] = corrected(table["score"], table[f"chance_{null}"])
    return table[["clip", "measure", *(name for name in table.columns if name not in ("clip", "measure"))]]


def all_shifts(a: ArrayLike, b: ArrayLike, k: int, window: Window, measures: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Scores of every circular shift of b against a, measure -> (frames, bands); [0, 0] is the real score."""
    maps = (np.asarray(values, dtype=np.float64)[None] for values in (a, b))
    products = _products(*maps, k, window_radii(window), measures)
    return {name: shift_scores(*(values[0] for values in products[name])) for name in measures}


def picture(
    before: ArrayLike, after: ArrayLike, clip: int, k: int, window: Window, measures: tuple[str, ...], bins: int = 60
) -> pd.DataFrame:
    """One clip's agreement among its chances, to be drawn: columns measure, kind, low, high, share.

    Rows of kind "shift" are bins of the scores of all circular shifts; every other kind is one value (low = high): the
    score, and the chances of :data:`NULLS` (of other clips where there are any).
    """
    before, after = np.asarray(before), np.asarray(after)
    table, rows = agreement(before, after, k, window, measures=measures).set_index(["clip", "measure"]), []
    for measure, scores in all_shifts(before[clip], after[clip], k, window, measures).items():
        counts, edges = np.histogram(scores, bins=bins)
        rows += [[measure, "shift", *ends] for ends in zip(edges, edges[1:], counts / scores.size, strict=False)]
        found = table.loc[(clip, measure)]
        marks = {"after the attack": found["score"]} | {f"chance: {null}": found[f"chance_{null}"] for null in NULLS}
        rows += [[measure, kind, value, value, np.nan] for kind, value in marks.items() if np.isfinite(value)]
    return pd.DataFrame(rows, columns=["measure", "kind", "low", "high", "share"])


def windows(
    before: ArrayLike,
    after: ArrayLike,
    k: int,
    milliseconds: Sequence[float],
    bands: Sequence[int],
    null: str = "clips",
) -> pd.DataFrame:
    """LENS-recall with windows of several sizes, means over the clips: milliseconds, bands, score, chance, corrected.

    The chance is one of :data:`NULLS`; with a single clip ``clips`` is not known and ``time`` stands in.
    """
    rows = []
    for length in milliseconds:
        for height in bands:
            table = agreement(before, after, k, lens.radii(length, height), measures=("LENS-recall",))
            used = null if table[f"chance_{null}"].notna().all() else "time"
            means = table[["score", f"chance_{used}", f"corrected_{used}"]].mean()
            rows.append([length, height, *means])
    return pd.DataFrame(rows, columns=["milliseconds", "bands", "score", "chance", "corrected"])
