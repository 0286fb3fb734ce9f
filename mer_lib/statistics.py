"""What differences between systems are worth when every seed meets the same test clips.

Seeds and clips are crossed: a clip that is easy for one network is easy for the next, so the 10 x 36 values of a system
are not 360 independent ones. Means get intervals from the two-way random-effects model, other statistics from a
bootstrap that draws seeds and clips anew and apart (Owen 2007, Annals of Applied Statistics 1(2), "pigeonhole
bootstrap"). Pairs of systems are tested over seeds by flipping signs, with Holm's correction. The paper's test, which
pools seeds and clips, stands beside them under its name.

Notebooks: 09_credibility, 13_published_runs
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

EXACT_UP_TO = 16  # seeds: 65 536 sign patterns are all looked at; above, patterns are drawn


class Interval(NamedTuple):
    """An estimate and the ends of its interval; each a number, or an array over the leading dimensions."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray


def _table(values: ArrayLike) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim < 2 or min(values.shape[-2:]) < 1:
        raise ValueError(f"values {values.shape}: expected (..., seeds, clips)")
    if not np.isfinite(values).all():
        raise ValueError("values hold NaN or infinity: leave out clips that not every seed has a value for")
    return values


def random_effects_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean over seeds and clips with the interval of the two-way random-effects model, both factors random.

    value = mean + seed + clip + rest; the variance of the mean comes from the mean squares, components that would be
    negative count as 0, and the degrees of freedom are Satterthwaite's (Searle, Casella & McCulloch 1992, ch. 4).

    Parameters
    ----------
    values
        (..., seeds, clips), at least two of each.
    """
    values = _table(values)
    seeds, clips = values.shape[-2:]
    if seeds < 2 or clips < 2:
        raise ValueError(f"{seeds} seeds x {clips} clips: at least two of each; see clips_interval for one seed")
    mean = values.mean(axis=(-2, -1))
    of_seed, of_clip = values.mean(axis=-1), values.mean(axis=-2)
    rest = values - of_seed[..., :, None] - of_clip[..., None, :] + mean[..., None, None]
    by_rest = (rest**2).sum(axis=(-2, -1)) / ((seeds - 1) * (clips - 1))
    by_seed = np.maximum(clips * of_seed.var(axis=-1, ddof=1), by_rest)
    by_clip = np.maximum(seeds * of_clip.var(axis=-1, ddof=1), by_rest)
    total = by_seed + by_clip - by_rest
    freedom = by_seed**2 / (seeds - 1) + by_clip**2 / (clips - 1) + by_rest**2 / ((seeds - 1) * (clips - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.where(freedom > 0, total**2 / freedom, seeds - 1)
    half = stats.t.ppf(0.5 + level / 2, freedom) * np.sqrt(total / (seeds * clips))
    return Interval(mean, mean - half, mean + half)


def clips_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean with an interval over clips alone: what it says holds for exactly these networks, not for new seeds.

    Parameters
    ----------
    values
        (..., seeds, clips), at least two clips.
    """
    of_clip = _table(values).mean(axis=-2)
    if of_clip.shape[-1] < 2:
        raise ValueError("one clip has no interval: at least two are needed")
    mean, clips = of_clip.mean(axis=-1), of_clip.shape[-1]
    half = stats.t.ppf(0.5 + level / 2, clips - 1) * of_clip.std(axis=-1, ddof=1) / np.sqrt(clips)
    return Interval(mean, mean - half, mean + half)


def grouped_interval(values: ArrayLike, groups: ArrayLike, level: float = 0.95) -> Interval:
    """Mean with an interval over groups of clips, such as albums, whose clips are not independent of each other.

    The variance of the mean comes from the groups' summed residuals, with groups - 1 degrees of freedom (Cameron &
    Miller 2015, Journal of Human Resources 50(2), Sections II and VI); with one clip a group it is
    :func:`clips_interval`. From two seeds on what seeds have in common is added, and the degrees of freedom are those
    of the rarer of the two. With few groups such intervals are still rather too narrow.

    Parameters
    ----------
    values
        (..., seeds, clips).
    groups
        (clips,), the group of each clip; at least two.
    """
    values, groups = _table(values), np.asarray(groups)
    seeds, clips = values.shape[-2:]
    names, member = np.unique(groups, return_inverse=True)
    if groups.shape != (clips,) or len(names) < 2:
        raise ValueError(f"{len(names)} group(s) for {groups.shape} of {clips} clips: one a clip, at least two in all")
    of_clip = values.mean(axis=-2)
    mean = of_clip.mean(axis=-1)
    sums = (of_clip - mean[..., None]) @ (member[:, None] == np.arange(len(names)))
    variance, freedom = len(names) / (len(names) - 1) * (sums**2).sum(axis=-1) / clips**2, len(names) - 1
    if seeds > 1:
        of_seed = values.mean(axis=-1)
        rest = values - of_seed[..., :, None] - of_clip[..., None, :] + mean[..., None, None]
        by_rest = (rest**2).sum(axis=(-2, -1)) / ((seeds - 1) * max(1, clips - 1))
        variance = variance + np.maximum(of_seed.var(axis=-1, ddof=1) / seeds - by_rest / (seeds * clips), 0)
        freedom = min(freedom, seeds - 1)
    half = stats.t.ppf(0.5 + level / 2, freedom) * np.sqrt(variance)
    return Interval(mean, mean - half, mean + half)


def _expanded(level: float, units: int) -> float:
    """Tail probability of a percentile interval widened for few units (Hesterberg 2015, The American Statistician)."""
    return float(stats.norm.cdf(-np.sqrt(units / (units - 1)) * stats.t.ppf(0.5 + level / 2, units - 1)))


def clip_draws(clips: int, groups: ArrayLike | None = None, *, draws: int = 2000, seed: int = 0) -> np.ndarray:
    """How often each clip is drawn when clips, or whole groups of them, are drawn with replacement: (draws, clips)."""
    member = np.arange(clips) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    units = int(member.max()) + 1
    if member.shape != (clips,) or units < 2:
        raise ValueError(f"{units} group(s) for {member.shape} of {clips} clips: one a clip, at least two in all")
    return np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=draws)[:, member]


def percentile_interval(drawn: ArrayLike, units: int, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the interval of a statistic from its resamples (..., draws), widened for the number of units drawn."""
    tail = _expanded(level, units)
    low, high = np.quantile(np.asarray(drawn, dtype=np.float64), [tail, 1 - tail], axis=-1)
    return low, high


def crossed_bootstrap(
    values: ArrayLike,
    statistic: Callable[[np.ndarray], float] | None = None,
    *,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of a statistic when seeds and clips are drawn anew, each with replacement and apart from the other.

    The percentiles are widened for the number of seeds: plain ones are too narrow below about 30. Drawing both ways
    counts what is left over beside seeds and clips up to three times, so the interval errs on the wide side.

    Parameters
    ----------
    values
        (..., seeds, clips) for the mean; with ``statistic`` (seeds, clips, ...), whatever it takes.
    statistic
        Of an array (seeds, clips, ...) to a number, such as a correlation or a ratio; the mean by default.
    draws, seed
        Number of resamples, and the generator's seed.
    """
    random = np.random.default_rng(seed)
    values = _table(values) if statistic is None else np.asarray(values, dtype=np.float64)
    seeds, clips = values.shape[-2:] if statistic is None else values.shape[:2]
    if seeds < 2 or clips < 2:
        raise ValueError(f"{seeds} seeds x {clips} clips: at least two of each to draw from")
    if statistic is None:
        times_seed = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws)
        times_clip = random.multinomial(clips, np.full(clips, 1 / clips), size=draws)
        found = np.einsum("...sd,ds->...d", values @ times_clip.T, times_seed) / (seeds * clips)
        estimate = values.mean(axis=(-2, -1))
    else:
        cells = (np.ix_(random.integers(seeds, size=seeds), random.integers(clips, size=clips)) for _ in range(draws))
        found, estimate = np.array([statistic(values[cell]) for cell in cells]), np.asarray(statistic(values))
    return Interval(estimate, *percentile_interval(found, seeds, level))


def smallest_p(seeds: int) -> float:
    """The smallest two-sided p that flipping the signs of so many seeds can give: 2 of 2^n patterns."""
    return min(1.0, 2.0 ** (1 - seeds))


def permutation_test(differences: ArrayLike, draws: int = 100_000, seed: int = 0) -> float:
    """Two-sided p of a paired permutation test: were the two systems' names exchanged at random within each seed.

    Parameters
    ----------
    differences
        (seeds,), one system's value minus the other's, seed by seed. Up to 16 seeds all sign patterns are looked at.
    """
    differences = np.asarray(differences, dtype=np.float64)
    if differences.ndim != 1 or len(differences) == 0 or not np.isfinite(differences).all():
        raise ValueError(f"differences {differences.shape}: one finite number a seed")
    count = len(differences)
    observed = np.abs(differences.sum()) - 1e-12 * np.abs(differences).sum()  # sums in another order round otherwise
    if count <= EXACT_UP_TO:
        signs = 1 - 2 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)
        sums = np.abs(signs @ differences)
        return float(np.mean(sums >= observed))
    signs = 1 - 2 * np.random.default_rng(seed).integers(2, size=(draws, count), dtype=np.int8)
    extreme = (np.abs(signs @ differences) >= observed).sum()
    return float((extreme + 1) / (draws + 1))  # the pattern that was observed is one of them


def holm(p_values: ArrayLike) -> np.ndarray:
    """Holm's (1979) adjusted p of a family of tests, in the order given; NaN stays NaN and is not counted."""
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted, known = np.full_like(p_values, np.nan), np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1.0)
    return adjusted


def effect_size(differences: ArrayLike) -> float:
    """Hedges' g of paired differences (seeds,): their mean in their own standard deviations, corrected for few seeds.

    NaN for one seed or differences without any spread.
    """
    differences = np.asarray(differences, dtype=np.float64)
    count = len(differences)
    spread = differences.std(ddof=1) if count > 1 else 0.0
    if spread <= 1e-12 * np.abs(differences).max(initial=0.0):  # equal numbers have a spread by rounding
        return float("nan")
    return float(differences.mean() / spread * (1 - 3 / (4 * (count - 1) - 1)) if count > 2 else np.nan)


def pooled_t_test(first: ArrayLike, second: ArrayLike) -> tuple[float, float]:
    """The paper's test (its Section 6): a paired t-test over all seeds x clips as if independent; t and p.

    They are not: the p is far too small wherever clips or seeds have anything in common.
    """
    result = stats.ttest_rel(np.ravel(first), np.ravel(second))
    return float(result.statistic), float(result.pvalue)
