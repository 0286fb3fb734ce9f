"""A debugging story with a known answer: networks that were trained with a planted shortcut, and who finds it.

:mod:`mer_lib.shortcut` adds to every training clip a recording property without musical meaning whose strength follows
the rating of one emotion. Test clips lack it, and can be given it, or its reverse. A network uses the shortcut if its
answer follows the property while the music stays the same. This file gets the networks and the clips;
:mod:`mer_lib.shortcut_evidence` looks at them.

Notebook: 10_explain
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mer_lib.dataset import load_corpus
from mer_lib.models import Network
from mer_lib.places import ROOT, prepared_folder, prepared_name, run_folder
from mer_lib.preparation import Prepared, prepare
from mer_lib.runs import Run, load_pretrained, load_run
from mer_lib.starting import prepared_corpus, unheard_clips
from mer_lib.training import TrainingSettings, train

SHIPPED = ROOT / "data" / "pretrained" / "shortcut"
WITH = "{}, shortcut"


@dataclass(frozen=True, eq=False)
class ShortcutCase:
    """Networks trained with and without a shortcut, and clips that none of them has heard.

    Attributes
    ----------
    networks
        Name -> network; "A2E" never met the shortcut, "A2E, shortcut" was trained with it, and so on.
    trained
        The names of the latter.
    waveforms, ratings, midlevel, clips
        Test clips without the shortcut: (clips, samples), (clips, 8), (clips, 7), and their ids.
    shortcut
        Its strength, emotion and kind.
    said
        What the networks are, in a sentence.
    """

    networks: dict[str, Network]
    trained: tuple[str, ...]
    waveforms: np.ndarray
    ratings: np.ndarray
    midlevel: np.ndarray
    clips: list[str]
    shortcut: dict
    said: str


def shortcut_corpus(
    corpus: str,
    strength: float,
    *,
    kind: str = "hum",
    emotion: str = "happy",
    clips: int | None = None,
    midlevel: str = "corpus",
    split_protocol: str = "published",
    data_dir: str | Path = "data",
) -> Prepared:
    """A corpus prepared with the shortcut in training and validation clips; prepared once, then read.

    Its folder is named as :func:`mer_lib.places.prepared_name` says, followed by kind and emotion where these are not
    the defaults of :func:`mer_lib.preparation.prepare`.
    """
    if not strength > 0:
        raise ValueError(f"a shortcut of strength {strength} is none: it lies between 0 and 1")
    name = prepared_name(corpus, clips=clips, shortcut=strength, midlevel=midlevel, split=split_protocol)
    name += ("" if kind == "tilt" else f"-{kind}") + ("" if emotion == "happy" else f"-{emotion}")
    return prepare(
        load_corpus(corpus, data_dir),
        prepared_folder(name),
        clips=clips,
        shortcut=strength,
        shortcut_kind=kind,
        shortcut_emotion=emotion,
        split_protocol=split_protocol,
        midlevel=midlevel,
        workers=1,
        progress=False,
    )


def shortcut_runs(
    systems: Sequence[str], prepared: Prepared, study: str, seed: int, width: float, settings: TrainingSettings
) -> dict[str, Run]:
    """Networks trained on a corpus with the shortcut, as runs of "<study>-shortcut"; finished ones are read."""
    study, protocol = f"{study}-shortcut", prepared.info["shortcut"]["split_protocol"]
    about = {"seed": seed, "width": width, "settings": settings, "study": study, "split_protocol": protocol}
    return {
        system: train(system, prepared, run_folder(study, system, seed), **about, progress=False) for system in systems
    }


def shipped_case(systems: Sequence[str], data: Prepared, data_dir: str | Path = "data") -> ShortcutCase:
    """The small networks with a shortcut that come with the repository, beside the pretrained ones without.

    Both were trained alike, on the Études but for the shortcut.

    Parameters
    ----------
    systems
        Those that are not there are left out.
    data
        The Études or a part of them; of another corpus, the Études are taken instead.
    """
    runs = {name: load_run(SHIPPED / name) for name in systems if (SHIPPED / name / "run.json").is_file()}
    if not runs:
        raise ValueError(f"no network with a shortcut comes with the repository for {', '.join(systems)}: train some")
    data = data if data.info["corpus"] == "etudes" else prepared_corpus("etudes", data_dir)
    first = next(iter(runs.values()))
    said = (
        f"Networks that come with the repository (Études, width {first.info['width']:g}, {first.info['epochs_run']} "
        "epochs), trained with the shortcut and, the pretrained ones, without."
    )
    return _case(runs, {name: load_pretrained(name) for name in runs}, data, unheard_clips(first, data, data_dir), said)


def trained_case(runs: Mapping[str, Run], controls: Mapping[str, Run], prepared: Prepared) -> ShortcutCase:
    """Networks that were trained on a corpus with a shortcut, beside those of a study without it.

    Parameters
    ----------
    runs, prepared
        From :func:`shortcut_runs` and :func:`shortcut_corpus`.
    controls
        Trained without it, on the same split; other systems than those of ``runs`` are left out.
    """
    first = next(iter(runs.values())).info
    controls = {name: run for name, run in controls.items() if name in runs and not run.info["shortcut"]["strength"]}
    said = f"Trained with the shortcut: width {first['width']:g}, {first['epochs_run']} epochs, seed {first['seed']}. "
    said += "Without: " + (
        ", ".join(f"{n} (width {r.info['width']:g}, {r.info['epochs_run']} epochs)" for n, r in controls.items()) + "."
        if controls
        else "none."
    )
    return _case(runs, controls, prepared, prepared.split(first["split"])["test"], said)


def _case(
    runs: Mapping[str, Run], controls: Mapping[str, Run], data: Prepared, rows: np.ndarray, said: str
) -> ShortcutCase:
    networks = {}
    for name, run in runs.items():
        networks |= {name: controls[name].model} if name in controls else {}
        networks[WITH.format(name)] = run.model
    return ShortcutCase(
        networks,
        tuple(WITH.format(name) for name in runs),
        np.array(data.waveforms[rows]),
        data.emotions[rows],
        data.midlevel[rows],
        data.table["id"].iloc[rows].astype(str).tolist(),
        next(iter(runs.values())).info["shortcut"],
        said,
    )
