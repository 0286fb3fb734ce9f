"""What a study has come to, read from its folder: seconds per phase and the table of results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from workflow.jobs import PHASES, Plan, read_record

MEASURES = ("corr_clean", "corr_attacked", "mae_clean", "mae_attacked")


def phases(plan: Plan, folder: Path) -> pd.DataFrame:
    """Jobs and seconds per phase, as measured when each job ran; parallel jobs count in full.

    Returns
    -------
    DataFrame
        Columns phase, jobs, seconds; the last row is the sum.
    """
    rows = []
    for phase in PHASES:
        records = [read_record(folder, job) for job in plan.jobs.values() if job.phase == phase]
        seconds = [record["seconds"] for record in records if record.get("status") == "finished"]
        if seconds:
            rows.append({"phase": phase, "jobs": len(seconds), "seconds": round(sum(seconds), 1)})
    table = pd.DataFrame(rows, columns=["phase", "jobs", "seconds"])
    total = {"phase": "all", "jobs": table["jobs"].sum(), "seconds": round(table["seconds"].sum(), 1)}
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True)


def read_results(plan: Plan, folder: Path) -> pd.DataFrame:
    """Rows of results.csv that belong to the study as its YAML file now stands."""
    results = pd.read_csv(folder / "results.csv")
    wanted = set(plan.runs)
    runs = [run in wanted for run in zip(results["system"], results["seed"].astype(int), strict=True)]
    return results[pd.Series(runs, index=results.index) & results["attack"].isin(_names(plan.study["attacks"]))]


def unfinished(plan: Plan, folder: Path) -> str:
    """Why there is no table to show where Snakemake was told what to make; empty when results.csv is up to date."""
    results = folder / "results.csv"
    if not results.is_file():
        return "results.csv is not there yet."
    made = results.stat().st_mtime_ns
    attacked = [folder / job.marker for job in plan.jobs.values() if job.phase == "attack"]
    if any(not marker.is_file() or marker.stat().st_mtime_ns > made for marker in attacked):
        return "results.csv is older than the runs."
    return ""


def unlisted(plan: Plan, folder: Path) -> list[str]:
    """Finished runs in the folder that the YAML file no longer lists; they cost nothing and count for nothing."""
    wanted = {Path(system, f"seed-{seed}") for system, seed in plan.runs}
    found = {path.parent.relative_to(folder) for path in folder.glob("*/seed-*/run.json")}
    return sorted(path.as_posix() for path in found - wanted)


def summary(plan: Plan, results: pd.DataFrame) -> pd.DataFrame:
    """One row per attack and system: means over seeds, systems and attacks in the order of the YAML file."""
    systems, attacks = list(plan.study["systems"]), _names(plan.study["attacks"])
    table = results.groupby(["attack", "system"]).agg(
        seeds=("seed", "nunique"), **{measure: (measure, "mean") for measure in MEASURES}
    )
    table["mae_rise"] = table["mae_attacked"] - table["mae_clean"]
    order = [(attack, system) for attack in attacks for system in systems if (attack, system) in table.index]
    return table.loc[order].reset_index()


def headline(plan: Plan, results: pd.DataFrame) -> str:
    """What the numbers stand for, in one line: corpus, kind of ratings, split, width, epochs, seeds."""
    seeds = sorted({seed for _, seed in plan.runs})
    kinds = [_only(results, "ratings_kind")]
    if any("M2E" in system for system in plan.study["systems"]):
        kinds.append(f"mid-level values: {_only(results, 'midlevel_kind')}")
    study = plan.study
    clips = f", {study['clips']} clips" if study["clips"] else ""
    return (
        f"corpus {Path(study['corpus']).name}{clips} ({', '.join(kinds)}), {study['split']} split, "
        f"width {study['width']:g}, at most {study['epochs']} epochs, learning rate {study['learning_rate']:g}, "
        f"seeds {', '.join(map(str, seeds))}"
    )


def _only(results: pd.DataFrame, column: str) -> str:
    values = results[column].dropna().astype(str).unique() if column in results else []
    return " and ".join(value for value in values if value != "not used") or "unknown"


def _names(attacks: list[dict[str, Any]]) -> list[str]:
    return [attack["name"] for attack in attacks]
