"""Bad study files, given to the launcher; and a plan that is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import yaml
from stand_in import STUDY

from tests.bad_case import Case, yaml_bait
from workflow import execute, run
from workflow.jobs import read_jobs
from workflow.study import Study, StudyError, load_study

EXPONENTS = "width: '1e-3' is text to YAML (write 0.001)"


def study(content: str | bytes, name: str = "tiny.yaml") -> Callable:
    """A study's file; read and, if that goes well, checked against notebooks and corpus as the launcher does."""

    def make(folder: Path) -> Callable[[], object]:
        data = content if isinstance(content, bytes) else content.replace("BAIT", yaml_bait(folder)).encode()
        (folder / name).write_bytes(data)

        def read() -> Study:
            return run.checked_plan(str(folder / name)).study

        return read

    return make


def launched(folder: Path) -> int:
    """The launcher on the only file there."""
    return run.main([str(next(folder.glob("*.y*ml"), folder / "tiny.yaml"))])


def changed(**changes: object) -> str:
    return yaml.safe_dump(STUDY | changes, sort_keys=False, allow_unicode=True)


def refused(name: str, content: str | bytes, *says: str) -> Case:
    return Case(name, study(content), StudyError, says, command=launched)


def a_folder(folder: Path) -> Callable[[], object]:
    (folder / "tiny.yaml").mkdir()
    return lambda: load_study(folder / "tiny.yaml")


def no_study(folder: Path) -> Callable[[], object]:
    return lambda: load_study(folder / "tiny.yaml")


def plan(content: bytes) -> Callable:
    def make(folder: Path) -> Callable[[], object]:
        (folder / "plan.json").write_bytes(content)
        return lambda: read_jobs(folder / "plan.json")

    return make


def executed(folder: Path) -> int:
    """One job of a plan; it ends with a message instead of a status."""
    execute.main([str(folder), "prepare"])
    return 0


def no_plan(name: str, content: bytes, *says: str) -> Case:
    return Case(f"a plan that is {name}", plan(content), StudyError, ("plan.json", *says), command=executed)


ATTACK = STUDY["attacks"][0]
STUDIES = [
    refused(
        "an unknown key",
        changed(epoch=3),
        "the file: unknown key 'epoch' (do you mean 'epochs'?); allowed: adversarial",
    ),
    refused("text for a number", changed(epochs="many"), "epochs: 'many' is text, a whole number is wanted"),
    refused("a number that is text to YAML", changed().replace("0.125", "1e-3"), EXPONENTS),
    refused("a list for a number", changed(width=[1]), "width: [1] is a list, a finite number is wanted"),
    refused("a number for text", changed(corpus=7), "corpus: 7 is a whole number, text is wanted"),
    refused(
        "seeds that are none",
        changed(systems={"A2E": [1.5, -1, "x"]}),
        "1.5 is a number",
        "-1 is less",
        "'x' is text",
        "3 problem(s)",
    ),
    refused(
        "five things wrong at once",
        changed(epochs="x", width=-1, systems={"B": [1]}, colour="red", split="none"),
        "has 5 problem(s)",
        "epochs:",
        "width:",
        "unknown system 'B'",
        "unknown key 'colour'",
        "split:",
    ),
    refused("a study that is code", "study: BAIT\n", "cannot be read as YAML", "could not determine a constructor"),
    refused("a key that is code", changed() + "? BAIT\n: 1\n", "cannot be read as YAML"),
    refused("a key twice", changed() + "width: 1\n", "the key 'width' stands here twice"),
    refused("aliases", "a: &a [x, x]\nb: &b [*a, *a]\nstudy: *b\n", "anchors and aliases are not used in studies"),
    refused("nested to the sky", "- " * 2000, "cannot be read as YAML"),
    refused("a file that is no text", b"study: \xff\xfe\0", "is not UTF-8 text"),
    refused("a binary file", bytes(range(32)) * 9, "cannot be read as YAML"),
    refused("a file of 200 kB", "x: " + "a" * 200_000, "larger than 100 kB"),
    refused("an attack that climbs out", changed(attacks=[ATTACK | {"name": "../../x"}]), "attacks[1].name: '../../x'"),
    refused("an analysis that climbs out", changed(analyses=[{"notebook": "../x"}]), "analyses[1].notebook: '../x'"),
    refused("a name that climbs out", changed(study="../tiny"), "study: '../tiny'", "is not the name of its file"),
    refused("HTML for a name", changed(study="<script>alert(1)</script>"), "study: '<script>alert(1)</script>'"),
    refused("a corpus without a name", changed(corpus="../.."), "corpus: '../..' does not end in the name of a folder"),
    refused("a corpus with braces", changed(corpus="my {corpus}"), "corpus: 'my {corpus}' holds braces"),
    refused("a corpus with control characters", changed(corpus="a\x1b[2Jb"), "holds control characters"),
    refused(
        "a corpus that is nowhere", changed(corpus="nowhere/mine"), "nowhere/mine is not there; data/README.md says"
    ),
    refused("a corpus with a name of 5000 letters", changed(corpus="x" * 5000), "is not there; data/README.md says"),
    Case("a folder named .yaml", a_folder, StudyError, ("There is no study", "companions, demo"), command=launched),
    Case("no study", no_study, StudyError, ("There is no study", "or give a path to a .yaml file"), command=launched),
    no_plan("empty", b"", "is no plan of a study", "workflow/run.py writes it"),
    no_plan("a list", b"[]", "is no plan of a study"),
    no_plan("of another version", json.dumps({"jobs": [{"name": "a", "colour": 1}]}).encode(), "unexpected keyword"),
    no_plan("nested to the sky", b"[" * 200_000, "is no plan of a study"),
]
