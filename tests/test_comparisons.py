"""Comparisons of systems: every pair, on what both have, and few seeds are called what they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mer_lib import comparisons, statistics

CLIPS = 36


def tidy(seeds: int, difference: float = 1.0) -> pd.DataFrame:
    random = np.random.default_rng(5)
    clip = random.normal(size=CLIPS)
    rows = [
        {"system": system, "seed": seed, "clip": f"{index:03d}", "value": mean + value + 0.1 * random.normal()}
        for system, mean in (("A2E", difference), ("A2M2E", 0.0), ("aA2E", 0.0))
        for seed in range(seeds)
        for index, value in enumerate(clip)
    ]
    return pd.DataFrame(rows)


def test_every_pair_is_compared():
    table = comparisons.compare_systems(tidy(10)).set_index(["first", "second"])
    assert list(table.index) == [("A2E", "A2M2E"), ("A2E", "aA2E"), ("A2M2E", "aA2E")]
    found = table.loc[("A2E", "A2M2E")]
    assert found["verdict"] == "differ" and found["low"] < found["difference"] < found["high"]
    assert found["difference"] == pytest.approx(1, abs=0.05) and found["share"] == 1.0 and found["hedges_g"] > 5
    assert found["p_holm"] == pytest.approx(3 * statistics.smallest_p(10))
    assert table.loc[("A2M2E", "aA2E"), "verdict"] == "no difference shown"


@pytest.mark.parametrize(("seeds", "verdict"), [(1, "untestable with 1 seed"), (4, "untestable with 4 seeds")])
def test_few_seeds_are_called_what_they_are(seeds, verdict):
    table = comparisons.compare_systems(tidy(seeds))
    assert set(table["verdict"]) == {verdict}
    assert set(table["interval"]) == {comparisons.CONDITIONAL}
    assert set(comparisons.system_means(tidy(seeds))["interval"]) == {comparisons.CONDITIONAL}


def test_significance_must_be_reachable_after_holms_correction():
    # Six seeds reach 1/32 alone; times three pairs that is .09
    assert set(comparisons.compare_systems(tidy(6))["verdict"]) == {"untestable with 6 seeds"}
    one = comparisons.compare_systems(tidy(6), pairs=[("A2E", "A2M2E")])
    assert list(one["verdict"]) == ["differ"] and "new seeds" in one["interval"][0]


def test_pairs_are_compared_on_the_seeds_and_clips_that_both_have():
    values = tidy(6)
    values = values[~((values["system"] == "A2M2E") & (values["seed"] > 2))]
    values = values[~((values["system"] == "A2E") & (values["clip"] == "000"))]
    (row,) = comparisons.compare_systems(values, pairs=[("A2E", "A2M2E")]).itertuples()
    assert (row.seeds, row.clips) == (3, CLIPS - 1)


def test_a_seed_with_other_clips_does_not_spoil_those_in_common():
    values = tidy(3)
    alone = (values["system"] == "A2E") & (values["seed"] == 2)
    values = pd.concat([values[~alone & ~((values["system"] == "A2M2E") & (values["seed"] == 2))],
                        values[alone].assign(clip=values["clip"] + "x")])  # fmt: skip
    (row,) = comparisons.compare_systems(values, pairs=[("A2E", "A2M2E")]).itertuples()
    assert (row.seeds, row.clips) == (2, CLIPS)


def test_what_differs_is_not_called_untestable():
    # Alone six seeds do not reach .05 times two pairs; after a clearer pair Holm's factor is one
    values = tidy(10)
    values = values[~((values["system"] == "aA2E") & (values["seed"] >= 6))]
    pairs = [("A2E", "A2M2E"), ("A2E", "aA2E")]
    table = comparisons.compare_systems(values, pairs=pairs)
    assert list(table["seeds"]) == [10, 6] and table["p_holm"][1] == pytest.approx(statistics.smallest_p(6))
    assert list(table["verdict"]) == ["differ", "differ"]


@pytest.mark.parametrize("seeds", [2, 6])
def test_clips_with_groups_are_compared_over_groups(seeds):
    values = tidy(seeds)
    grouped = values.assign(group=values["clip"].astype(int) // 6)
    table = comparisons.compare_systems(grouped)
    assert table["interval"].str.endswith("over 6 groups of clips").all()
    plain = comparisons.compare_systems(values)
    np.testing.assert_allclose(table["difference"], plain["difference"])
    mean = comparisons.system_means(grouped)
    assert mean["interval"].str.endswith("over 6 groups of clips").all()
    unknown = grouped.assign(group=grouped["group"].where(grouped["group"] > 0))
    pd.testing.assert_frame_equal(comparisons.compare_systems(unknown), plain)


def test_the_rise_of_a_clip_keeps_its_group():
    known = {"system": "A2E", "seed": 1, "attack": "a", "clip": ["1", "2"], "emotion": "sad", "group": [4, 5]}
    rows = pd.DataFrame({**known, "rating": 0.5, "clean": [0.4, 0.6], "attacked": 0.2})
    assert list(comparisons.clip_rises(rows)["group"]) == [4, 5]


def test_several_attacks_at_once_are_refused():
    with pytest.raises(ValueError, match="choose one attack"):
        comparisons.compare_systems(pd.concat([tidy(2), tidy(2)]))


def test_one_value_a_run_leaves_seeds_alone_to_vary():
    runs = tidy(8).groupby(["system", "seed"], as_index=False)["value"].mean()
    values = comparisons.of_runs(runs, runs["value"])
    table = comparisons.compare_systems(values, pairs=[("A2E", "A2M2E")])
    assert table["interval"][0] == comparisons.THESE_CLIPS and table["verdict"][0] == "differ"
    assert "not meaningful" in comparisons.compare_systems(values[values["seed"] < 3])["interval"][0]


def test_the_rise_of_a_clip_by_hand():
    predictions = pd.DataFrame(
        {
            "system": "A2E", "seed": 1, "attack": "bim", "clip": ["1", "1", "2", "2"],
            "emotion": ["sad", "happy"] * 2, "rating": [0.5, 0.5, 0.2, np.nan], "clean": [0.4, 0.5, 0.2, 0.9],
            "attacked": [0.9, 0.7, 0.1, 0.0],
        }
    )  # fmt: skip
    rises = comparisons.clip_rises(predictions).set_index("clip")
    assert rises["rise"].to_dict() == pytest.approx({"1": (0.3 + 0.2) / 2, "2": 0.1})
    assert rises.loc["2", "rise_over_spread"] == pytest.approx(0.1 / ((0.1 + 0.2) / 2))
    two = pd.concat([predictions, predictions.assign(system="A2M2E", attacked=0.5)])
    table = comparisons.shown(comparisons.compare_attacks(two))
    assert list(table["attack"]) == ["bim"] and table["p (permutation, Holm)"][0] == "–"
    plain, over = (comparisons.compare_attacks(two, name)["difference"][0] for name in ("rise", "rise_over_spread"))
    assert plain != 0 and over == pytest.approx(plain / 0.15), "both systems' clean answers have this spread"


def test_one_system_alone_has_nothing_to_be_compared_with():
    cells = pd.MultiIndex.from_product([["A2E"], [21], range(4), ["valence", "sad"], ["bim"]])
    one = cells.to_frame(index=False, name=["system", "seed", "clip", "emotion", "attack"])
    one = one.assign(rating=0.5, clean=0.4 + 0.01 * one["clip"], attacked=0.3, study="s")
    table = comparisons.compare_attacks(one)
    assert table.empty and list(table.columns) == [*comparisons.COMPARISON, "attack"]
    assert comparisons.shown(table).empty


def test_systems_without_a_seed_in_common_hide_no_other_pair():
    values = tidy(4)
    values.loc[values["system"] == "aA2E", "seed"] += 100
    table = comparisons.compare_systems(values)
    assert [(row.first, row.second) for row in table.itertuples()] == [("A2E", "A2M2E")]
    with pytest.raises(ValueError, match="A2E and aA2E have no seed and clip in common"):
        comparisons.compare_systems(values, pairs=[("A2E", "aA2E")])


def test_the_spread_of_a_rise_is_that_of_rated_emotions():
    known = {"system": "A2E", "seed": 1, "attack": "a", "clip": ["1", "2"]}
    rated = pd.DataFrame({**known, "emotion": "sad", "rating": 0.5, "clean": [0.4, 0.6], "attacked": 0.2})
    both = pd.concat([rated, rated.assign(emotion="happy", rating=np.nan, clean=[-9.0, 9.0])])
    pd.testing.assert_frame_equal(comparisons.clip_rises(both), comparisons.clip_rises(rated))
