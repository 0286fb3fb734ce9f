"""Reads the run folders that the authors published with the paper (CPJKU/robustness_mer_bottleneck, ``runs/``).

A run is a folder ``<seed>_<model>_<date>_<time>_<clip_eps>_<rule>_<lr>_<split>`` with ``log.csv``, a row a clip, and
``hparams.yaml``. The logs are not part of this project; what was computed from all fifty is
``data/published/runs.csv``. Numbers are parsed as numbers: nothing in a log is ever evaluated.

Notebook: 13_published_runs
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from mer_lib.checks import shown
from mer_lib.dataset import EMOTIONS
from mer_lib.metrics import mean_absolute_error, mean_correlation
from mer_lib.models import SYSTEMS
from mer_lib.places import data_folder
from mer_lib.tables import published_table

RUNS = (
    "system", "seed", "clips", "corr_clean", "mae_clean", "corr_attacked", "mae_attacked",
    "l2_norm_min", "l2_norm_mean", "l2_norm_max",
)  # fmt: skip
LOGGED = ("file", "epoch", "db", "norm", "converged", "true-label", "orig-pred", "new-pred")
VECTORS = {"true-label": "rating", "orig-pred": "clean", "new-pred": "attacked"}
LARGEST_SETTINGS = 10_000  # bytes of a hparams.yaml, ten times the authors'
CELLS = 313 * 149  # of a spectrogram: what an l-inf budget allows in l2 is epsilon * sqrt(CELLS)
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
FOLDER = re.compile(r"(?P<seed>\d+)_(?P<model>[0-9a-f]{5})_\d{4}-\d{2}-\d{2}_.+")


class PublishedError(ValueError):
    """Run folders that cannot be read; the message names every file and what is wrong with it."""


def published_runs() -> pd.DataFrame:
    """The figures of all fifty runs, ``data/published/runs.csv``."""
    return pd.read_csv(data_folder() / "published" / "runs.csv")


def allowed_l2(epsilon: float) -> float:
    """The largest l2 norm of a spectrogram's change whose every cell stays within epsilon."""
    return epsilon * CELLS**0.5


def vector(text: str) -> np.ndarray:
    """The eight numbers of an array as numpy printed it into a log, "[[0.1 0.2 ...]]"."""
    inside = re.fullmatch(r"\s*\[\[([^\[\]]*)\]\]\s*", str(text))
    parts = inside[1].split() if inside else []
    numbers = np.array([float(part) if NUMBER.fullmatch(part) else np.nan for part in parts])
    if len(parts) != len(EMOTIONS) or not np.isfinite(numbers).all():
        raise ValueError(f"expected [[ {len(EMOTIONS)} finite numbers ]], found {str(text)[:60]!r}")
    return numbers


def _systems() -> dict[str, str]:
    table = pd.read_csv(data_folder() / "published" / "systems.csv", dtype=str)
    return dict(zip(table["seed"] + "_" + table["model"], table["system"], strict=True))


def _folders(folder: str | Path) -> list[Path]:
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise PublishedError(f"{folder}: no such folder; clone the authors' repository and give its folder runs/")
    found = sorted({path.parent for name in ("log.csv", "hparams.yaml") for path in folder.rglob(name)})
    found = [path for path in found if FOLDER.fullmatch(path.name)]
    if not found:
        raise PublishedError(f"{folder}: no run folder (<seed>_<model>_<date>_..., with log.csv) in it or below it")
    return found


def _row(row: Mapping[str, str]) -> Iterator[dict]:
    name = re.fullmatch(r"\['(\w+)\.[\w.]+'\]", row["file"])
    if not name:
        raise ValueError(f"file {shown(row['file'])!r} is not of the form ['146.mp3.spec']")
    if row["converged"] not in ("True", "False"):
        raise ValueError(f"converged is {shown(row['converged'])!r}, not True or False")
    numbers = {}
    for column, called in {"epoch": "steps", "db": "snr_db", "norm": "l2"}.items():
        if not NUMBER.fullmatch(row[column]) and row[column] != "inf":
            raise ValueError(f"{column} is {shown(row[column])!r}, not a number")
        numbers[called] = float(row[column])
    vectors = {called: vector(row[column]) for column, called in VECTORS.items()}
    for index, emotion in enumerate(EMOTIONS):
        values = {called: values[index] for called, values in vectors.items()}
        yield {"clip": name[1], "emotion": emotion, **values, **numbers, "stopped": row["converged"] == "True"}


def _read_log(path: Path) -> tuple[list[dict], list[str]]:
    """Tidy rows of a log, and what is wrong with it."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in LOGGED if name not in (reader.fieldnames or ())]
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        return [], [f"{path}: cannot be read ({error})"]
    if missing or not lines:
        return [], [f"{path}: " + (f"lacks {', '.join(missing)}" if missing else "has no clips")]
    rows, problems = [], []
    for number, line in enumerate(lines, start=1):
        try:
            rows += _row({name: line[name] or "" for name in LOGGED})
        except ValueError as error:
            problems.append(f"{path}, clip {number}: {error}")
    names = [row["clip"] for row in rows[:: len(EMOTIONS)]]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        problems.append(f"{path}: has clips twice: {', '.join(twice)}")
    return rows, problems


def _read_settings(path: Path) -> tuple[dict, list[str]]:
    try:
        if path.stat().st_size > LARGEST_SETTINGS:
            raise ValueError(f"larger than {LARGEST_SETTINGS // 1000} kB")
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {name: float(settings[name]) for name in ("clip_eps", "lr")}, []
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError, ValueError, RecursionError) as error:
        return {}, [f"{path}: clip_eps and lr cannot be read ({type(error).__name__}: {error})"]


def read_clips(folder: str | Path, systems: Mapping[str, str] | None = None) -> pd.DataFrame:
    """What the logs say about every clip and emotion.

    Parameters
    ----------
    folder
        The authors' ``runs`` folder, their repository, or a folder with some of the run folders.
    systems
        "<seed>_<model>" -> system for runs that ``data/published/systems.csv`` does not know.

    Returns
    -------
    pandas.DataFrame
        Tidy: system, seed, clip, emotion, rating, clean, attacked, steps, snr_db (as logged), l2, stopped (whether the
        attack's stopping rule had fired), epsilon (as stated), step_size; in the order of the systems and seeds.

    Raises
    ------
    PublishedError
        If anything cannot be read; names every file and line.
    """
    known, problems, tables = {**_systems(), **(systems or {})}, [], {}
    for path in _folders(folder):
        form = FOLDER.fullmatch(path.name)
        system = known.get(f"{form['seed']}_{form['model']}")
        if system not in SYSTEMS:
            problems.append(f"{path.name}: unknown run; say systems={{'{form['seed']}_{form['model']}': 'A2E'}} or so")
        rows, wrong = _read_log(path / "log.csv")
        settings, unreadable = _read_settings(path / "hparams.yaml")
        problems += wrong + unreadable
        if (system, form["seed"]) in tables:
            problems.append(f"{path.name}: a second run of {system} with seed {form['seed']}")
        about = {"system": system, "seed": int(form["seed"])}
        settings = {"epsilon": settings.get("clip_eps"), "step_size": settings.get("lr")}
        tables[system, form["seed"]] = pd.DataFrame(rows).assign(**settings)
        for place, (name, value) in enumerate(about.items()):
            tables[system, form["seed"]].insert(place, name, value)
    if problems:
        raise PublishedError("\n".join(problems))
    order = sorted(tables, key=lambda key: (list(SYSTEMS).index(key[0]), int(key[1])))
    return pd.concat([tables[key] for key in order], ignore_index=True)


def read_runs(folder: str | Path, systems: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Figures of every run below a folder, with the columns (and the four decimals) of ``data/published/runs.csv``.

    Parameters, errors: as :func:`read_clips`.
    """
    return runs_of(read_clips(folder, systems))


def runs_of(clips: pd.DataFrame) -> pd.DataFrame:
    """One row a run from what :func:`read_clips` gave."""
    rows = []
    for (system, seed), part in clips.groupby(["system", "seed"], sort=False):
        rating, clean, attacked = (
            part[column].to_numpy().reshape(-1, len(EMOTIONS)) for column in ("rating", "clean", "attacked")
        )
        norms = part["l2"].to_numpy()[:: len(EMOTIONS)]
        figures = [f(rating, said) for said in (clean, attacked) for f in (mean_correlation, mean_absolute_error)]
        rows.append([system, seed, len(norms), *figures, norms.min(), norms.mean(), norms.max()])
    return pd.DataFrame(rows, columns=RUNS).round(4)


def table_1_cells(runs: pd.DataFrame) -> pd.DataFrame:
    """The ten means of Table 1 as printed and as the logs give them, and whether two decimals agree.

    Parameters
    ----------
    runs
        As in ``data/published/runs.csv``.
    """
    means = runs.groupby("system")[["corr_clean", "mae_clean"]].mean()
    rows = []
    for system, printed in published_table().iterrows():
        for label, column, name in (("correlation", "corr_clean", "corr_mean"), ("MAE", "mae_clean", "mae_mean")):
            if system in means.index:
                rows.append([system, label, printed[name], means.loc[system, column]])
    table = pd.DataFrame(rows, columns=["system", "measure", "printed", "from the logs"])
    table["differs"] = (table["from the logs"].round(2) - table["printed"]).abs() > 0.001
    return table
