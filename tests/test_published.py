"""The authors' run folders: numbers come out as they were logged, what is wrong is named. All folders are made up."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mer_lib import published
from mer_lib.dataset import EMOTIONS
from mer_lib.models import SYSTEMS

HEADER = "file,epoch,db,norm,converged,true-label,orig-pred,new-pred,adv-target\n"


def printed(values: np.ndarray) -> str:
    """An array in a log: as numpy prints it, broken into lines."""
    return np.array2string(np.asarray(values)[None], max_line_width=75)


def write_run(folder: Path, name: str, clips: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    """A run folder with made-up numbers in the authors' layout; returns what is in it."""
    random = np.random.default_rng(seed)
    values = {key: random.normal(size=(clips, 8)).astype(np.float32) for key in ("rating", "clean", "attacked")}
    values["attacked"][0] *= 1e-4  # numpy then prints with exponents
    values["l2"] = random.uniform(0, 200, clips)
    path = folder / f"{name}_2024-03-21_17-35-21_0.001_corr_0.002_test"
    path.mkdir(parents=True)
    (path / "hparams.yaml").write_text("alpha: null\narchitecture: a2e\nclip_eps: 0.001\nlr: 0.002\nmax_iters: 1000\n")
    lines = [
        f"['{i + 1:03d}.mp3.spec'],1000,{40 + i},{values['l2'][i]},False,{printed(values['rating'][i])},"
        f'"{printed(values["clean"][i])}","{printed(values["attacked"][i])}",0.9\n'.replace(
            printed(values["rating"][i]), f'"{printed(values["rating"][i])}"', 1
        )
        for i in range(clips)
    ]
    (path / "log.csv").write_text(HEADER + "".join(lines))
    return values


def test_numbers_come_out_as_they_were_logged(tmp_path):
    values = write_run(tmp_path / "runs" / "adversaries", "21_b0d56")
    clips = published.read_clips(tmp_path / "runs")
    assert set(clips["system"]) == {"A2E"} and set(clips["seed"]) == {21} and set(clips["epsilon"]) == {0.001}
    assert list(clips["emotion"][:8]) == list(EMOTIONS) and clips["clip"].iloc[-1] == "005"
    for name in ("rating", "clean", "attacked"):
        np.testing.assert_allclose(clips[name].to_numpy().reshape(-1, 8), values[name], rtol=1e-4, atol=1e-7)
    assert not clips["stopped"].any() and set(clips["steps"]) == {1000}


def test_a_run_becomes_the_row_of_the_table(tmp_path):
    values = write_run(tmp_path, "21_b0d56")
    write_run(tmp_path, "6_ce53b", seed=1)
    write_run(tmp_path, "6_7470d", seed=2)
    runs = published.read_runs(tmp_path)
    assert list(runs.columns) == list(published.published_runs().columns) == list(published.RUNS)
    assert list(zip(runs["system"], runs["seed"], strict=True)) == [("A2E", 6), ("A2E", 21), ("A2M2E", 6)]
    row = runs.iloc[1]
    by_hand = [np.corrcoef(values["rating"][:, i], values["clean"][:, i])[0, 1] for i in range(8)]
    assert row["corr_clean"] == pytest.approx(np.mean(by_hand), abs=1e-4)
    assert row["mae_attacked"] == pytest.approx(np.abs(values["attacked"] - values["rating"]).mean(), abs=1e-4)
    assert row["l2_norm_max"] == pytest.approx(values["l2"].max(), abs=1e-4) and row["clips"] == 5


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("[[0.2 1. 3 -.5 1e-3 -2.5E+01 0 7]]", [0.2, 1, 3, -0.5, 1e-3, -25, 0, 7]),
        ("[[ 1 2 3 4\n   5 6 7 8 ]]", [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_arrays_as_numpy_prints_them(text, numbers):
    np.testing.assert_array_equal(published.vector(text), numbers)


@pytest.mark.parametrize(
    "text",
    [
        "[[1 2 3]]",
        "[1 2 3 4 5 6 7 8]",
        "[[1 2 3 4 5 6 7 nan]]",
        "[[1 2 3 4 5 6 7 open(0)]]",
        "",
        "[[1 2 3 4 5 6 7 8 9]]",
    ],
)
def test_what_is_no_such_array_is_refused_and_never_evaluated(text):
    with pytest.raises(ValueError, match="finite numbers"):
        published.vector(text)


def test_every_problem_is_named_at_once(tmp_path):
    for name in ("21_b0d56", "6_7470d", "42_12d4e", "7_abcde"):
        write_run(tmp_path, name)
    broken, lacking, unset, _ = (next(tmp_path.glob(f"{n}*")) for n in ("21", "6_", "42", "7_"))
    text = (broken / "log.csv").read_text()
    (broken / "log.csv").write_text(text.replace("1000,41,", "many,41,").replace("'003.", "'004."))
    (lacking / "log.csv").write_text("file,epoch\n")
    (unset / "hparams.yaml").unlink()
    with pytest.raises(published.PublishedError) as error:
        published.read_runs(tmp_path)
    message = str(error.value)
    for words in ("clip 2: epoch is 'many'", "twice: 004", "lacks db", "hparams.yaml", "7_abcde", "unknown run"):
        assert words in message


def test_an_unknown_run_can_be_named(tmp_path):
    write_run(tmp_path, "7_abcde")
    assert list(published.read_runs(tmp_path, systems={"7_abcde": "aA2M2E"})["system"]) == ["aA2M2E"]


def test_a_folder_without_runs_says_what_to_give(tmp_path):
    with pytest.raises(published.PublishedError, match="no run folder"):
        published.read_runs(tmp_path)
    with pytest.raises(published.PublishedError, match="no such folder"):
        published.read_runs(tmp_path / "nowhere")


def test_the_fifty_runs_are_complete_and_each_one_is_known():
    runs = published.published_runs()
    assert len(runs) == 50 and set(runs["clips"]) == {36}
    assert runs.groupby("system").size().to_dict() == dict.fromkeys(list(SYSTEMS)[:5], 10)
    assert sorted(published._systems().values()) == sorted(runs["system"])


def test_four_of_ten_cells_of_table_1_differ_from_the_logs():
    cells = published.table_1_cells(published.published_runs())
    differing = cells[cells["differs"]]
    assert list(zip(differing["system"], differing["measure"], strict=True)) == [
        ("A2M2E", "correlation"), ("aA2E", "correlation"), ("aA2B2E", "correlation"), ("aA2B2E", "MAE"),
    ]  # fmt: skip
    assert ((differing["from the logs"].round(2) - differing["printed"]).abs().round(2) == 0.01).all()


def test_every_published_run_leaves_its_budget():
    assert (published.published_runs()["l2_norm_max"] > published.allowed_l2(0.001)).all()
    assert published.allowed_l2(0.001) == pytest.approx(0.216, abs=5e-4)


@pytest.mark.skipif("MER_PUBLISHED" not in os.environ, reason="MER_PUBLISHED names no copy of the authors' run folders")
def test_the_authors_folders_give_the_published_figures():
    runs = published.read_runs(os.environ["MER_PUBLISHED"])
    known = published.published_runs().merge(runs[["system", "seed"]])
    pd.testing.assert_frame_equal(runs, known, check_dtype=False, atol=1e-4)
