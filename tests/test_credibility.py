"""The checks tell an attack that carries a claim from one that does not."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import torch

from mer_lib import credibility
from mer_lib.evidence import Masked, Settings, gather, masked_evidence, slopes
from mer_lib.metrics import mean_absolute_error


class Regressor(torch.nn.Module):
    """A foreign network that predicts its made-up ratings well: (clips, 20, 30) -> (clips, 8)."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = torch.nn.Sequential(
                torch.nn.Flatten(), torch.nn.Linear(600, 30), torch.nn.Tanh(), torch.nn.Linear(30, 8)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 + self.layers(x)


SETTINGS = Settings(epsilon=0.1, steps=20, epsilons=(0.0, 0.01, 0.1, 1.0, 3.0), queries=60)


@pytest.fixture(scope="module")
def study():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(12, 20, 30, generator=generator) * 2 - 1
    model = Regressor()
    ratings = model(inputs).detach() + 0.2 * torch.randn(12, 8, generator=generator)
    return model, inputs, ratings, ratings.mean(dim=0)


@pytest.fixture(scope="module")
def evidence(study):
    return gather(*study, SETTINGS, {"another": Regressor().requires_grad_(False)})


def test_an_honest_network_and_a_good_attack_pass(study, evidence):
    table = credibility.checks(evidence, SETTINGS, masked_evidence(*study, SETTINGS)).set_index("check")
    failed = table.index[table["verdict"] == "failed"]
    assert list(failed) == [], table.loc[failed].to_string()
    assert "another" in " ".join(table.index)
    assert table.loc["the checks expose a masked network", "evidence"].startswith("exposed by: gradients")


def test_a_masked_network_is_as_fragile_as_before_and_is_exposed(study):
    model, inputs, ratings, reference = study
    masked = masked_evidence(model, inputs, ratings, reference, SETTINGS)
    assert masked.rise("BIM") == 0 and masked.slopes["clips without slope"] == 1
    assert masked.rise("Square") > 0.01 and masked.rise("from itself, unmasked") > 0.01
    failed = [check for check, _, _, passed in credibility.masking_checks(masked) if not passed]
    assert len(failed) == 3
    assert slopes(Masked(model, 0.1), inputs, ratings, "spectrogram")["zero cells"] == 1


def test_an_attack_with_too_few_and_too_small_steps_fails(study):
    weak = replace(SETTINGS, epsilon=2.0, steps=1)
    table = credibility.checks(gather(*study, weak), weak).set_index("check")["verdict"]
    assert "failed" in set(table[["steps doubled", "step size", "no relative is stronger"]])


def test_every_check_of_strength_can_fail(evidence):
    def failed(changed):
        table = credibility.checks(changed, SETTINGS).set_index("check")["verdict"]
        return set(table.index[table == "failed"])

    weak = replace(evidence, results=evidence.results | {"BIM": evidence.results["uniform noise"]})
    assert failed(weak) >= {
        "iterative beats single step", "steps doubled", "restarts doubled", "step size", "no relative is stronger",
        "noise of that size is harmless", "white box beats gradient-free",
    }  # fmt: skip
    curve = evidence.curve
    assert "more budget, more harm" in failed(replace(evidence, curve=curve.assign(mae=curve["mae"].to_numpy()[::-1])))
    assert "without limit it succeeds" in failed(replace(evidence, curve=curve.assign(corr=0.5)))


def test_a_network_that_has_learnt_nothing_has_nothing_to_lose(study):
    model, inputs, ratings, reference = study
    generator = torch.Generator().manual_seed(5)
    others = ratings[torch.randperm(12, generator=generator)]
    table = credibility.checks(gather(model, inputs, others, reference, SETTINGS), SETTINGS).set_index("check")
    assert table.loc["there is something to lose", "verdict"] == "failed"


def test_the_worst_is_at_least_as_bad_as_any_attack(study, evidence):
    (row,) = credibility.worst_table({"A2E": evidence}).to_dict("records")
    ratings = study[2]
    for name, result in evidence.results.items():
        worst_loss = (row["rise, worst"] + row["MAE clean"]) * 1.02  # chosen by squared error, told as absolute
        assert worst_loss >= mean_absolute_error(ratings, result.attacked), name
    assert row["rise, worst"] >= 0.97 * row["rise, BIM"] and row["rise, worst / spread"] > 0
    assert row["corr, aimed at it"] <= row["corr, worst"] + 0.02


def test_the_mean_predictor_is_chance(evidence):
    by_hand = (evidence.ratings - evidence.reference).abs().mean().item()
    assert evidence.chance() == pytest.approx(by_hand)


def test_systems_are_compared_where_they_predict_equally_well():
    results = pd.DataFrame(
        {
            "system": ["A2E", "A2E", "A2M2E", "A2M2E"],
            "attack": "bim",
            "corr_clean": [0.70, 0.60, 0.61, 0.40],
            "corr_attacked": 0.0,
            "mae_clean": 0.1,
            "mae_attacked": [0.5, 0.3, 0.2, 0.1],
            "spread_clean": 0.1,
        }
    )
    (row,) = credibility.at_equal_correlation(results).itertuples(index=False)
    assert row.compared == "1 of 4 pairs of runs" and row[4] == pytest.approx(0.1) and row[5] == pytest.approx(1.0)
    (row,) = credibility.at_equal_correlation(results, tolerance=0.001).itertuples(index=False)
    assert row.compared == "not possible"
