"""Results of a study are collected from runs of one corpus and one set of packages; what else differs is said."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from mer_lib import results, starting
from mer_lib.evaluation import RESULTS
from mer_lib.places import run_folder, runs_folder
from mer_lib.runs import RunError

VERSIONS = {"torch": "2.13.0+cpu", "numpy": "2.4.6", "pandas": "3.1.1", "captum": None}
MADE = {"commit": "a" * 40, "threads": 1, "machine": "x86_64", "versions": VERSIONS}


def write_run(system: str, seed: int, *, fingerprint: str = "f" * 64, attacked: dict | None = None, **made) -> None:
    """A run with one attack, as far as the collecting of results reads it."""
    folder = run_folder("mine", system, seed)
    (folder / "attacks" / "bim").mkdir(parents=True)
    weights = f"{system}{seed}"
    info = {"format": 1, "system": system, "width": 1.0, "seed": seed, "weights_sha256": weights}
    (folder / "run.json").write_text(json.dumps(info | {"provenance": MADE | made}), "utf-8")
    row = dict.fromkeys(RESULTS, 1) | {"study": "mine", "system": system, "seed": seed, "attack": "bim"}
    row |= {"domain": "waveform", "weights_sha256": weights, "fingerprint": fingerprint}
    pd.DataFrame([row]).to_csv(folder / "attacks.csv", index=False)
    table = {"clip": ["007"], "emotion": ["sad"], "rating": [0.1], "clean": [0.2], "attacked": [0.3]}
    pd.DataFrame(table).to_csv(folder / "attacks" / "bim" / "predictions.csv", index=False)
    text = json.dumps({"provenance": MADE | (attacked or {})})
    (folder / "attacks" / "bim" / "metrics.json").write_text(text, "utf-8")


@pytest.fixture(autouse=True)
def study(tmp_path, monkeypatch):
    """Two runs that were made alike."""
    monkeypatch.setenv("MER_DATA", str(tmp_path))
    write_run("A2E", 6)
    write_run("A2M2E", 6)


def newer(**versions: str) -> dict:
    return {"versions": VERSIONS | versions}


def test_runs_that_were_made_alike_are_collected_without_a_word():
    assert len(pd.read_csv(results.write_results("mine"))) == 2
    assert results.differing("mine") == ([], [])


def test_runs_on_different_corpora_are_refused_by_name():
    write_run("aA2E", 21, fingerprint="0123456789abcdef")
    for collect in (results.write_results, results.predictions_of, results.sounds_of):
        with pytest.raises(RunError) as caught:
            collect("mine")
        assert "2 different corpora" in str(caught.value)
        assert f"{'f' * 12} (A2E/seed-6, A2M2E/seed-6), 0123456789ab (aA2E/seed-21)" in str(caught.value)
    with pytest.raises(RunError, match="2 different corpora"):
        results.write_results("mine", versions_may_differ=True)
    assert not (runs_folder("mine") / "results.csv").exists()


def test_one_run_attacked_on_two_corpora_is_refused():
    path = run_folder("mine", "A2E", 6) / "attacks.csv"
    table = pd.concat([pd.read_csv(path)] * 2)
    table["fingerprint"] = ["f" * 64, "another"]
    table.to_csv(path, index=False)
    with pytest.raises(RunError, match="2 different corpora"):
        results.collect_results("mine")


def test_a_copy_under_another_seeds_name_does_not_count_twice():
    shutil.copytree(run_folder("mine", "A2E", 6), run_folder("mine", "A2E", 7))
    with pytest.raises(RunError, match="seed-7 is a copy: it holds A2E seed 6"):
        results.collect_results("mine")


def test_runs_of_other_releases_are_refused_by_name_unless_they_may_be_mixed():
    write_run("aA2E", 21, **newer(numpy="2.5.0", torch="2.14.0+cpu"))
    with pytest.raises(RunError) as caught:
        results.write_results("mine")
    said = str(caught.value)
    assert "numpy 2.4.6 (A2E/seed-6, A2E/seed-6/bim, A2M2E/seed-6, A2M2E/seed-6/bim, aA2E/seed-21/bim)" in said
    assert "2.5.0 (aA2E/seed-21)" in said and "2.14.0 (aA2E/seed-21)" in said and "versions_may_differ" in said
    assert not (runs_folder("mine") / "results.csv").exists()
    assert len(pd.read_csv(results.write_results("mine", versions_may_differ=True))) == 3


def test_an_attack_by_other_releases_is_refused_too():
    write_run("aA2E", 21, attacked=newer(numpy="2.5.0"))
    with pytest.raises(RunError, match=r"2\.5\.0 \(aA2E/seed-21/bim\)"):
        results.write_results("mine")


def test_another_build_and_packages_that_compute_nothing_are_no_other_release():
    write_run("aA2E", 21, **newer(torch="2.13.0+cu130", pandas="4.0.0"))
    assert results.differing("mine") == ([], [])


def test_what_says_nothing_of_its_making_is_no_reason_to_refuse():
    write_run("aA2E", 21, versions=None, commit=None)
    (run_folder("mine", "aA2E", 21) / "attacks" / "bim" / "metrics.json").write_text("[]", "utf-8")
    write_run("aA2E", 42)
    (run_folder("mine", "aA2E", 42) / "attacks" / "bim" / "metrics.json").unlink()
    assert len(pd.read_csv(results.write_results("mine"))) == 4


def test_kept_runs_of_an_earlier_commit_count_and_are_named():
    """A study goes on over weeks; what changed code concerns, the workflow runs again."""
    write_run("aA2E", 21, commit="b" * 40, threads=2, attacked={"commit": "b" * 40})
    table, _, said = starting.results_at_hand("mine", ["A2E", "aA2E"])
    assert set(table["system"]) == {"A2E", "aA2E"}
    assert f"{'b' * 40} (aA2E/seed-21, aA2E/seed-21/bim)" in said
    assert "numbers of threads: 1 (A2E/seed-6, " in said and "2 (aA2E/seed-21)" in said


def test_gradients_of_another_precision_are_said_of_runs_and_attacks():
    write_run("aA2E", 21)
    for system, seed, precision in (("A2E", 6, "float32"), ("aA2E", 21, "bfloat16")):
        folder = run_folder("mine", system, seed)
        for path, said in (
            (folder / "run.json", {"precision_used": precision}),
            (folder / "attacks" / "bim" / "metrics.json", {"row": {"precision": precision}}),
        ):
            path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | said), "utf-8")
    (kinds,) = results.differing("mine")[1]
    assert kinds == (
        "precisions of gradients: float32 (A2E/seed-6, A2E/seed-6/bim), bfloat16 (aA2E/seed-21, aA2E/seed-21/bim)"
    )


def test_of_many_runs_some_are_named_and_the_others_counted():
    for seed in range(21, 31):
        write_run("aA2E", seed, **newer(numpy="2.5.0"))
    with pytest.raises(RunError, match=r"2\.5\.0 \(aA2E/seed-21, .*, aA2E/seed-26 and 4 more\)"):
        results.write_results("mine")


def test_a_study_without_runs_says_what_to_do():
    with pytest.raises(RunError, match="06_attack"):
        results.collect_results("nothing")
