"""The jobs of a study: which notebook runs with which parameters and which small file says that it is done.

Paths of a job are relative to the study's folder, ``data/runs/<study>``, in which Snakemake works.
"""

from __future__ import annotations

import ast
import json
import os
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mer_lib.places import ROOT, atomic_write, data_folder, prepared_folder, prepared_name
from workflow.code_digest import library_digest, notebook_digest
from workflow.study import RESULTS_NOTEBOOK, Study, StudyError

NOTEBOOKS = ROOT / "notebooks"
TRAINING_NOTEBOOKS = {
    "A2E": "02_train_a2e",
    "A2B2E": "03_train_a2b2e",
    "A2M2E": "04_train_a2m2e",
    "aA2E": "05_adversarial_training",
    "aA2B2E": "05_adversarial_training",
    "aA2M2E": "05_adversarial_training",
}
KNOWN_CORPORA = ("etudes", "soundtracks")  # by name; any other corpus is a folder
PHASES = ("prepare", "train", "adversarial", "attack", "analyse")
# Passed to the notebooks, yet no reason to run one again: sums in another order round otherwise, no more than that.
WITHOUT_EFFECT = frozenset({"threads"})


@dataclass(frozen=True)
class Job:
    """One execution of one notebook.

    Attributes
    ----------
    name
        ``prepare``, ``train:A2E:21``, ``attack:A2E:21`` or ``analyse:08_robustness``.
    phase
        One of PHASES.
    marker
        The small result file that is there when the job is done.
    executed
        The executed notebook.
    tracked
        What decides whether the job must run again: its parameters and the code that it reaches.
    """

    name: str
    phase: str
    notebook: str
    parameters: dict[str, Any] = field(hash=False)
    marker: str
    executed: str
    tracked: str = ""

    @property
    def title(self) -> str:
        """The job in words, for instance "train A2E, seed 21"."""
        kind, *rest = self.name.split(":")
        return f"{kind} {', seed '.join(rest)}".rstrip()

    @property
    def record(self) -> str:
        """Where the job's record lies: status, seconds, the error if there was one."""
        return self.executed.removesuffix(".ipynb") + ".json"


@dataclass(frozen=True)
class Plan:
    """All jobs of one study."""

    study: Study

    @cached_property
    def prepared(self) -> str:
        """Name of the prepared corpus."""
        settings = self.study
        return prepared_name(
            settings["corpus"],
            clips=settings["clips"],
            shortcut=settings["shortcut"],
            midlevel=settings["midlevel"],
            split=settings["split"],
        )

    @cached_property
    def runs(self) -> list[tuple[str, int]]:
        """Every (system, seed), in the order of the YAML file."""
        return [(system, seed) for system, seeds in self.study["systems"].items() for seed in seeds]

    @cached_property
    def jobs(self) -> dict[str, Job]:
        """Jobs by name, in the order of the phases."""
        jobs = [self._prepare()]
        jobs += [self._train(system, seed) for system, seed in self.runs]
        jobs += [self._attack(system, seed) for system, seed in self.runs]
        jobs += [self._analyse(analysis) for analysis in self.study["analyses"]]
        return {job.name: replace(job, tracked=_tracked(job)) for job in jobs}

    def _common(self, *names: str) -> dict[str, Any]:
        return {"study": self.study.name} | {name: self.study[name] for name in names}

    def _prepare(self) -> Job:
        parameters = self._common("clips", "split", "shortcut", "midlevel", "describe")
        parameters["corpus"] = corpus_argument(self.study["corpus"])
        marker = f"../../prepared/{self.prepared}/info.json"
        return Job("prepare", "prepare", "01_prepare_data", parameters, marker, "01_prepare_data.ipynb")

    def _train(self, system: str, seed: int) -> Job:
        notebook = TRAINING_NOTEBOOKS[system]
        parameters = self._common(
            "width", "epochs", "patience", "learning_rate", "precision", "device", "split", "normalisation", "threads"
        )
        parameters |= {"prepared": self.prepared, "seed": seed}
        if system.startswith("a"):
            adversarial = self.study["adversarial"]
            parameters |= {"system": system} | {f"adversarial_{key}": value for key, value in adversarial.items()}
        folder = f"{system}/seed-{seed}"
        phase = "adversarial" if system.startswith("a") else "train"
        name = f"train:{system}:{seed}"
        return Job(name, phase, notebook, parameters, f"{folder}/run.json", f"{folder}/{notebook}.ipynb")

    def _attack(self, system: str, seed: int) -> Job:
        parameters = self._common("attacks", "examples", "split", "precision", "device", "threads")
        parameters |= {"prepared": self.prepared, "system": system, "seed": seed}
        folder = f"{system}/seed-{seed}"
        name = f"attack:{system}:{seed}"
        return Job(name, "attack", "06_attack", parameters, f"{folder}/attacks.csv", f"{folder}/06_attack.ipynb")

    def _analyse(self, analysis: dict[str, Any]) -> Job:
        notebook = analysis["notebook"]
        name = analysis.get("name", notebook)
        system, seed = self.runs[0]
        offered = self._common("corpus", "split", "width", "threads")
        offered |= {"systems": list(self.study["systems"]), "system": system, "seed": seed, "prepared": self.prepared}
        known = notebook_parameters(notebook_path(notebook)) if notebook_path(notebook).is_file() else {}
        parameters = {key: value for key, value in offered.items() if key in known}
        parameters |= analysis.get("parameters", {})
        marker = "results.csv" if notebook == RESULTS_NOTEBOOK else f"analyses/{name}.done"
        return Job(f"analyse:{name}", "analyse", notebook, parameters, marker, f"analyses/{name}.ipynb")

    def write(self, path: Path, *, gpus: int = 0) -> None:
        """Write what Snakemake and the jobs need to know, so that they need not work it out again."""
        plan = {
            "gpus": gpus,
            "threads": self.study["threads"],
            "limit_minutes": self.study["limit_minutes"],
            "tables": corpus_tables(self.study["corpus"]),
            "jobs": [asdict(job) for job in self.jobs.values()],
        }
        text = json.dumps(plan, indent=1)
        atomic_write(path, lambda part: part.write_text(text, "utf-8"))

    def check(self) -> None:
        """Raise a StudyError that names every notebook that is missing and every parameter that a notebook lacks."""
        problems: dict[str, None] = {}  # an ordered set: many jobs share a notebook
        for job in self.jobs.values():
            path = notebook_path(job.notebook)
            if not path.is_file():
                problems[f"notebook {job.notebook} is not there ({path})"] = None
            else:
                problems |= dict.fromkeys(parameter_problems(path, job.parameters))
        if problems:
            raise StudyError(f"{self.study.path}:\n" + "\n".join(f"  - {problem}" for problem in problems))


def read_jobs(path: Path) -> tuple[dict[str, Job], dict[str, Any]]:
    """Jobs by name, and the settings of the study that concern them all, as :meth:`Plan.write` wrote them.

    Raises
    ------
    StudyError
        If there is no plan, or it is none that this version wrote.
    """
    try:
        plan = json.loads(path.read_text("utf-8"))
        return {job["name"]: Job(**job) for job in plan.pop("jobs")}, plan
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise StudyError(f"{path} is no plan of a study ({error}): workflow/run.py writes it") from error


def read_record(folder: Path, job: Job) -> dict[str, Any]:
    """The record that a job's last execution left; empty if there is none."""
    try:
        return json.loads((folder / job.record).read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _tracked(job: Job) -> str:
    parameters = {key: value for key, value in job.parameters.items() if key not in WITHOUT_EFFECT}
    tracked: dict[str, Any] = {"parameters": parameters}
    path = notebook_path(job.notebook)
    if path.is_file():
        tracked["notebook"] = notebook_digest(path)
        tracked["library"] = library_digest(path, ROOT / "mer_lib", drawn=job.phase == "analyse")
    return json.dumps(tracked, sort_keys=True)


def notebook_path(notebook: str) -> Path:
    """Path of a notebook by its name."""
    return NOTEBOOKS / f"{notebook}.ipynb"


def notebook_parameters(path: Path) -> dict[str, Any]:
    """Names and defaults in a notebook's `parameters` cell, which holds plain literals.

    Raises
    ------
    StudyError
        If there is no such cell, or it holds anything else.
    """
    cells = json.loads(path.read_text("utf-8"))["cells"]
    tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1:
        raise StudyError(f"{path.name} has {len(tagged)} cells tagged 'parameters'; one is needed")
    parameters: dict[str, Any] = {}
    for node in ast.parse("".join(tagged[0]["source"])).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a string that explains
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)):
            raise StudyError(f"{path.name}: line {node.lineno} of the parameters cell is no plain `name = literal`")
        try:
            parameters[node.targets[0].id] = ast.literal_eval(node.value)
        except ValueError as error:
            raise StudyError(f"{path.name}: parameter {node.targets[0].id} is no plain literal") from error
    return parameters


def parameter_problems(path: Path, parameters: dict[str, Any]) -> list[str]:
    """Parameters that a notebook does not have (papermill only warns), each with the names it does have."""
    known = notebook_parameters(path)
    unknown = [name for name in parameters if name not in known]
    return [f"notebook {path.stem} has no parameter {name!r}; it has: {', '.join(known)}" for name in unknown]


def corpus_argument(corpus: str) -> str:
    """What notebook 01 is told: a known corpus's name or an absolute path (relative ones count from the repository)."""
    return corpus if corpus in KNOWN_CORPORA else str(ROOT / Path(corpus).expanduser())


def corpus_folder(corpus: str) -> Path:
    """Folder of a corpus; MER_SOUNDTRACKS may point at the Soundtracks elsewhere."""
    if corpus == "soundtracks" and os.environ.get("MER_SOUNDTRACKS"):
        return Path(os.environ["MER_SOUNDTRACKS"]).expanduser()
    return data_folder() / corpus_argument(corpus)


def corpus_tables(corpus: str) -> list[str]:
    """The tables of a corpus, and what its corpus.yaml says of them: when one changes, it is prepared again."""
    folder = corpus_folder(corpus)
    midlevel = data_folder() / "midlevel" / "metadata_annotations" if corpus == "soundtracks" else folder / "midlevel"
    tables = [path for place in (folder, midlevel) for path in sorted(place.glob("*.csv"))]
    return [str(path) for path in (*tables, folder / "corpus.yaml") if path.is_file()]


def check_prepared(plan: Plan) -> None:
    """Refuse arrays to which another corpus, in a folder of the same name, was prepared.

    Where a table of the corpus is newer than they are, the corpus is prepared again anyway.
    """
    corpus, marker = plan.study["corpus"], prepared_folder(plan.prepared) / "info.json"
    newest = max((os.path.getmtime(table) for table in corpus_tables(corpus)), default=0.0)
    if corpus in KNOWN_CORPORA or not marker.is_file() or newest > marker.stat().st_mtime:
        return
    from mer_lib.dataset import load_corpus  # torch and pandas, which the launcher does without
    from mer_lib.preparation import choose, load_prepared

    try:
        found = choose(load_corpus(corpus_argument(corpus)), plan.study["clips"])
        same = load_prepared(marker.parent).info["fingerprint"] == found.fingerprint
    except ValueError as error:
        raise StudyError(f"corpus {corpus!r}: {error}") from error
    if not same:
        raise StudyError(
            f"{marker.parent} holds another corpus than {corpus_folder(corpus)}, from a folder of the same name: give "
            "one of the two folders another name, or remove what was prepared"
        )
