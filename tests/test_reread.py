"""The published runs, read again: what the notebook says is what the fifty rows hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from mer_lib import published, reread
from mer_lib.bim import BIM
from mer_lib.dataset import EMOTIONS
from mer_lib.models import build
from tests.small import drawn


@pytest.fixture(scope="module")
def runs():
    return published.published_runs()


def test_figure_3_is_what_the_rows_give(runs):
    table = reread.two_measures(runs)
    np.testing.assert_allclose(table["rise of MAE"], table["rise, Figure 3"], atol=0.006)


def test_error_and_correlation_disagree_about_who_is_robust(runs):
    table = reread.two_measures(runs)
    assert table["corr attacked"].idxmin() == "A2M2E" and table.loc["A2M2E", "rank by correlation"] == 5
    assert table.loc[["A2E", "A2B2E", "A2M2E"], "rise of MAE"].idxmin() == "A2M2E"
    assert table.loc["A2M2E", "corr attacked"] == pytest.approx(-0.49, abs=0.005)


def test_the_budget_table_counts_every_run(runs):
    table = reread.budget_table(runs)
    assert (table["runs"] == 10).all() and (table["runs beyond it"] == 10).all()
    assert table["largest"].max() == pytest.approx(230, abs=1) and (table["mean / allowed"] > 100).all()
    assert table.loc["A2M2E", "mean"] == pytest.approx(31.64, abs=0.01)
    assert table.loc["aA2E", "mean"] == pytest.approx(65.47, abs=0.01)
    by_hand = (runs["mae_attacked"] - runs["mae_clean"]).groupby(runs["system"]).mean()
    assert table["rise / mean norm"].to_dict() == pytest.approx((by_hand / table["mean"]).to_dict())


def test_the_comparisons_and_their_reading(runs):
    tables = reread.comparisons_of(runs)
    assert all(len(table) == 10 and set(table["seeds"]) == {10} for table in tables.values())
    text = reread.reading(runs, tables)
    for words in (
        "6 of its 10 means",
        "50 of 50 runs",
        "up to 230",
        "32 for A2M2E, of 65 for aA2E (smaller with 10 of 10 seeds)",
        "rank 5 of 5",
        "Open",
    ):
        assert words in text


def logs() -> pd.DataFrame:
    """Made-up clips in the form of read_clips."""
    random = np.random.default_rng(0)
    rows = [
        {"system": system, "seed": 21, "clip": f"{clip:03d}", "emotion": emotion, "rating": random.random(),
         "clean": random.random() * size, "attacked": 2 * size, "l2": float(clip), "snr_db": 40.0}
        for system, size in (("A2B2E", 1.0), ("A2M2E", 0.5))
        for clip in range(4)
        for emotion in EMOTIONS
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_from_logs_come_spreads_errors_and_figure_4():
    clips = logs()
    table = reread.spreads(clips)
    assert table.loc["A2M2E", "spread of clean answers"] < table.loc["A2B2E", "spread of clean answers"]
    under = reread.under_attack(clips)
    assert len(under) == 8 and under["value"].between(0, 2).all()
    assert set(reread.figure_4(clips)["emotion"]) == {"tension", "tender"}


def test_answers_that_changed_under_no_perturbation_are_found():
    found = reread.last_and_earlier(logs())
    assert set(found["clip"]) == {"000"} and len(found) == 2


def test_the_published_step_is_followed_step_by_step():
    """Each step's error is that of an attack which ends there."""
    model = build("A2M2E", width=0.0625)
    inputs, ratings = drawn(1, 3, 61, 149), torch.rand(3, 8, generator=torch.Generator().manual_seed(2))
    ratings[0, 1] = torch.nan
    path = reread.course(model, inputs, ratings, steps=4)
    assert list(path["step"]) == [0, 1, 2, 3, 4] and path["rise"][0] == 0
    for steps in (0, 2, 4):
        ended = BIM(**reread.STATED, steps=steps, published_update=True).attack(model, inputs, ratings)
        said = ended.attacked if steps else ended.clean
        assert path["MAE"][steps] == pytest.approx((said - ratings).abs().nanmean().item(), rel=1e-4)


def test_the_published_step_beside_one_that_keeps_its_budget():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build("A2E", 0.0625).eval()
    generator = torch.Generator().manual_seed(0)
    inputs, ratings = torch.randn(2, 313, 149, generator=generator), torch.rand(2, 8, generator=generator)
    table = reread.step_beside(model, inputs, ratings, steps=4)
    assert table.loc["stated budget, kept", "largest l2"] <= published.allowed_l2(0.001)
    assert table.loc["the published step", "largest l2"] > 3 * published.allowed_l2(0.001)


def test_studies_without_attacks_are_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("MER_DATA", str(tmp_path))
    assert reread.own_results(["nothing", "here"]).empty


def test_albums_are_shared_in_the_published_split_and_not_in_the_grouped_one(tmp_path):
    table = reread.overlap(["etudes", str(tmp_path)])
    assert table.loc[("etudes", "published"), "group unseen"] < table.loc[("etudes", "grouped"), "group unseen"]
    assert table.loc[("etudes", "grouped"), "group also in training"] == 0
