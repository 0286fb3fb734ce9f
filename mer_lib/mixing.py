"""Which runs may stand in one table: those of one corpus, made with one set of packages.

Runs of another corpus are refused, always. Runs or attacks that other releases of the packages made are refused too,
unless whoever collects them says that they may be mixed: kept numbers may be older than a package (workflow/README.md).
Commits, threads, kinds of machine and the precision of gradients may differ: of a study that goes on over weeks they
do, and the workflow runs again what changed code concerns. They are said instead.

Notebook: 08_robustness
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

# What numbers are computed with; a local build ("2.13.0+cpu") is no other release
COMPUTING = ("torch", "torchaudio", "numpy", "scipy", "librosa", "soundfile", "soxr")
SAID = {
    "commit": "commits", "threads": "numbers of threads", "machine": "kinds of machine",
    "precision": "precisions of gradients",
}  # fmt: skip
NAMED = 6  # runs in a message; the others are counted
LONG = 300  # characters; what would take more is counted

Made = tuple[str, dict]  # a run or one of its attacks, by name, and its provenance


def provenances(folder: Path, info: dict, attacks: Iterable[str]) -> list[Made]:
    """What is known of how a run and its attacks came about; what says nothing of it is left out."""
    name = f"{info['system']}/{folder.name}"
    found = [(name, info.get("provenance"), info.get("precision_used"))]
    for attack in attacks:
        try:
            about = json.loads((folder / "attacks" / attack / "metrics.json").read_text(encoding="utf-8"))
            found.append((f"{name}/{attack}", about["provenance"], about.get("row", {}).get("precision")))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return [(name, made | {"precision": precision}) for name, made, precision in found if isinstance(made, dict)]


def groups(made: Iterable[tuple[str, object]]) -> dict[str, list[str]]:
    """Names by what they have in common, in the order of their coming."""
    found: dict[str, list[str]] = {}
    for name, common in made:
        found.setdefault(str(common), []).append(name)
    return found


def listed(found: dict[str, list[str]]) -> str:
    """Groups in words: "2.4.6 (A2E/seed-21, A2E/seed-42), 2.5.0 (aA2E/seed-21)"."""
    parts = []
    for common, names in found.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        parts.append(f"{common} ({', '.join(names[:NAMED])}{more})")
    return ", ".join(parts)


def _differing(made: list[Made], value: Callable[[dict], object]) -> dict[str, list[str]]:
    """Where a value differs, who has which; empty where it does not or nobody knows it."""
    known = [(name, value(provenance)) for name, provenance in made]
    found = groups((name, common) for name, common in known if common is not None)
    return found if len(found) > 1 else {}


def _release(package: str) -> Callable[[dict], object]:
    def release(provenance: dict) -> object:
        versions = provenance.get("versions")
        version = versions.get(package) if isinstance(versions, dict) else None
        return None if version is None else str(version).split("+")[0]

    return release


def mixed_versions(made: list[Made]) -> list[str]:
    """For each package of which several releases were at work: which, and in which runs and attacks."""
    found = {package: _differing(made, _release(package)) for package in COMPUTING}
    return [f"{package} {listed(who)}" for package, who in found.items() if who]


def what_differs(made: list[Made]) -> list[str]:
    """For what else differs, and is no reason to refuse: which, and in which runs and attacks, or where that stands."""
    found = {words: _differing(made, lambda provenance, key=key: provenance.get(key)) for key, words in SAID.items()}
    said = {words: listed(who) for words, who in found.items() if who}
    return [
        f"{words}: {who if len(who) <= LONG else f'{len(found[words])}, named in each run.json and metrics.json'}"
        for words, who in said.items()
    ]
