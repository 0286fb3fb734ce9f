"""The line under every figure: study, corpus, who rated, width, epochs, seeds and clips, and how far the numbers carry.

Notebooks: 01_prepare_data to 08_robustness
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from mer_lib.checks import shown
from mer_lib.models import SYSTEMS

PUBLISHED_RATE = 0.0005
ENOUGH_SEEDS = 5  # below this the study says that nothing is known of new seeds


def plain(name: object) -> str:
    """A name from data for figures and Markdown: characters that mean something to HTML, Markdown or TeX become "_".

    A caption is drawn by matplotlib and shown as Markdown, so that escaping for one would be seen in the other.
    """
    return re.sub(r"[<>$`*\[\]\\]", "_", shown(name))


def _values(values: pd.Series) -> str:
    """Distinct values, sorted, joined: "0.25", "2 and 12"."""
    found = [f"{value:g}" if isinstance(value, float | int) else plain(value) for value in sorted(values.unique())]
    return found[0] if len(found) == 1 else ", ".join(found[:-1]) + " and " + found[-1]


def _rate(rates: pd.Series) -> str:
    """A learning rate other than the published one is worth a word."""
    return "" if set(rates) == {PUBLISHED_RATE} else f" at a learning rate of {_values(rates)}"


def _rarer(results: pd.DataFrame) -> str:
    """Attacks that not every network has had, as an aside."""
    networks = results.groupby("attack")[["system", "seed"]].apply(lambda rows: len(rows.drop_duplicates()))
    fewer = [f"{plain(attack)} on {count}" for attack, count in networks.items() if count < networks.max()]
    return f" (fewer networks under some attacks: {', '.join(fewer)} of {networks.max()})" if fewer else ""


def study_caption(results: pd.DataFrame) -> str:
    """The line under every figure of a study: where its numbers come from and how far they carry."""
    seeds = results.groupby("system")["seed"].nunique()
    parts = [
        f"Study {_values(results['study'])}, corpus {_values(results['corpus'])} ({_values(results['ratings_kind'])})",
        f"{_values(results['split'])} split, {_values(results['clips'])} test clips",
        f"width {_values(results['width'])}, at most {_values(results['epochs'])} epochs"
        + _rate(results["learning_rate"]),
        "seeds: "
        + ", ".join(f"{system} {seeds[system]}" for system in SYSTEMS if system in seeds.index)
        + _rarer(results),
    ]
    kinds = set(results["midlevel_kind"].dropna()) - {"annotated", "not used", "none"}
    if kinds and any("M" in system for system in results["system"]):
        parts.insert(1, f"mid-level values {' and '.join(sorted(kinds))}")
    if "precision" in results and results["precision"].nunique() > 1:
        parts.append(f"gradients in {_values(results['precision'])}")
    few = " Fewer than five seeds: intervals are over clips, for exactly these networks; new ones may differ."
    warning = few if seeds.min() < ENOUGH_SEEDS else ""
    return "; ".join(parts) + "." + warning


def corpus_caption(info: Mapping) -> str:
    """The line under every figure of a prepared corpus, from its ``info``."""
    midlevel = {"none": "no mid-level values"}.get(info["midlevel_kind"], f"mid-level values {info['midlevel_kind']}")
    shortcut = info["shortcut"]["strength"]
    added = f"; shortcut of strength {shortcut:g} tied to {info['shortcut']['emotion']}" if shortcut else ""
    return (
        f"Corpus {plain(info['corpus'])}, {info['clips']} excerpts of {info['excerpt_seconds']:g} s; "
        f"ratings by {info['ratings_kind']}; {midlevel}{added}."
    )


def run_caption(info: Mapping, pretrained: bool = False) -> str:
    """The line under every figure of one run, from its ``info``."""
    where = "pretrained network" if pretrained else f"study {plain(info['study'])}"
    text = (
        f"{info['system']}, seed {info['seed']}, {where}; corpus {plain(info['prepared'])} ({info['ratings_kind']}); "
        f"{info['split']} split, {info['clips']['test']} test clips; width {info['width']:g}, "
        f"{info['epochs_run']} epochs{_rate(pd.Series([info['settings']['learning_rate']]))}."
    )
    return text + " One seed: another may differ."
