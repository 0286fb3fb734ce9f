"""Keep a study's numbers where they can be committed, and go on from them elsewhere.

    python workflow/kept_numbers.py keep paper
    python workflow/kept_numbers.py restore paper

A long study need not live in one place and one night. ``keep`` copies what each finished and attacked run has to say
(run.json, history.csv, attacks.csv, the tables of its attacks; no weights, no sound) to ``figures/<study>/runs``; said
again, it adds a run's new attacks. ``restore`` puts back what is missing in ``data/runs/<study>``, with the networks
that are kept in half precision (kept_weights.py). Numbers of one training never come to another's. Notebook 08 then
counts restored runs like any other, and the launcher trains and attacks only those that are in neither place. Notebooks
that need a network itself (06, 07, 09 to 12) need one that is kept, or its run trained again.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mer_lib.places import atomic_write, figures, runs_folder
from mer_lib.runs import RunError, digests_of, read_info
from workflow.kept_weights import restore_weights

# In the order of their making: the marks of a finished training and of finished attacks follow what they stand for.
TABLES = ("history.csv", "run.json", "attacks/*/*.csv", "attacks/*/metrics.json", "attacks.csv")


def kept_folder(study: str) -> Path:
    """Where the numbers of a study's runs are kept."""
    return figures() / study / "runs"


def attacked_runs(folder: Path) -> Iterator[Path]:
    """Folders of finished and attacked runs below a folder, <system>/seed-<n>."""
    for marker in sorted(folder.glob("*/seed-*/attacks.csv")):
        try:
            read_info(marker.parent)
        except RunError:
            continue
        yield marker.parent


def taken(run: Path, there: Path) -> str:
    """What a folder holds beside which a run's numbers cannot stand; empty where they can."""
    if (there / "run.json").is_file():
        same = digests_of(read_info(there)) & digests_of(read_info(run))
        return "" if same else "another training"
    unfinished = any((there / name).is_file() for name in ("state.safetensors", "weights.safetensors"))
    return "an unfinished training" if unfinished else ""


def other_attacks(run: Path, there: Path) -> list[str]:
    """Attacks of a run that a folder holds too, made otherwise or not finished."""
    others = []
    for mine in sorted(run.glob("attacks/*/metrics.json")):
        theirs = there / mine.relative_to(run)
        if theirs.parent.exists() and not (theirs.is_file() and theirs.read_bytes() == mine.read_bytes()):
            others.append(mine.parent.name)
    return others


def copy_numbers(source: Path, target: Path, update: bool = False) -> list[str]:
    """Copy the tables of every attacked run to where they are missing; the names of the runs copied.

    What is there stays as it is; with ``update`` the tables of attacks are brought to what the source has.
    """
    copied = []
    for run in attacked_runs(source):
        name = run.relative_to(source)
        there = target / name
        attacked = there / "attacks.csv"
        if attacked.is_file() and (not update or attacked.read_bytes() == (run / "attacks.csv").read_bytes()):
            continue
        if held := taken(run, there):
            print(f"{there} holds {held}: left as it is; remove it if {run} is to take its place")
            continue
        if not update and (others := other_attacks(run, there)):
            print(f"{there}/attacks holds {', '.join(others)} made otherwise: left as it is; remove it or attack again")
            continue
        for pattern in TABLES:
            for path in sorted(run.glob(pattern)):
                goal = target / path.relative_to(source)
                if not goal.is_file() or (update and pattern.startswith("attacks")):
                    atomic_write(goal, lambda part, path=path: shutil.copyfile(path, part))
        copied.append(name.as_posix())
    return copied


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["keep", "restore"])
    parser.add_argument("study")
    chosen = parser.parse_args()
    places = runs_folder(chosen.study), kept_folder(chosen.study)
    source, target = places if chosen.what == "keep" else places[::-1]
    if not any(attacked_runs(source)):
        sys.exit(f"{source}: no attacked run of study {chosen.study!r} here")
    copied = copy_numbers(source, target, update=chosen.what == "keep")
    print(f"{target}: {len(copied)} run(s) copied{': ' if copied else ', all were there'}{', '.join(copied)}")
    if chosen.what == "restore" and (networks := restore_weights(chosen.study)):
        print(f"with the networks of {', '.join(networks)}, in half precision")


if __name__ == "__main__":
    main()
