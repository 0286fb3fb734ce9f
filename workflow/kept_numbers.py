"""Keep a study's numbers where they can be committed, and go on from them elsewhere.

    python workflow/kept_numbers.py keep paper
    python workflow/kept_numbers.py restore paper

A long study need not live in one place and one night. ``keep`` copies what each finished and attacked run has to say
(run.json, history.csv, attacks.csv, the tables of its attacks; no weights, no sound) to ``figures/<study>/runs``;
``restore`` puts back what is missing in ``data/runs/<study>``, with the networks that are kept in half precision
(kept_weights.py). Notebook 08 then counts restored runs like any other, and the launcher trains and attacks only those
that are in neither place. Notebooks that need a network itself (06, 07, 09 to 12) need one that is kept, or its run
trained again.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mer_lib.places import atomic_write, figures, runs_folder
from mer_lib.runs import RunError, read_info
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


def copy_numbers(source: Path, target: Path) -> list[str]:
    """Copy the tables of every attacked run to where it is not attacked yet; the names of the runs copied."""
    copied = []
    for run in attacked_runs(source):
        name = run.relative_to(source)
        if (target / name / "attacks.csv").is_file():
            continue
        for pattern in TABLES:
            for path in sorted(run.glob(pattern)):
                atomic_write(target / path.relative_to(source), lambda part, path=path: shutil.copyfile(path, part))
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
    copied = copy_numbers(source, target)
    print(f"{target}: {len(copied)} run(s) copied{': ' if copied else ', all were there'}{', '.join(copied)}")
    if chosen.what == "restore" and (networks := restore_weights(chosen.study)):
        print(f"with the networks of {', '.join(networks)}, in half precision")


if __name__ == "__main__":
    main()
