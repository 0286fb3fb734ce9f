"""Numbers of a study are kept and restored: whole runs only, nothing overwritten, results counted without weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from mer_lib.evaluation import RESULTS
from mer_lib.places import ROOT, figures, runs_folder
from mer_lib.results import collect_results, predictions_of
from workflow.kept_numbers import copy_numbers, kept_folder


def write_run(folder, seed):
    (folder / "attacks" / "bim").mkdir(parents=True)
    info = {"format": 1, "system": "A2E", "width": 1.0, "seed": seed, "weights_sha256": f"w{seed}"}
    (folder / "run.json").write_text(json.dumps(info))
    (folder / "weights.safetensors").write_bytes(b"no numbers")
    (folder / "history.csv").write_text("epoch\n1\n")
    row = dict.fromkeys(RESULTS, 1) | {"system": "A2E", "seed": seed, "attack": "bim", "domain": "waveform"}
    pd.DataFrame([row | {"weights_sha256": f"w{seed}", "fingerprint": "f"}]).to_csv(folder / "attacks.csv", index=False)
    table = {"clip": ["007"], "emotion": ["sad"], "rating": [0.1 + seed], "clean": [0.2], "attacked": [1 / 3]}
    pd.DataFrame(table).to_csv(folder / "attacks" / "bim" / "predictions.csv", index=False)
    (folder / "attacks" / "bim" / "metrics.json").write_text("{}")


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("MER_DATA", str(tmp_path))
    for seed in (6, 21):
        write_run(runs_folder("far") / "A2E" / f"seed-{seed}", seed)
    return "far"


def test_numbers_come_back_as_they_were_and_weights_stay_behind(study):
    before = collect_results(study), predictions_of(study)
    unfinished = runs_folder(study) / "A2E" / "seed-42"
    unfinished.mkdir()
    (unfinished / "history.csv").write_text("epoch\n1\n")
    assert copy_numbers(runs_folder(study), kept_folder(study)) == ["A2E/seed-21", "A2E/seed-6"]
    assert not list(figures().rglob("*.safetensors")) and not (kept_folder(study) / "A2E" / "seed-42").exists()
    shutil.rmtree(runs_folder(study))
    copy_numbers(kept_folder(study), runs_folder(study))
    for old, new in zip(before, (collect_results(study), predictions_of(study)), strict=True):
        pd.testing.assert_frame_equal(old, new, check_exact=True)


def test_a_run_that_is_there_is_never_overwritten(study):
    copy_numbers(runs_folder(study), kept_folder(study))
    newer = runs_folder(study) / "A2E" / "seed-6" / "history.csv"
    newer.write_text("epoch\n1\n2\n")
    shutil.rmtree(runs_folder(study) / "A2E" / "seed-21")
    assert copy_numbers(kept_folder(study), runs_folder(study)) == ["A2E/seed-21"]
    assert newer.read_text() == "epoch\n1\n2\n"


@pytest.mark.parametrize("theirs", [None, '{"epsilon": 1}'], ids=["unfinished", "made otherwise"])
def test_tables_of_two_attacks_are_not_mixed(study, theirs, capsys):
    copy_numbers(runs_folder(study), kept_folder(study))
    here = runs_folder(study) / "A2E" / "seed-6"
    (here / "attacks.csv").unlink()
    (here / "attacks" / "bim" / "predictions.csv").write_text("clip\nof another budget\n")
    (here / "attacks" / "bim" / "metrics.json").unlink()
    if theirs:
        (here / "attacks" / "bim" / "metrics.json").write_text(theirs)
    before = {path: path.read_bytes() for path in here.rglob("*.*")}
    assert copy_numbers(kept_folder(study), runs_folder(study)) == []
    assert {path: path.read_bytes() for path in here.rglob("*.*")} == before
    assert "holds bim made otherwise" in capsys.readouterr().out


def test_new_attacks_are_added_to_what_is_kept(study):
    copy_numbers(runs_folder(study), kept_folder(study))
    table = runs_folder(study) / "A2E" / "seed-6" / "attacks.csv"
    before = (kept_folder(study) / "A2E" / "seed-6" / "run.json").read_text()
    table.write_text(table.read_text() + table.read_text().splitlines()[1].replace("bim", "apgd") + "\n")
    assert copy_numbers(runs_folder(study), kept_folder(study), update=True) == ["A2E/seed-6"]
    kept = kept_folder(study) / "A2E" / "seed-6"
    assert kept.joinpath("attacks.csv").read_text() == table.read_text() and (kept / "run.json").read_text() == before
    assert copy_numbers(runs_folder(study), kept_folder(study), update=True) == []


@pytest.mark.parametrize("unfinished", [True, False])
def test_numbers_never_come_to_another_training(study, capsys, unfinished):
    copy_numbers(runs_folder(study), kept_folder(study))
    run = runs_folder(study) / "A2E" / "seed-6"
    (run / "attacks.csv").unlink()
    if unfinished:
        (run / "run.json").unlink()
    else:
        (run / "run.json").write_text((run / "run.json").read_text().replace('"w6"', '"other"'))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert copy_numbers(kept_folder(study), runs_folder(study)) == []
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert ("an unfinished training" if unfinished else "another training") in capsys.readouterr().out


def test_a_study_without_runs_is_said_to_have_none(tmp_path):
    command = [sys.executable, str(ROOT / "workflow" / "kept_numbers.py"), "keep", "nothing"]
    done = subprocess.run(command, env=os.environ | {"MER_DATA": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1 and "no attacked run of study 'nothing'" in done.stderr
    assert not list(tmp_path.rglob("*"))
