"""A notebook opened anywhere finds a corpus and a network, says what they are, and never writes where it must not."""

import json
import shutil

import numpy as np
import pytest

from mer_lib import starting
from mer_lib.places import prepared_folder, run_folder
from mer_lib.runs import RunError
from mer_lib.training import TrainingSettings, train
from tests.small import small_prepared

QUICK = TrainingSettings(epochs=1)


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    monkeypatch.setenv("MER_DATA", str(tmp_path))
    return small_prepared(prepared_folder("noise"))


@pytest.fixture
def no_pretrained(monkeypatch):
    def refuse(system):
        raise RunError("none")

    monkeypatch.setattr(starting, "load_pretrained", refuse)


@pytest.fixture
def pretrained(prepared, tmp_path, monkeypatch):
    """Pretrained networks as the repository has them, tiny."""
    home = tmp_path / "repository" / "data" / "pretrained"

    def load(system):
        folder = home / system
        return train(system, prepared, folder, seed=6, width=0.0625, settings=QUICK, study="companions", progress=False)

    monkeypatch.setattr(starting, "load_pretrained", load)
    monkeypatch.setattr("mer_lib.runs.load_pretrained", load)
    return home


def test_a_prepared_corpus_is_opened_and_the_etudes_are_prepared_on_the_way(prepared, monkeypatch):
    assert starting.prepared_corpus("noise").folder == prepared.folder
    with pytest.raises(FileNotFoundError, match="01_prepare_data"):
        starting.prepared_corpus("soundtracks-computed")
    asked = {}
    monkeypatch.setattr(starting, "load_corpus", lambda name, data_dir: name)
    monkeypatch.setattr(starting, "prepare", lambda corpus, folder, **settings: asked.update(settings, corpus=corpus))
    starting.prepared_corpus("etudes-60clips")
    assert asked["corpus"] == "etudes" and asked["clips"] == 60
    starting.prepared_corpus("etudes")
    assert asked["clips"] is None


def test_the_first_network_is_pretrained_else_the_newest_else_trained_now(prepared, no_pretrained, monkeypatch):
    run, said = starting.network_to_start_with("A2E", prepared)
    assert "trained just now" in said and run.info["clips"]["test"] == 2
    train(
        "A2E",
        prepared,
        run_folder("mine", "A2E", 3),
        seed=3,
        width=0.0625,
        settings=QUICK,
        study="mine",
        progress=False,
    )
    run, said = starting.network_to_start_with("A2E", prepared)
    assert "newest run" in said and run.info["study"] == "mine"
    monkeypatch.setattr(starting, "load_pretrained", lambda system: run)
    assert "The pretrained A2E" in starting.network_to_start_with("A2E", prepared)[1]


def test_a_run_of_another_corpus_is_passed_over(prepared, no_pretrained, tmp_path):
    folder = run_folder("mine", "A2E", 3)
    train("A2E", prepared, folder, seed=3, width=0.0625, settings=QUICK, study="mine", progress=False)
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**info, "fingerprint": "other", "corpus": "gone"}))
    assert starting.newest_run("A2E", prepared) is None


def test_clips_to_attack_were_not_heard_in_training(prepared, tmp_path):
    run = train("A2E", prepared, tmp_path / "run", seed=3, width=0.0625, settings=QUICK, progress=False)
    rows = starting.unheard_clips(run, prepared)
    assert not set(rows) & set(prepared.split()["train"]) and not set(rows) & set(prepared.split()["valid"])


def test_a_study_uses_its_own_run_and_the_pretrained_one_only_where_there_is_none(prepared, pretrained):
    run, corpus, said = starting.run_at_hand("mine", "A2E", 3, "unknown")
    assert "pretrained" in said and corpus.folder == prepared.folder
    assert run.folder == run_folder("pretrained", "A2E", 6), "attacks never write into the repository"
    train(
        "A2E",
        prepared,
        run_folder("mine", "A2E", 3),
        seed=3,
        width=0.0625,
        settings=QUICK,
        study="mine",
        progress=False,
    )
    run, _, said = starting.run_at_hand("mine", "A2E", 3, "noise")
    assert run.info["study"] == "mine" and "pretrained" not in said


def test_results_of_a_study_without_attacks_are_those_of_the_pretrained(prepared, pretrained):
    results, predictions, said = starting.results_at_hand("mine", ["A2E", "A2M2E"])
    assert "pretrained" in said and set(results["system"]) == set(predictions["system"]) == {"A2E", "A2M2E"}
    assert set(results["domain"]) == {"spectrogram", "waveform"} and len(results) == 4
    assert not list(pretrained.glob("*/attacks*")), "nothing is written beside the pretrained networks"
    again, _, _ = starting.results_at_hand("mine", ["A2E", "A2M2E"])
    np.testing.assert_array_equal(again["mae_attacked"], results["mae_attacked"])


def test_a_study_without_the_systems_asked_for_is_an_error_that_names_them(prepared, pretrained, monkeypatch):
    starting.attack_pretrained()
    for system in ("A2E", "A2M2E"):
        shutil.rmtree(run_folder("pretrained", system, 6))
    with pytest.raises(RunError, match="A2E, A2M2E"):
        starting.results_at_hand("pretrained", ["A2E", "A2M2E"])
    _, _, said = starting.results_at_hand("pretrained", ["A2E", "A2B2E"])
    assert "Not attacked yet (notebook 06): A2E" in said


def test_a_run_comes_with_the_corpus_that_it_was_trained_on(prepared):
    """On another one its training clips might be test clips."""
    other = small_prepared(prepared_folder("other"), seed=1)
    for name, corpus in (("A2E", prepared), ("A2M2E", other)):
        train(name, corpus, run_folder("s", name, 1), seed=1, width=0.0625, settings=QUICK, study="s", progress=False)
    run, data, said = starting.run_at_hand("s", "A2E", 1, "other")
    assert data.folder == prepared.folder and "Corpus: noise, which it was trained on" in said
    assert "Corpus" not in starting.run_at_hand("s", "A2E", 1, "noise")[2]
    _, data, said = starting.networks_at_hand("s", ["A2E"], 1, "other")
    assert data.folder == prepared.folder and "Corpus: noise, which they were trained on" in said
    with pytest.raises(RunError, match="trained on other"):
        starting.networks_at_hand("s", ["A2E", "A2M2E"], 1, "noise")
    shutil.rmtree(prepared.folder)
    small_prepared(prepared.folder, seed=2)
    with pytest.raises(RunError, match="fingerprint"):
        starting.run_at_hand("s", "A2E", 1, "noise")
