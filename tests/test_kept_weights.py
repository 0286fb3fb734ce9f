"""A network kept in half precision is small, says that it is another one by a rounding, and is a run like any other."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from mer_lib.bim import BIM
from mer_lib.evaluation import attack_run, finish_attacks
from mer_lib.models import predict
from mer_lib.places import run_folder
from mer_lib.results import collect_results
from mer_lib.runs import RunError, load_run
from mer_lib.training import TrainingSettings, train
from tests.small import small_prepared
from workflow import kept_weights
from workflow.kept_numbers import copy_numbers, kept_folder
from workflow.kept_weights import keep_weights, restore_weights


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("MER_DATA", str(tmp_path))
    prepared = small_prepared(tmp_path / "prepared" / "noise")
    keywords = {"settings": TrainingSettings(epochs=1), "study": "s", "progress": False}
    return train("A2M2E", prepared, run_folder("s", "A2M2E", 6), seed=6, width=0.125, **keywords), prepared


def test_a_kept_network_is_half_as_large_and_nearly_the_same(run):
    trained, prepared = run
    kept = keep_weights("s", "A2M2E", 6)
    sizes = [(folder / "weights.safetensors").stat().st_size for folder in (trained.folder, kept.folder)]
    assert 0.5 < sizes[1] / sizes[0] < 0.6
    said = [predict(network, prepared.spectrograms).emotions for network in (trained.model, kept.model)]
    assert 0 < np.abs(said[1] - said[0]).max() < 2e-3
    assert kept.info["kept_in_half_precision"]["of_weights_sha256"] == trained.info["weights_sha256"]
    assert kept.info["weights_sha256"] != trained.info["weights_sha256"]
    assert kept.info["kept_in_half_precision"]["corr_clean"] == trained.info["corr_clean"]


def test_the_run_itself_stays_as_it_was(run):
    trained, _ = run
    keep_weights("s", "A2M2E", 6)
    assert load_run(trained.folder).info == trained.info


def test_a_study_goes_on_from_what_was_kept(run, monkeypatch):
    trained, prepared = run
    old, new = BIM(epsilon=0.1, steps=1), BIM(epsilon=0.2, steps=1)
    rows = [attack_run(trained, prepared, old, "old", progress=False)]
    finish_attacks(trained, rows)
    keep_weights("s", "A2M2E", 6)
    copy_numbers(trained.folder.parents[1], kept_folder("s"))
    shutil.rmtree(trained.folder)
    copy_numbers(kept_folder("s"), trained.folder.parents[1])
    with pytest.raises(RunError):
        load_run(trained.folder)
    assert restore_weights("s") == ["A2M2E/seed-6"] and restore_weights("s") == []
    restored = load_run(trained.folder)
    assert len(collect_results("s")) == 1, "attacks on the original are its own"
    with monkeypatch.context() as patch:
        patch.setattr(BIM, "attack", None)  # not made again
        assert attack_run(restored, prepared, old, "old", progress=False).equals(rows[0])
    rows.append(attack_run(restored, prepared, new, "new", progress=False))
    assert rows[1]["weights_sha256"].item() == restored.info["weights_sha256"] != rows[0]["weights_sha256"].item()
    finish_attacks(restored, rows)
    assert list(collect_results("s")["attack"]) == ["old", "new"]


def test_weights_never_come_to_numbers_of_another_training(run):
    trained, _ = run
    keep_weights("s", "A2M2E", 6)
    (trained.folder / "weights.safetensors").unlink()
    info = json.loads((trained.folder / "run.json").read_text())
    (trained.folder / "run.json").write_text(json.dumps(info | {"weights_sha256": "0" * 64}))
    assert restore_weights("s") == [] and not (trained.folder / "weights.safetensors").exists()


def test_a_restoring_that_was_cut_off_is_done_again(run, monkeypatch):
    trained, _ = run
    keep_weights("s", "A2M2E", 6)
    shutil.rmtree(trained.folder)

    def cut(path, write, ordinary=kept_weights.atomic_write):
        if path.name == "run.json":
            raise KeyboardInterrupt
        return ordinary(path, write)

    with monkeypatch.context() as patch:
        patch.setattr(kept_weights, "atomic_write", cut)
        with pytest.raises(KeyboardInterrupt):
            restore_weights("s")
    assert restore_weights("s") == ["A2M2E/seed-6"] and load_run(trained.folder)


def test_a_copy_is_not_kept_again(run):
    trained, _ = run
    keep_weights("s", "A2M2E", 6)
    shutil.rmtree(trained.folder)
    restore_weights("s")
    with pytest.raises(RunError, match="restored"):
        keep_weights("s", "A2M2E", 6)


def test_a_training_that_goes_on_is_left_alone(run):
    trained, _ = run
    keep_weights("s", "A2M2E", 6)
    shutil.rmtree(trained.folder)
    trained.folder.mkdir()
    (trained.folder / "state.safetensors").write_bytes(b"an epoch of it")
    assert restore_weights("s") == [] and [path.name for path in trained.folder.iterdir()] == ["state.safetensors"]
