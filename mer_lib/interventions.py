"""What if a quality were another? Asked of the network, by setting a neuron, and of the world, by other pieces.

Setting a neuron of the bottleneck moves every emotion along its weight: so much, says the network, does the emotion
depend on the quality. In the Études it can be held against the truth, because the listener model is known: the oracle
is linear in the eleven causes and one product. Between the two stand the pieces themselves, and they mislead: dissonant
pieces are also less tonal and more minor, so comparing dissonant pieces with plain ones compares three qualities at
once. Honest is the comparison of pieces that differ in one quality and are alike in the other causes (matching; Stuart
2010, Statistical Science 25(1)), or a regression that holds the other causes fixed, where they are all known.

Slopes are changes of a rating (scale 0 to 1) per unit of a mid-level value (as the corpus has them, 0 to 1).

Notebook: 10_explain
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist

from mer_lib.dataset import EMOTIONS, MIDLEVEL
from mer_lib.metrics import mean_absolute_error, mean_correlation
from mer_lib.models import Network
from mer_lib.places import data_folder
from mer_lib.preparation import Prepared

OUTSIDE = ("tempo", "register", "loudness", "brightness")
CAUSES = (*MIDLEVEL, *OUTSIDE)
PRODUCT = "minorness x tempo"


@dataclass(frozen=True, eq=False)
class Composed:
    """What is known about composed pieces, a row a clip of a prepared corpus.

    Attributes
    ----------
    causes
        Seven qualities, on the scale of the corpus's mid-level values, and four outside causes in [0, 1].
    oracle
        (clips, 8), the mean rating of a noiseless listener, on the corpus's scale of 0 to 1.
    slopes
        The listener model, recovered by least squares: causes, the product minorness x tempo, and "constant"; a column
        an emotion.
    residual
        Largest deviation of the oracle from this model: 0 but for rounding, or the model is another.
    """

    causes: pd.DataFrame
    oracle: pd.DataFrame
    slopes: pd.DataFrame
    residual: float

    def ratings(self, causes: pd.DataFrame) -> pd.DataFrame:
        """The noiseless listener's ratings of pieces with other causes, (pieces, 8)."""
        return _terms(causes) @ self.slopes

    def truth(self, rows: np.ndarray | slice = slice(None)) -> pd.DataFrame:
        """True slope of every emotion in every quality, the other causes held fixed; mean over some pieces.

        The product makes the slope of minorness depend on the piece's tempo.
        """
        slopes = self.slopes.loc[list(MIDLEVEL)].copy()
        slopes.loc["minorness"] += self.causes["tempo"].iloc[rows].mean() * self.slopes.loc[PRODUCT]
        return slopes


def _terms(causes: pd.DataFrame) -> pd.DataFrame:
    terms = causes[list(CAUSES)].astype(np.float64)
    return terms.assign(**{PRODUCT: terms["minorness"] * terms["tempo"], "constant": 1.0})


def composed(prepared: Prepared, data_dir: str | Path = "data") -> Composed | None:
    """The truth about a prepared corpus, or None where there is none: only the Études were composed.

    Parameters
    ----------
    prepared
        The Études or a part of them.
    data_dir
        Folder of the corpora.
    """
    path = data_folder(data_dir) / "etudes" / "truth.csv"
    if prepared.info["corpus"] != "etudes" or not path.is_file():
        return None
    everything = pd.read_csv(path, dtype={"number": str}).set_index("number")
    every = everything[list(CAUSES)].copy()
    every[list(MIDLEVEL)] = (3 + 5 * every[list(MIDLEVEL)]) / 10  # as compose.py writes them, on the corpus's scale
    oracle = everything[[f"oracle_{emotion}" for emotion in EMOTIONS]].set_axis(list(EMOTIONS), axis=1) / 10
    terms = _terms(every)
    found = np.linalg.lstsq(terms.to_numpy(), oracle.to_numpy(), rcond=None)[0]
    slopes = pd.DataFrame(found, index=terms.columns, columns=list(EMOTIONS))
    residual = float(np.abs(terms.to_numpy() @ found - oracle.to_numpy()).max())
    ids = prepared.table["id"].astype(str)
    return Composed(every.loc[ids].reset_index(drop=True), oracle.loc[ids].reset_index(drop=True), slopes, residual)


def set_quality(model: Network, midlevel: np.ndarray, quality: str, values: np.ndarray) -> np.ndarray:
    """Set one neuron to values and let the last layer say the emotions: (values, clips, 8).

    Parameters
    ----------
    midlevel
        What the bottleneck says, (clips, 7); the other neurons stay as they are.
    """
    if not model.system.midlevel_weight:
        raise ValueError(f"{model.system.name} has no neuron that was taught {quality}")
    changed = np.repeat(np.asarray(midlevel, dtype=np.float32)[None], len(values), axis=0)
    changed[:, :, MIDLEVEL.index(quality)] = np.asarray(values, dtype=np.float32)[:, None]
    with torch.no_grad():
        return model.emotion_head(torch.from_numpy(changed)).numpy()


def _standardised(causes: pd.DataFrame) -> pd.DataFrame:
    return (causes - causes.mean()) / causes.std()


def matched_pairs(causes: pd.DataFrame, quality: str, pairs: int | None = None) -> pd.DataFrame:
    """Pairs of pieces that differ in one quality and are as alike as possible in the other causes.

    Pairs are taken in the order of (difference in the quality) / (squared Euclidean distance in the other causes), both
    in standard deviations, and every piece once.

    Parameters
    ----------
    pairs
        How many; a sixth of the pieces by default. More pairs are less alike.

    Returns
    -------
    pandas.DataFrame
        Columns low, high (rows of ``causes``) and distance (in standard deviations).
    """
    values = _standardised(causes)
    of_quality, others = values[quality].to_numpy(), values.drop(columns=quality).to_numpy()
    difference, distance = of_quality[None, :] - of_quality[:, None], cdist(others, others)
    worth = np.where(difference > 0, difference / np.maximum(distance, 1e-9) ** 2, 0.0)
    free, found = np.ones(len(values), dtype=bool), []
    for place in np.argsort(-worth, axis=None, kind="stable"):
        low, high = divmod(int(place), len(values))
        if worth[low, high] <= 0 or len(found) == (pairs or max(2, len(values) // 6)):
            break
        if free[low] and free[high]:
            free[[low, high]] = False
            found.append((low, high, distance[low, high]))
    return pd.DataFrame(found, columns=["low", "high", "distance"])


def _through_zero(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Slope of each column of y on x by least squares, the line going through 0."""
    return x @ y / (x @ x)


def _gaps(values: np.ndarray, pairs: pd.DataFrame) -> np.ndarray:
    return values[pairs["high"]] - values[pairs["low"]]


def balance(causes: pd.DataFrame, quality: str, pairs: int | None = None) -> pd.DataFrame:
    """How much the other causes move along when the quality moves: 0 where a comparison is fair.

    Returns
    -------
    pandas.DataFrame
        Index the other causes; columns "all pieces" and "matched": standard deviations of the cause for one standard
        deviation of the quality (over all pieces that is their correlation).
    """
    values = _standardised(causes)
    gaps = _gaps(values.to_numpy(), matched_pairs(causes, quality, pairs))
    moved = {
        "all pieces": values.corr()[quality],
        "matched": pd.Series(_through_zero(gaps[:, list(causes).index(quality)], gaps), index=causes.columns),
    }
    return pd.DataFrame(moved).drop(index=quality)


def slopes_between(causes: pd.DataFrame, answers: np.ndarray, quality: str, pairs: int | None = None) -> pd.DataFrame:
    """Slope of every answer in a quality, as pieces show it.

    Parameters
    ----------
    answers
        (pieces, 8): ratings, or what a network says.

    Returns
    -------
    pandas.DataFrame
        Index the emotions; columns "all pieces" (whatever else differs), "matched" (:func:`matched_pairs`) and
        "regression" (all causes and the product of :class:`Composed` held fixed, at the pieces' mean tempo).
    """
    answers, of_quality = np.asarray(answers, dtype=np.float64), causes[quality].to_numpy(np.float64)
    chosen, terms = matched_pairs(causes, quality, pairs), _terms(causes)
    fit = pd.DataFrame(np.linalg.lstsq(terms.to_numpy(), answers, rcond=None)[0], index=terms.columns)
    held = fit.loc[quality] + (causes["tempo"].mean() * fit.loc[PRODUCT] if quality == "minorness" else 0.0)
    return pd.DataFrame(
        {
            "all pieces": _through_zero(of_quality - of_quality.mean(), answers - answers.mean(axis=0)),
            "matched": _through_zero(_gaps(of_quality, chosen), _gaps(answers, chosen)),
            "regression": held.to_numpy(),
        },
        index=list(EMOTIONS),
    )


def compare_slopes(
    model: Network, known: Composed, ratings: np.ndarray, answers: np.ndarray, pairs: int | None = None
) -> pd.DataFrame:
    """Every way of asking what a quality does to an emotion, beside the truth; tidy.

    Parameters
    ----------
    ratings, answers
        Mean ratings by (simulated) listeners and what the network says to the same pieces, (pieces, 8).

    Returns
    -------
    pandas.DataFrame
        quality, emotion, source ("listeners" or the system), comparison ("neuron set", "all pieces", "matched",
        "regression"), slope, truth.
    """
    truth, rows = known.truth(), []
    weights = pd.DataFrame(model.emotion_head.weight.detach().numpy().T, index=list(MIDLEVEL), columns=list(EMOTIONS))
    for quality in MIDLEVEL:
        found = {(model.system.name, "neuron set"): weights.loc[quality]}
        for source, values in (("listeners", ratings), (model.system.name, answers)):
            slopes = slopes_between(known.causes, values, quality, pairs)
            found |= {(source, comparison): slopes[comparison] for comparison in slopes}
        for (source, comparison), slopes in found.items():
            rows += [
                {"quality": quality, "emotion": emotion, "source": source, "comparison": comparison}
                | {"slope": float(slopes[emotion]), "truth": float(truth.loc[quality, emotion])}
                for emotion in EMOTIONS
            ]
    return pd.DataFrame(rows)


def slope_agreement(table: pd.DataFrame) -> pd.DataFrame:
    """How near each way of asking comes to the truth over all qualities and emotions.

    Returns
    -------
    pandas.DataFrame
        Index source and comparison: correlation ``r`` with the true slopes, share of the ``same sign`` among those that
        are not 0, mean absolute ``error``, and ``size``: slope of the regression on the truth through 0 (1 is right).
    """
    rows = {}
    for key, part in table.groupby(["source", "comparison"], sort=False):
        slope, truth = part["slope"].to_numpy(), part["truth"].to_numpy()
        real = np.abs(truth) > 0.01 * np.abs(truth).max()
        rows[key] = {
            "r": np.corrcoef(slope, truth)[0, 1],
            "same sign": np.mean(np.sign(slope[real]) == np.sign(truth[real])),
            "error": np.abs(slope - truth).mean(),
            "size": (slope @ truth) / (truth @ truth),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["source", "comparison"])


def corrected(model: Network, midlevel: np.ndarray, known: np.ndarray, ratings: np.ndarray) -> pd.DataFrame:
    """Replace neurons by the true values and listen to the emotions: do they get better? Over all 128 subsets.

    Test-time intervention as for concept bottlenecks (Koh et al. 2020), here for every subset instead of one order.

    Parameters
    ----------
    midlevel, known
        (clips, 7), said and true.
    ratings
        (clips, 8).

    Returns
    -------
    pandas.DataFrame
        A row a subset: the qualities, how many, MAE and mean correlation of the emotions.
    """
    rows = []
    for number in range(2 ** len(MIDLEVEL)):
        chosen = np.array([bool(number >> place & 1) for place in range(len(MIDLEVEL))])
        values = np.where(chosen, known, midlevel).astype(np.float32)
        with torch.no_grad():
            emotions = model.emotion_head(torch.from_numpy(values)).numpy()
        rows.append(
            {
                "qualities": " + ".join(np.array(MIDLEVEL)[chosen]),
                "corrected": int(chosen.sum()),
                "MAE": mean_absolute_error(ratings, emotions),
                "correlation": mean_correlation(ratings, emotions),
            }
        )
    return pd.DataFrame(rows)
