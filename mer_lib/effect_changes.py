"""The bottleneck's own explanation before and after an attack: do effects change sign, do they change places?

An effect is weight times value (Chowdhury et al. 2019, :mod:`mer_lib.effects`). Against baseline 0 signs cannot flip,
since ratings of qualities are positive; so effects are relative, measured from the mean of each quality over the
training clips: what sets a clip apart. They sum to how far the emotion lies from that of the mean clip, hence whoever
keeps the emotion keeps their sum, and an attack can only move them against each other.

Notebook: 11_attribution_robustness
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from mer_lib.attacks import PGD
from mer_lib.attribution_attacks import AttributionAttack, AttributionResult
from mer_lib.attribution_maps import Explained
from mer_lib.attribution_study import Subject
from mer_lib.bottleneck import answers, other_explanation
from mer_lib.dataset import EMOTIONS
from mer_lib.effects import effects, neuron_names
from mer_lib.evaluation import attack_inputs
from mer_lib.prepared import Prepared

ON_EFFECTS = "on the effects"
WEIGHTY = 0.1  # an effect below this share of the clip's largest one is too small for its sign to matter


def quality_means(subject: Subject, prepared: Prepared, values: np.ndarray) -> np.ndarray:
    """Mean of each quality over the training clips, (7,); where neurons have no meaning, of the values given."""
    train = prepared.split(subject.run.info["split"])["train"]
    known = prepared.midlevel[train]
    taught = subject.run.model.system.midlevel_weight and np.isfinite(known).any(axis=0).all()
    return np.nanmean(known, axis=0) if taught else np.mean(values, axis=0)


def effects_before_and_after(
    subject: Subject,
    prepared: Prepared,
    rows: np.ndarray,
    explained: Explained,
    results: Mapping[tuple, AttributionResult],
    attacks: Sequence[AttributionAttack],
) -> pd.DataFrame:
    """Relative effects on the explained emotion before and after every attack on this network's explanations.

    For each domain also an attack on the effects themselves (:func:`mer_lib.bottleneck.other_explanation`, with the
    budget, steps and tolerance of its first attack): the qualities move as far as the emotions allow.

    Returns
    -------
    pandas.DataFrame
        Columns domain, aim, clip, emotion, quality, before, after; in units of the emotion, towards its departure. Of
        several attribution methods the first attack's alone.
    """
    model, clips = subject.run.model, np.arange(len(rows))
    emotion, sign = explained.emotion.numpy(), explained.sign.numpy()[:, None]
    method, tables = attacks[0].method, []
    for domain in dict.fromkeys(attack.domain for attack in attacks):
        inputs = attack_inputs(subject.run, prepared, domain, rows)
        here = [attack for attack in attacks if attack.domain == domain]
        keys = {
            a.aim: (subject.training, subject.train_clips, domain, method, a.aim) for a in here if a.method == method
        }
        adversarial = {aim: results[key].adversarial for aim, key in keys.items()}
        pgd = PGD(epsilon=here[0].epsilon, steps=here[0].steps, domain=domain, seed=here[0].seed)
        adversarial[ON_EFFECTS] = other_explanation(model, inputs, pgd, here[0].tolerance)[0].adversarial
        clean = answers(model, inputs, domain)[1].numpy()
        baseline = quality_means(subject, prepared, clean)
        before = sign * effects(model, clean, baseline)[clips, emotion]
        for aim, attacked in adversarial.items():
            after = sign * effects(model, answers(model, attacked, domain)[1].numpy(), baseline)[clips, emotion]
            index = pd.MultiIndex.from_product([clips, neuron_names(model)], names=["clip", "quality"])
            table = pd.DataFrame({"before": before.ravel(), "after": after.ravel()}, index=index).reset_index()
            tables.append(table.assign(domain=domain, aim=aim, emotion=[EMOTIONS[emotion[c]] for c in table["clip"]]))
    return pd.concat(tables, ignore_index=True)[["domain", "aim", "clip", "emotion", "quality", "before", "after"]]


def effect_changes(table: pd.DataFrame) -> pd.DataFrame:
    """Sign flips and changes of rank, a row a domain and attack; means over the clips.

    Parameters
    ----------
    table
        From :func:`effects_before_and_after`.

    Returns
    -------
    pandas.DataFrame
        ``flips``: qualities (of seven) whose effect changes its sign; ``weighty_flips``: of these, with an effect of at
        least a tenth of the clip's largest both before and after; ``rank_correlation``: Kendall's tau of the order of
        the magnitudes (1 unchanged, 0 as by chance); ``places``: mean number of places that a quality moves in that
        order (by chance 16/7 = 2.3); ``other_first``: share of clips with another quality on top; ``sum_moved``:
        change of the sum of all effects, which is that of the emotion; ``effects_moved``: sum of the changes'
        magnitudes.
    """
    rows = []
    for (domain, aim, _), part in table.groupby(["domain", "aim", "clip"], sort=False):
        before, after = part["before"].to_numpy(), part["after"].to_numpy()
        sizes = [np.abs(values) for values in (before, after)]
        flipped = np.sign(before) * np.sign(after) < 0
        weighty = np.all([size >= WEIGHTY * size.max() for size in sizes], axis=0)
        ranks = [stats.rankdata(-size) for size in sizes]
        tau = stats.kendalltau(*sizes).statistic
        rows.append(
            {
                "domain": domain,
                "aim": aim,
                "clips": 1,
                "flips": flipped.sum(),
                "weighty_flips": (flipped & weighty).sum(),
                "rank_correlation": tau if np.isfinite(tau) else 0.0,
                "places": np.abs(ranks[0] - ranks[1]).mean(),
                "other_first": float(sizes[0].argmax() != sizes[1].argmax()),
                "sum_moved": abs(after.sum() - before.sum()),
                "effects_moved": np.abs(after - before).sum(),
            }
        )
    groups = pd.DataFrame(rows).groupby(["domain", "aim"], sort=False)
    found = groups.mean()
    found["clips"] = groups.size()
    return found.reset_index()
