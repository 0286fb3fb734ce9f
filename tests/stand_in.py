"""A copy of the workflow with notebooks that leave the right files in a second each and compute nothing.

What is tested with it is the order of jobs, what reruns, failures and leftovers; never a result of the study.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent

STUDY = {
    "study": "tiny",
    "corpus": "etudes",
    "clips": 60,
    "width": 0.125,
    "epochs": 2,
    "systems": {"A2E": [21], "aA2E": [21]},
    "attacks": [{"name": "bim", "domain": "spectrogram", "epsilon": 0.1, "steps": 3}],
    "analyses": [{"notebook": "08_robustness"}, {"notebook": "07_listen"}],
}

TRAINING = "\n".join(
    ('study="tiny"', 'prepared=""', "seed=21", "width=1.0", "epochs=2", "patience=50", "learning_rate=0.002")
    + ('precision=""', 'device="cpu"', 'split=""', 'normalisation="train"', "threads=1")
)
LEAVE = """
import json, os, time
from pathlib import Path
written = Path(os.environ["MER_DATA"])
def leave(name, text="{}"):
    path = written / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
"""
# The real one imports torch, seconds for every call of the launcher
_PREPARATION = """
def prepared_name(corpus, *, clips, **_):
    return f"{corpus}-{clips}clips"
"""
NOTEBOOKS = {
    "01_prepare_data": (
        'study="tiny"\ncorpus="etudes"\nclips=60\nsplit=""\nshortcut=0.0\nmidlevel=""\ndescribe=12',
        'leave(f"prepared/{corpus}-{clips}clips/info.json")',
    ),
    "02_train_a2e": (
        TRAINING,
        'name = f"runs/{study}/A2E/seed-{seed}/run.json"\n'
        "if not (written / name).exists():\n    leave(name, json.dumps(time.time()))",
    ),
    "05_adversarial_training": (
        TRAINING + '\nsystem="aA2E"\nadversarial_every=2\nadversarial_epsilon=.1\nadversarial_steps=3',
        'leave(f"runs/{study}/{system}/seed-{seed}/run.json")',
    ),
    "06_attack": (
        'study="tiny"\nsystem="A2E"\nseed=21\nprepared=""\nsplit=""\nattacks=[]\nexamples=2\nprecision=""\ndevice="cpu"\nthreads=1',
        'import mer_lib.places\nleave(f"runs/{study}/{system}/seed-{seed}/attacks.csv", json.dumps(attacks))',
    ),
    "07_listen": ('study="tiny"\nsystem="A2E"\nseed=21\nprepared=""', 'print("<script>alert(1)</script>")'),
    "08_robustness": (
        'study="tiny"\nsystems=["A2E"]',
        "rows = ['system,seed,attack,corr_clean,corr_attacked,mae_clean,mae_attacked,ratings_kind,midlevel_kind']\n"
        "for run in sorted((written / 'runs' / study).glob('*/seed-*/attacks.csv')):\n"
        "    rows += [f'{run.parts[-3]},{run.parts[-2][5:]},{a[\"name\"]},.5,.1,.1,.3,simulated listeners,composed'\n"
        "             for a in json.loads(run.read_text())]\n"
        "leave(f'runs/{study}/results.csv', '\\n'.join(rows) + '\\n')",
    ),
}


class Tree:
    """A checkout with stand-in notebooks, and where its studies are written."""

    def __init__(self, root: Path) -> None:
        self.root, self.data = root, root / "written"
        self.environment = os.environ | {"MER_DATA": str(self.data)}
        self.environment.pop("PYTHONPATH", None)

    @classmethod
    def make(cls, root: Path) -> Tree:
        """Make a new one."""
        shutil.copytree(ROOT / "workflow", root / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
        (root / "mer_lib").mkdir()
        (root / "mer_lib" / "preparation.py").write_text(_PREPARATION, "utf-8")
        for name in ("__init__.py", "places.py"):
            shutil.copy(ROOT / "mer_lib" / name, root / "mer_lib" / name)
        (root / "data" / "etudes").mkdir(parents=True)
        (root / "data" / "etudes" / "mean_ratings_set1.csv").write_text("number\n1\n", "utf-8")
        (root / "notebooks").mkdir()
        tree = cls(root)
        for name, (parameters, code) in NOTEBOOKS.items():
            tree.notebook(name, parameters, LEAVE + code)
        tree.study()
        return tree

    @property
    def folder(self) -> Path:
        """Folder of the tiny study."""
        return self.data / "runs" / "tiny"

    def notebook(self, name: str, parameters: str, code: str) -> Path:
        """Write one notebook."""
        cells = [
            new_markdown_cell(f"# {name}"),
            new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            new_code_cell(code),
        ]
        path = self.root / "notebooks" / f"{name}.ipynb"
        nbformat.write(new_notebook(cells=cells), path)
        return path

    def study(self, **changes: object) -> Path:
        """Write the tiny study's YAML file, with changes."""
        path = self.root / "workflow" / "studies" / "tiny.yaml"
        path.write_text(yaml.safe_dump(STUDY | changes, sort_keys=False), "utf-8")
        return path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call the launcher and wait for it."""
        return subprocess.run(self.command(*arguments), **self.options, timeout=900)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Call the launcher and do not wait."""
        return subprocess.Popen(self.command(*arguments), **self.options)

    def command(self, *arguments: str) -> list[str]:
        """The launcher's command line."""
        return [sys.executable, str(self.root / "workflow" / "run.py"), "tiny", *arguments]

    @property
    def options(self) -> dict:
        """How a child process is started."""
        return {
            "cwd": self.root,
            "env": self.environment,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
        }
