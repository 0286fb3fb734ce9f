"""What counts as more meaning: known differences are found, unknown ones stay open, and nobody judges himself."""

import numpy as np
import pandas as pd
import pytest

from mer_lib import meaning
from mer_lib.inversion_study import UNTRAINED, kind_of_judge
from mer_lib.statistics import random_effects_interval

SYSTEMS = {"A2E": 0.0, "aA2E": 1.0, UNTRAINED: 0.0}


def rows(effects, seeds=1, draws=3, clips=6, noise=0.1, seed=0):
    random = np.random.default_rng(seed)
    of_clip = random.normal(size=clips)
    return pd.DataFrame(
        [
            {
                "system": system,
                "seed": s,
                "draw": d,
                "clip": f"c{c}",
                "x": effect + of_clip[c] + noise * random.normal(),
            }
            for system, effect in effects.items()
            for s in range(seeds)
            for d in range(draws)
            for c in range(clips)
        ]
    )


def verdict(table, first, second):
    row = table[(table["first"] == first) & (table["second"] == second)]
    assert len(row) == 1
    return row.iloc[0]


def test_a_real_difference_is_found_and_its_direction_is_that_of_the_measure():
    table = rows(SYSTEMS)
    found = verdict(meaning.verdicts(meaning.score(table, "likeness", "x")), "aA2E", "A2E")
    assert found["verdict"] == meaning.MORE and found["low"] < 1 < found["high"]
    assert found["difference"] == pytest.approx(found["mean_first"] - found["mean_second"])
    turned = verdict(meaning.verdicts(meaning.score(table, "distance", "x", sign=-1)), "aA2E", "A2E")
    assert turned["verdict"] == meaning.LESS and turned["difference"] == pytest.approx(-found["difference"])


def test_clips_that_differ_much_hide_no_difference_because_they_are_paired():
    table = rows({"A2E": 0.0, "aA2E": 0.5}, noise=0.01)
    assert table.groupby("clip")["x"].mean().std() > 0.3
    assert verdict(meaning.verdicts(meaning.score(table, "m", "x")), "aA2E", "A2E")["verdict"] == meaning.MORE


def test_without_a_difference_about_one_in_twenty_is_claimed():
    effects = {"A2E": 0.0, "aA2E": 0.0}
    tables = [rows(effects, noise=1.0, clips=4, seed=seed).assign(measure=seed) for seed in range(40)]
    table = meaning.verdicts(meaning.score_each(pd.concat(tables), "measure", "", "x"))
    assert len(table) == 40 and (table["verdict"] != meaning.OPEN).sum() <= 6, "40 at 5 % are 2"


def test_the_interval_is_that_of_seeds_where_there_are_enough_and_of_draws_below():
    few = meaning.score(rows({"A2E": 0.0}, seeds=2), "m", "x")
    interval, holds = meaning.interval_of(few)
    by_draw = few.pivot_table(index="draw", columns="clip", values="value").to_numpy()
    assert holds == meaning.OVER_DRAWS
    np.testing.assert_allclose(interval, random_effects_interval(by_draw))
    _, holds = meaning.interval_of(meaning.score(rows({"A2E": 0.0}, seeds=5, draws=1), "m", "x"))
    assert holds == meaning.OVER_SEEDS
    _, holds = meaning.interval_of(meaning.score(rows({"A2E": 0.0}, draws=1), "m", "x"))
    assert holds == meaning.OVER_CLIPS


def test_one_set_a_draw_has_students_interval_and_a_single_number_has_none():
    values = pd.DataFrame({"seed": 0, "draw": range(3), "clip": "set", "value": [1.0, 2.0, 3.0]})
    interval, holds = meaning.interval_of(values)
    half = 4.302653 / np.sqrt(3)  # t of 2 degrees of freedom at 97.5 %
    assert holds == meaning.OVER_SETS
    np.testing.assert_allclose(interval, [2, 2 - half, 2 + half], rtol=1e-6)
    interval, holds = meaning.interval_of(values[:1])
    assert holds == meaning.NONE and interval.estimate == 1 and np.isnan(interval.low)


def test_judges_and_outputs_are_averaged_and_nobody_judges_himself_or_his_twin():
    assert [kind_of_judge("A2E", judge) for judge in ("A2E", "aA2E", "A2M2E", "aA2M2E")] == [
        "itself", "twin", "natural", "adversarial",
    ]  # fmt: skip
    assert kind_of_judge("aA2M2E", "A2M2E") == "twin" and kind_of_judge(UNTRAINED, UNTRAINED) == "itself"
    keys = {"system": "A2E", "seed": 1, "draw": 0, "sample": 0, "output": "sad", "medium": "sound"}
    rises = pd.DataFrame(
        [
            {**keys, "judge": "itself", "kind": "itself", "rise": 100.0},
            {**keys, "judge": "aA2E", "kind": "twin", "rise": 50.0},
            {**keys, "judge": "A2B2E", "kind": "natural", "rise": 1.0},
            {**keys, "judge": "A2M2E", "kind": "natural", "rise": 3.0},
            {**keys, "judge": "audio features", "kind": "no network", "rise": 5.0},
            {**keys, "output": "melodiousness", "judge": "audio features", "kind": "no network", "rise": 7.0},
            {**keys, "output": "melodiousness", "judge": "computed", "kind": "no network", "rise": 9.0},
        ]
    )
    trust = pd.DataFrame(
        [("sad", "audio features", 0.6), ("melodiousness", "audio features", 0.1), ("melodiousness", "computed", 0.6)],
        columns=["output", "judge", "correlation"],
    )
    scores = meaning.scores_of_rises(rises, trust).set_index("measure")["value"].to_dict()
    assert scores == {
        "emotions raised, sound, judge: natural": 2.0,
        "emotions raised, sound, judge: audio features": 5.0,
        "qualities raised, sound, judge: computed": 9.0,
    }, "a judge that knows nothing of melodiousness does not count for it"


def test_at_equal_distance_all_stand_where_the_least_successful_search_ended():
    keys = {"seed": 0, "layer": "block 1", "start": "noise", "draw": 0, "clip": "c"}
    ways = {"A2E": [1.0, 0.6, 0.5], "aA2E": [1.2, 0.5, 0.1], UNTRAINED: [0.9, 0.3, 0.2]}
    paths = pd.DataFrame(
        [
            {
                "system": system,
                **keys,
                "step": step,
                "of_two_clips": value,
                "outline": step / 10,
                "picture_distance": 1.0,
            }
            for system, way in ways.items()
            for step, value in enumerate(way)
        ]
    )
    table = meaning.at_equal_distance(paths).set_index("system")
    assert (table["equal"] == 0.5).all()
    assert table["step"].to_dict() == {"A2E": 2, "aA2E": 1, UNTRAINED: 1}


def test_the_answer_counts_what_the_table_says():
    table = rows(SYSTEMS)
    table["y"] = np.random.default_rng(1).normal(size=len(table))
    scores = pd.concat([meaning.score(table, "likeness", "x"), meaning.score(table, "chance", "y")])
    verdicts = meaning.verdicts(scores)
    said = meaning.reading(verdicts, ["adversarial training"])
    more = (verdicts[verdicts["question"] == "adversarial training"]["verdict"] == meaning.MORE).sum()
    assert f"Of 2 rows {more} say more" in said and "likeness (aA2E)" in said
    assert "bottleneck" not in said
    for values, words in (
        ([1, 0, 0], "In part"),
        ([1, 1, 0], "Yes."),
        ([1, -1, 0], "in others less"),
        ([0], "Not shown"),
    ):
        names = {1: meaning.MORE, -1: meaning.LESS, 0: meaning.OPEN}
        table = verdicts.iloc[[0] * len(values)].assign(verdict=[names[value] for value in values])
        assert words in meaning.reading(table)


def test_the_first_question_that_can_be_answered_is_asked():
    both = meaning.verdicts(meaning.score(rows(SYSTEMS), "m", "x"))
    assert meaning.main_question(both) == "adversarial training"
    alone = meaning.verdicts(meaning.score(rows({"A2B2E": 1.0, UNTRAINED: 0.0}), "m", "x"))
    assert meaning.main_question(alone) == "training at all"


def test_means_stand_beside_their_intervals():
    table = meaning.means(meaning.score_each(rows(SYSTEMS).assign(layer="block 1"), "layer", "", "x"))
    assert list(table["measure"].unique()) == ["block 1"] and set(table["system"]) == set(SYSTEMS)
    assert ((table["low"] < table["mean"]) & (table["mean"] < table["high"])).all()
