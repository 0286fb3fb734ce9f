"""From a trained run and an attack to the rows of results.csv and the tidy predictions behind them.

:mod:`mer_lib.results` collects them.

Notebook: 06_attack
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import time
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mer_lib import metrics
from mer_lib.audio import write_flac
from mer_lib.bim import BIM, AttackResult, Loss, forward, frozen
from mer_lib.dataset import EMOTIONS, MIDLEVEL
from mer_lib.models import Prediction
from mer_lib.perceptibility import perceptibility
from mer_lib.places import atomic_write, file_stems
from mer_lib.precision import check_device
from mer_lib.preparation import Prepared
from mer_lib.rendering import render_attack
from mer_lib.runs import Run, RunError, digests_of, provenance

RESULTS = (
    "study", "corpus", "split", "system", "seed", "width", "epochs", "attack", "method", "domain", "epsilon", "steps",
    "clips", "corr_clean", "mae_clean", "corr_attacked", "mae_attacked", "spread_clean", "snr_db_median", "linf_max",
    "train_seconds", "train_gradients", "attack_seconds", "attack_gradients", "learning_rate", "normalisation",
    "midlevel_kind", "ratings_kind", "adversarial_epsilon", "adversarial_steps", "norm", "step_size",
    "restarts", "precision", "published_update", "commit", "fingerprint", "weights_sha256",
)  # fmt: skip
SECONDS = ("train_seconds", "attack_seconds")
# Raised when sounds are rendered or measured in another way: attacks measured as before are then made again.
SOUND_FORMAT = 1


def attack_inputs(run: Run, prepared: Prepared, domain: str, rows: np.ndarray) -> torch.Tensor:
    """What an attack works on: z-scored spectrograms (clips, 313, 149), or waveforms (clips, 220500)."""
    if domain == "waveform":
        return torch.from_numpy(np.array(prepared.waveforms[rows]))
    return run.model.standardise(torch.from_numpy(np.array(prepared.spectrograms[rows])))


def check_same_corpus(run: Run, prepared: Prepared) -> None:
    """Raise a RunError if a run was trained on another corpus, or on this one prepared otherwise."""
    same = {key: prepared.info[key] for key in ("corpus", "fingerprint", "shortcut", "midlevel_kind")}
    same["excerpt_seed"] = prepared.info["seed"]
    for key, here in same.items():
        there = run.info.get(key, here) if key == "excerpt_seed" else run.info[key]  # earlier runs do not name it
        if there != here:
            raise RunError(
                f"{run.folder} was trained on {run.info['prepared']} ({key} {there!r}), "
                f"not on {prepared.folder} ({here!r}): use it on the corpus it was trained on"
            )


def _settings(bim: BIM) -> dict:
    relative = {} if type(bim) is BIM else {"method": type(bim).__name__}
    return {**asdict(bim), "loss": _named(bim.loss), **relative}


def _named(loss: str | Loss) -> str:
    """A loss by its name and, where it is a dataclass, a digest of its fields: two of one kind are two losses."""
    if isinstance(loss, str):
        return loss
    if not is_dataclass(loss):
        return getattr(loss, "__qualname__", type(loss).__name__)
    values = {field.name: getattr(loss, field.name) for field in fields(loss)}
    plain = {name: value.tolist() if isinstance(value, torch.Tensor) else repr(value) for name, value in values.items()}
    return f"{type(loss).__name__}-{hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:12]}"


def _without_a_name(loss: str | Loss) -> bool:
    """Whether nothing tells such a function from another: what it found is never taken for another's."""
    return "<" in _named(loss)


def attack_run(
    run: Run,
    prepared: Prepared,
    bim: BIM,
    name: str,
    *,
    clips: str = "test",
    examples: int = 2,
    progress: bool = True,
    device: str = "cpu",
) -> pd.DataFrame:
    """Attack a run's clips and write what came out; an attack that is done is read instead.

    Writes ``attacks/<name>/`` in the run's folder: predictions.csv (a row per clip and emotion; in the grouped split
    with the number of the clip's group), midlevel.csv (systems with a bottleneck), sound.csv (a row per clip: how
    audible, and what the error rises by when the network hears the sound), examples/*.flac (clean, and attacked or
    rendered; level as attacked, 24 bits) and, last, metrics.json.

    An attack on spectrograms is rendered as sound (:mod:`mer_lib.rendering`): its SNR is that of the rendering, and
    what the network says to the renderings stands in rendered.csv beside what it said to the attacked spectrograms.

    Parameters
    ----------
    clips
        "train", "valid" or "test" of the run's split.
    examples
        Number of clips written as audio, in the order of the split.
    device
        Where the attack is computed; everything else is on the processor. A finished attack is read, wherever it was.

    Returns
    -------
    pandas.DataFrame
        One row with the columns :data:`RESULTS`.
    """
    check_same_corpus(run, prepared)
    folder = run.folder / "attacks" / name
    about = {
        "attack": _settings(bim),
        "clips": clips,
        "examples": examples,
        "sound": SOUND_FORMAT,
        "weights_sha256": run.info["weights_sha256"],
    }
    if (folder / "metrics.json").is_file():
        known = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        same = [about | {"weights_sha256": digest} for digest in digests_of(run.info)]
        if known["about"] in same and not _without_a_name(bim.loss):
            return complete(pd.DataFrame([known["row"]]))
    if folder.exists():  # of other weights or settings, or not finished: its sounds must not pass for the new ones
        (run.folder / "attacks.csv").unlink(missing_ok=True)  # no longer what the run's attacks have come to
        shutil.rmtree(folder)
    rows = prepared.split(run.info["split"])[clips]
    inputs = attack_inputs(run, prepared, bim.domain, rows)
    begin = time.perf_counter()
    model = run.model if device == "cpu" else copy.deepcopy(run.model).to(check_device(device))
    result = bim.attack(model, inputs, torch.from_numpy(prepared.emotions[rows]), progress=progress)
    seconds = time.perf_counter() - begin
    clean = attack_inputs(run, prepared, "waveform", rows)
    rendered = bim.domain == "spectrogram"
    heard = render_attack(run.model, clean, result.adversarial) if rendered else result.adversarial
    clip_table = measure(result, inputs, clean, heard, prepared.table["id"].iloc[rows])
    predictions = _tidy(prepared, rows, result, clip_table)
    if run.info["split"] == "grouped":  # whole groups of clips are tested: intervals are over groups
        numbers = dict(zip(prepared.table["id"], pd.factorize(prepared.table["group"], sort=True)[0], strict=True))
        predictions["group"] = predictions["clip"].map(numbers)
    row = _row(run, prepared, bim, name, result, clip_table, prepared.emotions[rows], seconds)
    atomic_write(folder / "predictions.csv", lambda part: predictions.to_csv(part, index=False))
    if run.model.system.bottleneck:
        midlevel = _tidy_midlevel(run, prepared, rows, inputs, result.adversarial, bim)
        atomic_write(folder / "midlevel.csv", lambda part: midlevel.to_csv(part, index=False))
    answers = _answers(run, heard, bim) if rendered else result.attacked
    if rendered:
        table = predictions[["clip", "emotion", "clean", "attacked"]].assign(rendered=answers.numpy().ravel())
        atomic_write(folder / "rendered.csv", lambda part: table.to_csv(part, index=False))
    sound = _sound(clean, heard, prepared.emotions[rows], result.clean, answers, clip_table.index)
    atomic_write(folder / "sound.csv", lambda part: sound.to_csv(part))
    for stem, before, after in zip(file_stems(clip_table.index[:examples]), clean, heard, strict=False):
        write_flac(folder / "examples" / f"{stem}-clean.flac", before.numpy())
        write_flac(folder / "examples" / f"{stem}-{'rendered' if rendered else 'attacked'}.flac", after.numpy())
    text = json.dumps({"about": about, "row": row, "device": device, "provenance": provenance()}, indent=1)
    atomic_write(folder / "metrics.json", lambda part: part.write_text(text, encoding="utf-8"))
    return pd.DataFrame([row], columns=RESULTS)


def measure(
    result: AttackResult, inputs: torch.Tensor, clean: torch.Tensor, heard: torch.Tensor, ids: pd.Series
) -> pd.DataFrame:
    """Size of each clip's perturbation as it came back, in float64: linf, l2 and, of its sound, the SNR in dB."""
    change = (result.adversarial.double() - inputs.double()).flatten(1)
    table = {"linf": change.abs().amax(dim=1).numpy(), "l2": change.norm(dim=1).numpy()}
    return pd.DataFrame({**table, "snr_db": metrics.snr_db(clean, heard)}, index=pd.Index(ids, name="clip"))


def _answers(run: Run, waveforms: torch.Tensor, bim: BIM) -> torch.Tensor:
    """The emotions (clips, 8) that a network predicts from sounds."""
    with frozen(run.model), torch.no_grad():
        return torch.cat([run.model.from_waveform(part).emotions for part in waveforms.split(bim.batch_size)])


def _sound(
    clean: torch.Tensor,
    heard: torch.Tensor,
    ratings: np.ndarray,
    before: torch.Tensor,
    after: torch.Tensor,
    ids: pd.Index,
) -> pd.DataFrame:
    """How audible each clip's change is, and the rise of its mean absolute error when the network hears it."""
    table = perceptibility(clean, heard).set_index(ids)
    rises = np.abs(after.numpy() - ratings) - np.abs(before.numpy() - ratings)
    rated = np.isfinite(ratings)
    table["mae_change"] = np.where(rated, rises, 0.0).sum(axis=1) / np.maximum(rated.sum(axis=1), 1)
    return table


def _tidy(prepared: Prepared, rows: np.ndarray, result: AttackResult, clip_table: pd.DataFrame) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([clip_table.index, EMOTIONS], names=["clip", "emotion"])
    columns = {
        "rating": prepared.emotions[rows].ravel(),
        "clean": result.clean.numpy().ravel(),
        "attacked": result.attacked.numpy().ravel(),
    }
    return pd.DataFrame(columns, index=index).join(clip_table, on="clip").reset_index()


def _tidy_midlevel(
    run: Run, prepared: Prepared, rows: np.ndarray, inputs: torch.Tensor, adversarial: torch.Tensor, bim: BIM
) -> pd.DataFrame:
    """The bottleneck's values before and after, a row per clip and unit."""
    values = {}
    with frozen(run.model), torch.no_grad():
        for name, clips in (("clean", inputs), ("attacked", adversarial)):
            outputs: list[Prediction] = [forward(run.model, part, bim.domain) for part in clips.split(bim.batch_size)]
            values[name] = torch.cat([output.midlevel for output in outputs]).numpy().ravel()
    index = pd.MultiIndex.from_product([prepared.table["id"].iloc[rows], MIDLEVEL], names=["clip", "quality"])
    return pd.DataFrame({"value": prepared.midlevel[rows].ravel(), **values}, index=index).reset_index()


def _row(
    run: Run,
    prepared: Prepared,
    bim: BIM,
    name: str,
    result: AttackResult,
    clip_table: pd.DataFrame,
    ratings: np.ndarray,
    seconds: float,
) -> dict:
    settings, snr = run.info["settings"], clip_table["snr_db"]
    adversarial = run.model.system.adversarial
    row = {
        "study": run.info["study"],
        "corpus": prepared.info["corpus"],
        "split": run.info["split"],
        "system": run.info["system"],
        "seed": run.info["seed"],
        "width": run.info["width"],
        "epochs": run.info["epochs_run"],
        "attack": name,
        "method": type(bim).__name__,
        "domain": bim.domain,
        "epsilon": bim.epsilon,
        "steps": bim.steps,
        "clips": len(clip_table),
        "corr_clean": metrics.mean_correlation(ratings, result.clean),
        "mae_clean": metrics.mean_absolute_error(ratings, result.clean),
        "corr_attacked": metrics.mean_correlation(ratings, result.attacked),
        "mae_attacked": metrics.mean_absolute_error(ratings, result.attacked),
        "spread_clean": metrics.spread(result.clean, ratings),
        "snr_db_median": float(snr.median()) if snr.notna().any() else None,
        "linf_max": float(clip_table["linf"].max()),
        "train_seconds": run.info["train_seconds"],
        "train_gradients": sum(run.info["gradients"].values()),
        "attack_seconds": seconds,
        "attack_gradients": result.gradients,
        "learning_rate": settings["learning_rate"],
        "normalisation": settings["normalisation"],
        "midlevel_kind": run.info["midlevel_kind"] if run.model.system.midlevel_weight else "not used",
        "ratings_kind": run.info["ratings_kind"],
        "adversarial_epsilon": settings["adversarial_epsilon"] if adversarial else None,
        "adversarial_steps": settings["adversarial_steps"] if adversarial else None,
        "norm": bim.norm,
        "step_size": bim.step_size,
        "restarts": bim.restarts,
        "precision": bim.precision,
        "published_update": bim.published_update,
        "commit": run.info["provenance"]["commit"],
        "fingerprint": run.info["fingerprint"],
        "weights_sha256": run.info["weights_sha256"],
    }
    return {key: row[key] for key in RESULTS}


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """Rows with the columns :data:`RESULTS`; before attacks had a method all were BIM."""
    return (table if "method" in table else table.assign(method="BIM"))[list(RESULTS)]


def finish_attacks(run: Run, rows: list[pd.DataFrame]) -> Path:
    """Write a run's attacks.csv, which marks its attacks as done."""
    table = pd.concat(rows, ignore_index=True)
    return atomic_write(run.folder / "attacks.csv", lambda part: table.to_csv(part, index=False))
