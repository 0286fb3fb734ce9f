"""A run is there whole or not at all, and is never mistaken for another."""

from __future__ import annotations

import json
import os

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from mer_lib.models import SYSTEMS, build
from mer_lib.places import run_folder
from mer_lib.runs import RunError, find_runs, load_pretrained, load_run, run_or_pretrained, save_run

HISTORY = pd.DataFrame({"epoch": [1], "valid_score": [0.5]})


@pytest.fixture
def run(tmp_path):
    return save_run(tmp_path / "run", build("A2M2E", 0.125, mean=0.4, std=0.5), {"study": "s", "seed": 3}, HISTORY)


def test_what_was_saved_comes_back(run):
    spectrograms = torch.randn(2, 313, 149)
    again = load_run(run.folder)
    assert torch.equal(again.model(spectrograms).emotions, run.model(spectrograms).emotions)
    assert again.info["seed"] == 3 and again.info["mean"] == pytest.approx(0.4) and not again.model.training
    assert set(again.info["provenance"]) >= {"commit", "versions", "python", "threads"}
    assert sorted(p.name for p in run.folder.iterdir()) == ["history.csv", "run.json", "weights.safetensors"]


def test_the_same_weights_always_have_the_same_digest(run, tmp_path):
    again = [save_run(tmp_path / str(i), run.model, {"study": "s", "seed": 3}, HISTORY) for i in range(8)]
    assert {saved.info["weights_sha256"] for saved in again} == {run.info["weights_sha256"]}


def test_an_unfinished_run_is_no_run(run):
    (run.folder / "run.json").unlink()
    with pytest.raises(RunError, match="02 to 05"):
        load_run(run.folder)


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"\x80\x04\x95pickle"])
def test_damaged_or_pickled_weights_are_refused(run, content):
    (run.folder / "weights.safetensors").write_bytes(content)
    with pytest.raises(RunError, match="safetensors"):
        load_run(run.folder)


def test_weights_of_another_system_or_width_are_refused(run, tmp_path):
    other = save_run(tmp_path / "other", build("A2B2E", 0.25), {}, HISTORY)
    (run.folder / "weights.safetensors").write_bytes((other.folder / "weights.safetensors").read_bytes())
    with pytest.raises(RunError, match=r"system A2B2E instead of A2M2E.*width 0\.25"):
        load_run(run.folder)


def test_weights_that_were_exchanged_are_refused(run):
    path = run.folder / "weights.safetensors"
    weights = load_file(path)
    weights["emotion_head.bias"] += 1
    save_file(weights, path, metadata={"format": "1", "system": "A2M2E", "width": "0.125"})
    with pytest.raises(RunError, match="not the file that run.json describes"):
        load_run(run.folder)


def test_a_damaged_record_is_refused(run):
    (run.folder / "run.json").write_text('{"system": ')
    with pytest.raises(RunError, match=r"run\.json"):
        load_run(run.folder)


def test_weights_in_half_precision_come_back_in_single(run):
    path = run.folder / "weights.safetensors"
    half = {k: v.half() if v.is_floating_point() else v for k, v in load_file(path).items()}
    save_file(half, path, metadata={"format": "1", "system": "A2M2E", "width": "0.125"})
    info = json.loads((run.folder / "run.json").read_text())
    from mer_lib.runs import weights_digest

    info["weights_sha256"] = weights_digest(run.folder)
    (run.folder / "run.json").write_text(json.dumps(info))
    assert all(p.dtype == torch.float32 for p in load_run(run.folder).model.parameters())


def test_runs_are_found_in_the_order_of_systems_and_seeds(tmp_path, monkeypatch):
    monkeypatch.setenv("MER_DATA", str(tmp_path))
    for system, seed in (("aA2E", 21), ("A2E", 42), ("A2E", 6)):
        save_run(run_folder("s", system, seed), build(system, 0.125), {"study": "s", "seed": seed}, HISTORY)
    (run_folder("s", "A2E", 7)).mkdir()  # begun, not finished
    assert [f"{f.parent.name} {f.name}" for f in find_runs("s")] == ["A2E seed-6", "A2E seed-42", "aA2E seed-21"]
    assert not run_or_pretrained("s", "A2E", 6)[1]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_small_trained_network_of_every_system_comes_with_the_repository(system):
    run = load_pretrained(system)
    assert run.info["system"] == system and run.info["corpus"] == "etudes" and run.info["width"] == 0.25
    assert (run.folder / "weights.safetensors").stat().st_size < 1.2e6


def test_others_may_read_what_was_written(run):
    assert all(path.stat().st_mode & 0o044 == 0o044 & ~_umask() for path in run.folder.iterdir())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
