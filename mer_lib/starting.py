"""What a notebook opened in a fresh clone works with: the small corpus, and a network that is already trained.

Notebooks: 00_start_here, 02_train_a2e to 08_robustness
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from mer_lib.bim import BIM
from mer_lib.dataset import CorpusError, load_corpus, split
from mer_lib.evaluation import attack_run, check_same_corpus, finish_attacks
from mer_lib.models import SYSTEMS
from mer_lib.places import atomic_write, prepared_folder, run_folder, runs_folder, written
from mer_lib.preparation import Prepared, load_prepared, prepare
from mer_lib.results import collect_results, differing, predictions_of, write_results
from mer_lib.runs import Run, RunError, find_runs, load_pretrained, load_run, run_or_pretrained
from mer_lib.training import TrainingSettings, train


def prepared_corpus(name: str, data_dir: str | Path = "data") -> Prepared:
    """Open a prepared corpus by its name; the Études, or a part of them, are prepared here if they are not yet.

    Parameters
    ----------
    name
        As :func:`mer_lib.preparation.prepared_name` gives it, for instance "etudes" or "etudes-60clips".
    data_dir
        Folder of the corpora.

    Raises
    ------
    FileNotFoundError
        If another corpus, or one with a shortcut or computed values, was not prepared by notebook 01 yet.
    """
    folder = prepared_folder(name)
    form = re.fullmatch(r"etudes(?:-(\d+)clips)?", name)
    if (folder / "info.json").is_file() or not form:
        return load_prepared(folder)
    return prepare(load_corpus("etudes", data_dir), folder, clips=int(form[1]) if form[1] else None, progress=False)


def run_at_hand(
    study: str, system: str, seed: int, prepared: str, data_dir: str | Path = "data"
) -> tuple[Run, Prepared, str]:
    """A trained run with its prepared corpus: the study's own, or the pretrained network where there is none.

    A run comes with the corpus that it was trained on, whatever ``prepared`` says: on another one its training clips
    might be test clips.

    What a pretrained network's attacks write goes to the study "pretrained" and never into ``data/pretrained``.

    Returns
    -------
    Run, Prepared, str
        The third says in a sentence what the network is.
    """
    run, pretrained = run_or_pretrained(study, system, seed)
    if not pretrained:
        own = run.info["prepared"]
        corpus = prepared_corpus(own, data_dir)
        check_same_corpus(run, corpus)
        said = f"{system}, seed {seed}, trained in study {study!r}."
        return run, corpus, said if own == prepared else f"{said} Corpus: {own}, which it was trained on."
    said = (
        f"Study {study!r} has no finished run of {system} with seed {seed}: this is the small pretrained network "
        f"(data/pretrained, width {run.info['width']:g}, seed {run.info['seed']})."
    )
    elsewhere = replace(run, folder=run_folder("pretrained", system, run.info["seed"]))
    return elsewhere, prepared_corpus(run.info["prepared"], data_dir), said


def networks_at_hand(
    study: str, systems: Sequence[str], seed: int, prepared: str, data_dir: str | Path = "data"
) -> tuple[dict[str, Run], Prepared, str]:
    """Trained networks of several systems that share a corpus: the study's own, or the pretrained where it has none.

    Returns
    -------
    dict, Prepared, str
        System -> run, in the order asked for; the third says in a sentence what they are and which are missing.

    Notebook: 07_listen, 09_credibility
    """
    finished = [name for name in systems if (run_folder(study, name, seed) / "run.json").is_file()]
    found = {name: run_at_hand(study, name, seed, prepared, data_dir) for name in finished or systems}
    first = next(iter(found.values()))
    said = f"Networks of study {study!r}, seed {seed}." if finished else first[2]
    for run, _, _ in found.values():
        check_same_corpus(run, first[1])
    if finished and (own := first[0].info["prepared"]) != prepared:
        said += f" Corpus: {own}, which they were trained on."
    if finished and (missing := [name for name in systems if name not in finished]):
        said += f" Not trained there with this seed: {', '.join(missing)}."
    return {name: run for name, (run, _, _) in found.items()}, first[1], said


def newest_run(system: str, prepared: Prepared) -> Run | None:
    """The run of a system that was finished last and has test clips among these; None where there is none."""
    found = sorted((written() / "runs").glob(f"*/{system}/seed-*/run.json"), key=lambda path: path.stat().st_mtime)
    for path in reversed(found):
        try:
            run = load_run(path.parent)
            unheard_clips(run, prepared)
        except (RunError, CorpusError):
            continue
        return run
    return None


def network_to_start_with(system: str, prepared: Prepared) -> tuple[Run, str]:
    """A network for the first minute: pretrained, else the newest run, else a tiny one that is trained now.

    Returns
    -------
    Run, str
        The second says in a sentence what it is and what may be expected of it.
    """
    try:
        run = load_pretrained(system)
        unheard_clips(run, prepared)
        return run, f"The pretrained {system} (width {run.info['width']:g}, {run.info['epochs_run']} epochs, Études)."
    except RunError:
        run = newest_run(system, prepared)
    if run is not None:
        return run, f"No pretrained {system} here; this is the newest run of it, from study {run.info['study']!r}."
    settings = TrainingSettings(epochs=4, learning_rate=2e-3)  # so few epochs need bigger steps than the published
    study = f"start-{prepared.info['fingerprint'][:8]}"
    folder = run_folder(study, system, 21)
    run = train(system, prepared, folder, seed=21, width=0.125, settings=settings, study=study, progress=False)
    return run, (
        f"No trained {system} here; this one was trained just now for {settings.epochs} epochs on {len(prepared)} "
        "clips: enough to see an attack work, not enough to predict well."
    )


def unheard_clips(run: Run, prepared: Prepared, data_dir: str | Path = "data") -> np.ndarray:
    """Rows of a prepared corpus that a network saw neither in training nor in validation.

    Parameters
    ----------
    run
        Trained on the same prepared corpus, or on the whole of the corpus that ``prepared`` is a part of.
    prepared, data_dir
        The clips to choose from; folder of the corpora.

    Raises
    ------
    RunError
        If there is none.
    """
    if run.info["fingerprint"] == prepared.info["fingerprint"]:
        return prepared.split(run.info["split"])["test"]
    whole = load_corpus(run.info["corpus"], data_dir)
    test = whole.table["id"].iloc[split(whole, run.info["split"])["test"]]
    rows = np.flatnonzero(prepared.table["id"].isin(test))
    if whole.fingerprint != run.info["fingerprint"] or len(rows) == 0:
        raise RunError(
            f"{run.folder} and {prepared.folder} have no test clip in common: choose another prepared corpus"
        )
    return rows


def results_at_hand(
    study: str, systems: Sequence[str], data_dir: str | Path = "data", *, versions_may_differ: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Results and predictions of a study's systems; of the pretrained networks where the study has no attacked run.

    Writes the study's ``results.csv``. In the second case the pretrained networks are attacked now, with few steps.
    Runs of other releases of the packages are refused unless ``versions_may_differ`` (:mod:`mer_lib.mixing`).

    Returns
    -------
    pandas.DataFrame, pandas.DataFrame, str
        Rows of results.csv, tidy predictions, and what they are of, with what differs in how they were made.

    Notebook: 08_robustness
    """
    said = f"Attacked runs of study {study!r}."
    if not any((folder / "attacks.csv").is_file() for folder in find_runs(study)):
        said = f"Study {study!r} has no attacked run yet: these are the pretrained networks, attacked with few steps."
        study = "pretrained"
        attack_pretrained(data_dir)
    write_results(study, versions_may_differ=versions_may_differ)
    if differences := [difference for kind in differing(study) for difference in kind]:
        said += f" Not all were made alike. {'; '.join(differences)}."
    results, predictions = collect_results(study), predictions_of(study)
    if missing := [system for system in systems if system not in set(results["system"])]:
        said += f" Not attacked yet (notebook 06): {', '.join(missing)}."
    if not set(systems) & set(results["system"]):
        raise RunError(f"{runs_folder(study)} holds attacked runs, but of none of {', '.join(systems)}")
    return results[results["system"].isin(systems)], predictions[predictions["system"].isin(systems)], said


def attack_pretrained(data_dir: str | Path = "data") -> None:
    """Attack copies of the pretrained networks in both domains, with 5 steps each; what is done is not done again."""
    for system in SYSTEMS:
        run = load_pretrained(system)
        folder = run_folder("pretrained", system, run.info["seed"])
        for name in ("weights.safetensors", "history.csv", "run.json"):
            atomic_write(folder / name, lambda part, name=name: shutil.copyfile(run.folder / name, part))  # noqa: B023
        run, prepared = load_run(folder), prepared_corpus(run.info["prepared"], data_dir)
        attacks = {
            "bim-spec-0.03": BIM(epsilon=0.03, steps=5),
            "bim-wave-0.001": BIM(epsilon=0.001, steps=5, domain="waveform"),
        }
        finish_attacks(run, [attack_run(run, prepared, bim, name, progress=False) for name, bim in attacks.items()])
