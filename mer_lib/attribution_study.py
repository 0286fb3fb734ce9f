"""The third paper's study, on music: method x training x measure x attack, at several sizes of the training set.

Kamath et al. (AAAI 2024, arXiv 2312.10534) compare natural, adversarial and IG-SUM-NORM training; here the bottleneck
stands beside them. The networks of the whole corpus are the study's own; those that it lacks (IG-SUM-NORM, and every
training on a part of the clips) are trained like them, kept as runs and found again.

Notebook: 11_attribution_robustness
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from mer_lib import lens, lens_chance
from mer_lib.attribution_attacks import AttributionAttack, AttributionResult
from mer_lib.attribution_maps import Explained, attribution_maps, smooth_stand_in
from mer_lib.evaluation import attack_inputs
from mer_lib.places import runs_folder
from mer_lib.prepared import Prepared
from mer_lib.robust_attribution import RobustSettings, part_of_training, train_robust
from mer_lib.runs import Run
from mer_lib.spectrogram import band_frequencies, frame_times
from mer_lib.starting import networks_at_hand
from mer_lib.statistics import clips_interval
from mer_lib.training import TrainingSettings, train

# Training -> the system that has its network and schedule
TRAININGS = {"natural": "A2E", "adversarial": "aA2E", "bottleneck": "A2M2E", "IG-SUM-NORM": "aA2E"}
KEYS = ["training", "train_clips", "domain", "method", "aim"]
ENOUGH_CLIPS = 5  # below this an interval over clips says nothing and is not given


@dataclass(frozen=True)
class Subject:
    """A trained network of the comparison: how it was trained, and on how many clips."""

    training: str
    train_clips: int
    run: Run


def settings_like(run: Run, **changes: object) -> RobustSettings:
    """The settings of a run with some of them changed, so that what is trained beside it is trained alike."""
    names = {field.name for field in fields(TrainingSettings)}
    known = {name: value for name, value in run.info["settings"].items() if name in names}
    return RobustSettings(**{**known, **changes})


def _trained(training: str, part: Prepared, like: Run, study: str, settings: RobustSettings, progress: bool) -> Run:
    """One network, trained now or found in runs/<study>/attribution/, in a folder of its own for all settings."""
    keywords = {name: like.info[name] for name in ("seed", "width")} | {"split_protocol": like.info["split"]}
    robust = training == "IG-SUM-NORM"
    plain = {field.name: getattr(settings, field.name) for field in fields(TrainingSettings)}
    chosen = settings if robust else TrainingSettings(**plain)
    about = {**keywords, **asdict(chosen), "corpus": part.info["fingerprint"], "part": part.folder.name}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:8]
    size = len(part.split(like.info["split"])["train"])
    folder = runs_folder(study) / "attribution" / f"{training}-{size}-{digest}" / f"seed-{like.info['seed']}"
    keywords |= {"settings": chosen, "study": study, "progress": progress}
    return train_robust(part, folder, **keywords) if robust else train(TRAININGS[training], part, folder, **keywords)


def subjects_at_hand(
    study: str,
    seed: int,
    prepared: str,
    *,
    train_clips: Mapping[int, int] | None = None,
    trainings: Sequence[str] = tuple(TRAININGS),
    data_dir: str | Path = "data",
    changes: Mapping[str, object] | None = None,
    progress: bool = False,
) -> tuple[list[Subject], Prepared, str]:
    """The networks of the comparison.

    Parameters
    ----------
    study, seed, prepared, data_dir
        As for :func:`mer_lib.starting.networks_at_hand`: the study's own networks, trained on all training clips, or
        the pretrained ones.
    train_clips
        Size of a training set -> epochs: what is missing there is trained now, with the settings of the networks above
        but for these and ``changes`` (of :class:`mer_lib.robust_attribution.RobustSettings`). Runs are kept in
        ``runs/<study>/attribution/``. On all training clips IG-SUM-NORM alone is trained.

    Returns
    -------
    list of Subject, Prepared, str
        The third says in a sentence what they are.
    """
    if unknown := set(trainings) - set(TRAININGS):
        raise ValueError(f"unknown trainings {sorted(unknown)}: of {', '.join(TRAININGS)}")
    wanted = list(dict.fromkeys(TRAININGS[name] for name in trainings))
    runs, data, said = networks_at_hand(study, wanted, seed, prepared, data_dir)
    like = runs.get("aA2E", next(iter(runs.values())))
    whole = len(data.split(like.info["split"])["train"])
    found = [
        Subject(name, whole, runs[TRAININGS[name]])
        for name in trainings
        if name != "IG-SUM-NORM" and TRAININGS[name] in runs
    ]
    there = {(subject.training, subject.train_clips) for subject in found}
    names: dict[tuple[int, int], list[str]] = {}
    for clips, epochs in (train_clips or {}).items():
        part = part_of_training(data, clips, protocol=like.info["split"])
        for training in trainings:
            if (training, clips) in there:
                continue
            settings = settings_like(like, **{**(changes or {}), "epochs": epochs})
            run = _trained(training, part, like, study, settings, progress)
            found.append(Subject(training, clips, run))
            there.add((training, clips))
            names.setdefault((clips, run.info["epochs_run"]), []).append(training)
    beside = [f"on {clips} clips, {epochs} epochs: {', '.join(some)}" for (clips, epochs), some in names.items()]
    return found, data, said + (f" Trained beside it {'; '.join(beside)}." if beside else "")


def training_table(subjects: Iterable[Subject]) -> pd.DataFrame:
    """What was trained, on what, at which cost, and what it predicts on the same clean test clips."""
    rows = [
        {
            "training": subject.training,
            "train_clips": subject.train_clips,
            "epochs": subject.run.info["epochs_run"],
            "corr_clean": subject.run.info["corr_clean"],
            "mae_clean": subject.run.info["mae_clean"],
            "train_seconds": subject.run.info["train_seconds"],
            "study": subject.run.info["study"],
            "width": subject.run.info["width"],
            "seed": subject.run.info["seed"],
        }
        for subject in subjects
    ]
    return pd.DataFrame(rows)


def explained_at(prepared: Prepared, rows: np.ndarray, split: str, emotion: int | None = None) -> Explained:
    """What is explained of each clip, the same for all networks: the emotion whose rating departs most from the mean
    training rating, towards that departure; or a given emotion.
    """
    reference = np.nanmean(prepared.emotions[prepared.split(split)["train"]], axis=0)
    return Explained.of(torch.from_numpy(prepared.emotions[rows]), torch.from_numpy(reference), emotion)


def attack_all(
    subjects: Iterable[Subject],
    prepared: Prepared,
    rows: np.ndarray,
    explained: Explained,
    attacks: Sequence[AttributionAttack],
) -> dict[tuple, AttributionResult]:
    """Every attack on the explanations of every network: (training, train_clips, domain, method, aim) -> result."""
    found = {}
    for subject in subjects:
        for attack in attacks:
            inputs = attack_inputs(subject.run, prepared, attack.domain, rows)
            key = (subject.training, subject.train_clips, attack.domain, attack.method, attack.aim)
            found[key] = attack.attack(subject.run.model, inputs, explained)
    return found


def agreement_table(
    results: Mapping[tuple, AttributionResult], k: int, window: lens.Window, measures: Sequence[str] | None = None
) -> pd.DataFrame:
    """Agreement of the explanations before and after, a row a network, attack, clip and measure.

    Columns: :data:`KEYS` and those of :func:`mer_lib.lens_chance.agreement`, whose chance ``clips`` is the agreement
    with the attacked maps of the other clips, by the same network.
    """
    keywords = {"measures": tuple(measures)} if measures else {}
    tables = []
    for key, result in results.items():
        table = lens_chance.agreement(result.before.numpy(), result.after.numpy(), k, window, **keywords)
        tables.append(table.assign(**dict(zip(KEYS, key, strict=True))))
    return pd.concat(tables, ignore_index=True)[[*KEYS, *(name for name in tables[0] if name not in KEYS)]]


def interval(values: ArrayLike) -> tuple[float, float]:
    """Ends of the 95 % interval over clips for exactly these networks; NaN below :data:`ENOUGH_CLIPS` clips."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) < ENOUGH_CLIPS or not np.isfinite(values).all():
        return np.nan, np.nan
    _, low, high = clips_interval(values[None])
    return float(low), float(high)


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the clips, a row a network, attack and measure; with 95 % intervals over the clips of the score and
    of the agreement above that with other clips (columns ending in _low and _high).
    """
    columns = [name for name in table if name not in (*KEYS, "clip", "measure")]
    groups = table.groupby([*KEYS, "measure"], sort=False)
    found = groups[columns].mean()
    found.insert(0, "clips", groups.size())
    for column in ("score", "corrected_clips"):
        ends = groups[column].apply(interval)
        found[f"{column}_low"], found[f"{column}_high"] = ends.str[0], ends.str[1]
    return found.reset_index()


def paper_table(table: pd.DataFrame, measures: Sequence[str], column: str = "score") -> pd.DataFrame:
    """The third paper's table: rows method x training, columns measure x attack, in percent.

    Parameters
    ----------
    table
        From :func:`means`, of one domain and one size of the training set.
    column
        "score", or a corrected one.
    """
    shown = table[table["measure"].isin(measures)]
    order = {name: list(dict.fromkeys(shown[name])) for name in ("method", "training", "measure", "aim")}
    wide = 100 * shown.pivot(index=["method", "training"], columns=["measure", "aim"], values=column)
    rows = pd.MultiIndex.from_product([order["method"], order["training"]], names=["method", "training"])
    columns = pd.MultiIndex.from_product([list(measures), order["aim"]], names=["measure", "attack"])
    return wide.reindex(index=rows, columns=columns).dropna(how="all")


def kept_table(results: Mapping[tuple, AttributionResult]) -> pd.DataFrame:
    """Did the predictions stay, and was anything found: a row a network and attack.

    Columns: largest and median change of a clip's worst prediction, share of iterates within the tolerance, clips whose
    explanation was moved at all, median norm of the perturbation (l-infinity), clip-gradients.
    """
    rows = []
    for key, result in results.items():
        tried = result.score_per_step[1:]
        rows.append(
            {
                **dict(zip(KEYS, key, strict=True)),
                "largest_move": float(result.moved.max()),
                "median_move": float(result.moved.median()),
                "within_tolerance": float(torch.isfinite(tried).float().mean()),
                "clips_moved": int((result.kept > 0).sum()),
                "clips": len(result.kept),
                "linf_max": float(result.delta.abs().max()),
                "gradients": result.gradients,
            }
        )
    return pd.DataFrame(rows)


def moved_table(results: Mapping[tuple, AttributionResult], k: int) -> pd.DataFrame:
    """How far predictions moved and what is left of the k highest cells, a row a network, attack and clip."""
    tables = []
    for key, result in results.items():
        left = lens.top_k(result.before.numpy(), result.after.numpy(), k)
        table = pd.DataFrame({"clip": np.arange(len(left)), "moved": result.moved.numpy(), "top-k": left})
        tables.append(table.assign(**dict(zip(KEYS, key, strict=True))))
    return pd.concat(tables, ignore_index=True)[[*KEYS, "clip", "moved", "top-k"]]


def highest_cells(maps: Mapping[str, np.ndarray], k: int) -> pd.DataFrame:
    """The k highest cells of each map: columns map, seconds, hertz, attribution."""
    tables = []
    for name, values in maps.items():
        frames, bands = np.nonzero(lens.top_cells(values, k))
        where = {"seconds": frame_times(len(values))[frames], "hertz": band_frequencies()[bands]}
        tables.append(pd.DataFrame({"map": name, **where, "attribution": values[frames, bands]}))
    return pd.concat(tables, ignore_index=True)


def stand_in_table(
    run: Run, inputs: Tensor, explained: Explained, betas: Sequence[float], k: int, method: str = "gradient x input"
) -> pd.DataFrame:
    """How near the smooth stand-in comes to the network it stands in for: a row a beta.

    Columns: largest difference of a prediction; Spearman's correlation and top-k of the maps, means over the clips.
    """
    emotions, maps = attribution_maps(run.model, inputs, explained, method)
    rows = []
    for beta in betas:
        said, smooth = attribution_maps(smooth_stand_in(run.model, beta), inputs, explained, method)
        a, b = maps.numpy(), smooth.numpy()
        rows.append(
            [beta, float((said - emotions).abs().max()), np.mean(lens.spearman(a, b)), np.mean(lens.top_k(a, b, k))]
        )
    return pd.DataFrame(rows, columns=["beta", "predictions apart", "Spearman", "top-k"])
