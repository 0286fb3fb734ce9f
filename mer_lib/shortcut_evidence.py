"""Who uses a planted shortcut, shown by intervention, by scores without it, and by explanations.

The intervention is the known answer: the same music with the property in several strengths. Scores say what the use
costs where the property is gone. Explanations are then judged by whether they would have told.

Notebook: 10_explain
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mer_lib.bim import frozen
from mer_lib.dataset import EMOTIONS, MIDLEVEL
from mer_lib.effects import effects, neuron_names
from mer_lib.explanations import Attribution, attribute
from mer_lib.metrics import absolute_errors, correlations
from mer_lib.models import Network, Prediction, predict
from mer_lib.preparation import spectrograms_of
from mer_lib.shortcut import VARIANTS, with_shortcut
from mer_lib.spectrogram import band_frequencies


def with_amount(waveforms: np.ndarray, shortcut: dict, amount: float) -> np.ndarray:
    """Give clips the property in one strength, whatever their rating: amount -1 to 1 stands for a rating of 0 to 1.

    Parameters
    ----------
    waveforms
        (clips, samples) without the property.
    shortcut
        As ``Prepared.info["shortcut"]`` has it.
    """
    ratings = np.full((len(waveforms), len(EMOTIONS)), 0.5 + amount / 2, dtype=np.float32)
    return with_shortcut(waveforms, ratings, shortcut)


def variant_answers(
    networks: Mapping[str, Network], waveforms: np.ndarray, ratings: np.ndarray, shortcut: dict
) -> dict[tuple[str, str], Prediction]:
    """What networks say to test clips with the shortcut present, absent and reversed: (network, variant) -> answers."""
    found = {}
    for variant, sign in VARIANTS.items():
        spectrograms = spectrograms_of(with_shortcut(waveforms, ratings, shortcut, sign))
        found |= {(name, variant): predict(model, spectrograms) for name, model in networks.items()}
    return {(name, variant): found[name, variant] for name in networks for variant in VARIANTS}


def variant_scores(
    answers: Mapping[tuple[str, str], Prediction], ratings: np.ndarray, midlevel: np.ndarray, emotion: str
) -> pd.DataFrame:
    """How well networks do with the shortcut present, absent and reversed.

    Returns
    -------
    pandas.DataFrame
        network, variant, correlation and MAE of the emotion the shortcut is tied to, mean correlation of the seven
        others, and of the qualities (NaN without a taught bottleneck).
    """
    at, rows = EMOTIONS.index(emotion), []
    for (name, variant), said in answers.items():
        r, known = correlations(ratings, said.emotions), np.isfinite(midlevel).all()
        rows.append(
            {
                "network": name,
                "variant": variant,
                "correlation": r[at],
                "MAE": absolute_errors(ratings, said.emotions)[at],
                "others": np.delete(r, at).mean(),
                "qualities": np.nan
                if said.midlevel is None or not known
                else correlations(midlevel, said.midlevel).mean(),
            }
        )
    return pd.DataFrame(rows)


def responses(
    networks: Mapping[str, Network], waveforms: np.ndarray, shortcut: dict, amounts: Sequence[float]
) -> pd.DataFrame:
    """The intervention: the same clips with the property in several strengths, all else unchanged.

    Returns
    -------
    pandas.DataFrame
        Tidy: network, clip, amount (-1 to 1; NaN is the clip without it), output (an emotion or a neuron), answer.
    """
    rows = []
    for amount in (np.nan, *amounts):
        changed = np.array(waveforms) if np.isnan(amount) else with_amount(waveforms, shortcut, amount)
        spectrograms = spectrograms_of(changed)
        for name, model in networks.items():
            said = predict(model, spectrograms)
            values = said.emotions if said.midlevel is None else np.hstack([said.emotions, said.midlevel])
            outputs = [*EMOTIONS, *([] if said.midlevel is None else neuron_names(model))]
            table = pd.DataFrame(values, columns=outputs).rename_axis("clip").reset_index()
            rows.append(table.melt("clip", var_name="output", value_name="answer").assign(network=name, amount=amount))
    return pd.concat(rows, ignore_index=True)[["network", "clip", "amount", "output", "answer"]]


def response_slopes(table: pd.DataFrame, share_of_range: float = 1.0) -> pd.DataFrame:
    """Rise of every answer per unit of amount: (network, output) with mean and standard deviation over the clips.

    Parameters
    ----------
    table
        From :func:`responses`; the clips without the property are left out.
    share_of_range
        Multiplies the slopes, for instance by the range of amounts that training clips had.
    """
    present = table.dropna(subset="amount")
    centred = present["amount"] - present.groupby(["network", "output", "clip"])["amount"].transform("mean")
    parts = present.assign(product=centred * present["answer"], square=centred**2)
    sums = parts.groupby(["network", "output", "clip"], sort=False)[["product", "square"]].sum()
    of_clip = share_of_range * sums["product"] / sums["square"]
    found = of_clip.groupby(["network", "output"], sort=False).agg(["mean", "std"])
    return found.rename(columns={"mean": "slope", "std": "sd over clips"}).reset_index()


def through_qualities(model: Network, table: pd.DataFrame, emotion: str) -> pd.DataFrame:
    """Which qualities a bottleneck names for an answer that the recording property alone has moved.

    The music is the same, so no quality has changed: what moves here is said wrongly. It adds up to the emotion's move.

    Parameters
    ----------
    table
        Of :func:`responses`, the rows of this network.

    Returns
    -------
    pandas.DataFrame
        Index the neurons: how far each moves from the lowest to the highest amount, and what that contributes to the
        emotion (its effect's change); means over the clips.
    """
    names, present = neuron_names(model), table.dropna(subset="amount")
    ends = [present[present["amount"] == end] for end in (present["amount"].min(), present["amount"].max())]
    low, high = (part.pivot(index="clip", columns="output", values="answer")[names].to_numpy() for part in ends)
    change = effects(model, high, low)[:, EMOTIONS.index(emotion)]
    return pd.DataFrame({"neuron moves": (high - low).mean(axis=0), "contributes": change.mean(axis=0)}, index=names)


def paired_attribution(
    model: Network, waveforms: np.ndarray, shortcut: dict, amount: float, emotion: str, steps: int = 16
) -> list[Attribution]:
    """Integrated Gradients of clips with the property against the same clips without it, clip by clip.

    With this baseline the question is the right one, "why does the answer change when the property comes?", and all
    that is attributed lies where the property is.
    """
    pairs = []
    for clip in waveforms:
        both = np.concatenate([with_amount(clip[None], shortcut, amount), clip[None]])
        with frozen(model), torch.no_grad():
            inputs = model.standardise(torch.from_numpy(spectrograms_of(both)))
        pairs.append(attribute(model, inputs[:1], emotion, baselines=inputs[1:], steps=steps))
    return pairs


def band_profile(maps: Tensor) -> pd.DataFrame:
    """Attributions (clips, frames, bands) summed over time, signed and magnitudes; a row a band, mean over the clips.

    ``share`` is a band's part of all magnitudes: where in frequency the network looks, whatever it concludes.
    """
    values = maps.double()
    magnitudes = values.abs().sum(dim=1)
    return pd.DataFrame(
        {
            "hertz": band_frequencies(),
            "attribution": values.sum(dim=1).mean(dim=0).numpy(),
            "share": (magnitudes / magnitudes.sum(dim=1, keepdim=True).clamp(min=1e-30)).mean(dim=0).numpy(),
        }
    )


def qualities_lost(
    answers: Mapping[tuple[str, str], Prediction], midlevel: np.ndarray, names: Sequence[str]
) -> pd.DataFrame:
    """Correlation of every taught neuron with its quality, by network and variant (columns)."""
    found = {
        (name, variant): pd.Series(correlations(midlevel, said.midlevel), index=list(MIDLEVEL))
        for (name, variant), said in answers.items()
        if name in names and said.midlevel is not None
    }
    return pd.DataFrame(found)
