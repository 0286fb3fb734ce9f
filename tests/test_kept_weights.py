"""A network kept in half precision is small, says that it is another one by a rounding, and is a run like any other."""

from __future__ import annotations

import numpy as np
import pytest

from mer_lib.models import predict
from mer_lib.places import run_folder
from mer_lib.runs import load_run
from mer_lib.training import TrainingSettings, train
from tests.small import small_prepared
from workflow.kept_weights import keep_weights


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
