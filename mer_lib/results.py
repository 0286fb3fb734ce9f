"""The results of a study, collected from its attacked runs; what must not stand in one table is refused.

Notebook: 08_robustness
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from mer_lib.evaluation import complete
from mer_lib.mixing import groups, listed, mixed_versions, provenances, what_differs
from mer_lib.places import atomic_write, runs_folder
from mer_lib.runs import RunError, digests_of, find_runs, read_info


def _attacked(study: str) -> Iterator[tuple[Path, dict, pd.DataFrame]]:
    """A study's runs (folder, run.json) with their attacks.csv; results of other weights or corpora are refused."""
    folders = [folder for folder in find_runs(study) if (folder / "attacks.csv").is_file()]
    if not folders:
        raise RunError(f"{runs_folder(study)}: no attacked runs here; run notebook 06_attack on a trained run first")
    problems, found, prints = [], [], []
    for folder in folders:
        info, table = read_info(folder), pd.read_csv(folder / "attacks.csv")
        prints += [(f"{info['system']}/{folder.name}", str(mark)[:12]) for mark in table["fingerprint"].unique()]
        if (info["system"], f"seed-{info['seed']}") != (folder.parent.name, folder.name):
            problems.append(f"{folder} is a copy: it holds {info['system']} seed {info['seed']}; rename or remove it")
        if not set(table["weights_sha256"]) <= digests_of(info):
            problems.append(f"{folder}/attacks.csv comes from other weights than the run has now: attack it again")
        found.append((folder, info, table))
    if len(corpora := groups(prints)) > 1:
        problems.append(
            f"{runs_folder(study)}: runs on {len(corpora)} different corpora must not be mixed in one study. "
            f"By the corpus's fingerprint: {listed(corpora)}. Remove those of the other corpus, or name another study"
        )
    if problems:
        raise RunError("\n".join(problems))
    yield from found


def differing(study: str) -> tuple[list[str], list[str]]:
    """What differs in how a study's runs and attacks were made: packages' releases, and what else is worth saying."""
    made = [part for folder, info, table in _attacked(study) for part in provenances(folder, info, table["attack"])]
    return mixed_versions(made), what_differs(made)


def collect_results(study: str) -> pd.DataFrame:
    """All finished attacks of a study, one row per system, seed and attack, with the columns of results.csv."""
    return pd.concat([complete(table) for *_, table in _attacked(study)], ignore_index=True)


def collect_beside(results: pd.DataFrame, studies: Iterable[str]) -> pd.DataFrame:
    """Rows of results.csv with those of other studies below them, as far as these have attacked runs here.

    Notebook: 08_robustness
    """
    others = [study for study in studies if next(_attacked(study), None)]
    return pd.concat([results, *(collect_results(study) for study in others)], ignore_index=True)


def write_results(study: str, *, versions_may_differ: bool = False) -> Path:
    """Write a study's results.csv.

    Raises
    ------
    RunError
        If runs or attacks come from different corpora or, unless ``versions_may_differ``, packages of other releases.
    """
    results, (versions, _) = collect_results(study), differing(study)
    if versions and not versions_may_differ:
        raise RunError(
            f"{runs_folder(study)}: runs made with different releases of packages are not mixed without being told. "
            f"{'; '.join(versions)}. Make those again (constraints.txt has the releases), or say versions_may_differ"
        )
    return atomic_write(runs_folder(study) / "results.csv", lambda part: results.to_csv(part, index=False))


def _files_of(study: str, name: str, needed: bool = True) -> Iterator[pd.DataFrame]:
    """One file of every finished attack of a study, with study, system, seed, attack and domain added."""
    for folder, info, table in _attacked(study):
        for attack, domain in zip(table["attack"], table["domain"], strict=True):
            if (path := folder / "attacks" / attack / name).is_file() or needed:
                where = {"study": study, "system": info["system"], "seed": info["seed"], "attack": attack}
                yield pd.read_csv(path, dtype={"clip": str}).assign(**where, domain=domain)


def predictions_of(study: str) -> pd.DataFrame:
    """Tidy predictions of all finished attacks of a study, with the columns study, system, seed and attack added."""
    return pd.concat(_files_of(study, "predictions.csv"), ignore_index=True).drop(columns="domain")


def sounds_of(study: str) -> pd.DataFrame:
    """How audible all finished attacks of a study are: a row a clip of every system, seed and attack.

    Returns
    -------
    pandas.DataFrame
        clip, snr_db, segmental_snr_db, nmr_db, heard_frames, mae_change (when the network hears the sound: of an attack
        on spectrograms its rendering), study, system, seed, attack, domain. Empty where no attack was measured as sound
        (attacks by an earlier version; notebook 06 makes them again).
    """
    return pd.concat([pd.DataFrame(), *_files_of(study, "sound.csv", needed=False)], ignore_index=True)
