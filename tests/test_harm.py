"""What an attack did, in several measures: against the study's metrics, and under changes that must not matter."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mer_lib import harm, metrics
from mer_lib.dataset import EMOTIONS
from mer_lib.statistics import clip_draws, percentile_interval

CLIPS = 20


def answers(seed: int, missing: bool = False) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    rating = random.uniform(0, 1, (CLIPS, len(EMOTIONS)))
    clean = 0.5 * rating + 0.2 + 0.05 * random.normal(size=rating.shape)
    attacked = clean + 0.2 * random.normal(size=rating.shape)
    if missing:
        rating[random.random(rating.shape) < 0.2] = np.nan
    return {"rating": rating, "clean": clean, "attacked": attacked}


def one(**cells: np.ndarray) -> pd.Series:
    return harm.harm(**cells).iloc[0]


def tidy(system: str, seed: int, cells: dict[str, np.ndarray], attack: str = "bim") -> pd.DataFrame:
    rows = pd.MultiIndex.from_product([[f"c{n:02}" for n in range(CLIPS)], EMOTIONS], names=["clip", "emotion"])
    table = pd.DataFrame({name: values.ravel() for name, values in cells.items()}, index=rows).reset_index()
    return table.assign(system=system, seed=seed, attack=attack)


@pytest.mark.parametrize("missing", [False, True])
def test_the_measures_are_those_of_the_study(missing):
    cells = answers(1, missing)
    found = one(**cells)
    before, after = (metrics.mean_absolute_error(cells["rating"], cells[name]) for name in ("clean", "attacked"))
    assert found[harm.ERROR] == pytest.approx(after) and found[harm.RISE] == pytest.approx(after - before)
    assert found[harm.OVER_SPREAD] == pytest.approx((after - before) / metrics.spread(cells["clean"]))
    told = [metrics.mean_correlation(cells["rating"], cells[name]) for name in ("clean", "attacked")]
    assert found[harm.CORRELATION] == pytest.approx(told[1]) and found[harm.FALL] == pytest.approx(told[0] - told[1])


@settings(deadline=None, max_examples=40)
@given(
    scale=st.floats(0.05, 20) | st.floats(-20, -0.05),
    level=st.floats(-5, 5),
    seed=st.integers(0, 5),
    missing=st.booleans(),
)
def test_no_scale_or_level_of_the_answers_changes_the_rescaled_rise(scale, level, seed, missing):
    cells = answers(seed, missing)
    other = cells | {name: scale * cells[name] + level for name in ("clean", "attacked")}
    assert one(**other)[harm.RESCALED] == pytest.approx(one(**cells)[harm.RESCALED], rel=1e-6)
    if not missing:  # numpy's line as the oracle
        after = before = 0.0
        for emotion in range(len(EMOTIONS)):
            rating, clean, attacked = (cells[name][:, emotion] for name in ("rating", "clean", "attacked"))
            slope, start = np.polyfit(clean, rating, 1)
            before += np.abs(slope * clean + start - rating).mean() / len(EMOTIONS)
            after += np.abs(slope * attacked + start - rating).mean() / len(EMOTIONS)
        assert one(**cells)[harm.RESCALED] == pytest.approx(after - before)


def test_timid_answers_have_a_small_rise_and_the_same_rescaled_one():
    cells = answers(2)
    timid = cells | {name: 0.3 * cells[name] + 0.35 for name in ("clean", "attacked")}
    assert one(**timid)[harm.RISE] < 0.6 * one(**cells)[harm.RISE]
    assert one(**timid)[harm.RESCALED] == pytest.approx(one(**cells)[harm.RESCALED])


def test_an_attack_that_leaves_a_constant_took_all_that_the_network_knew():
    cells = answers(3)
    constant = np.broadcast_to(cells["rating"].mean(axis=0), cells["rating"].shape)
    assert one(**cells | {"attacked": constant})[harm.LOST] == pytest.approx(1)
    assert one(**cells | {"attacked": cells["clean"]})[harm.LOST] == pytest.approx(0)
    halfway = (np.abs(cells["clean"] - cells["rating"]) + np.abs(constant - cells["rating"])) / 2
    assert one(**cells | {"attacked": cells["rating"] + halfway})[harm.LOST] == pytest.approx(0.5)
    assert np.isnan(one(**cells | {"clean": constant + 1})[harm.LOST]), "it never was worth more than the constant"


@pytest.mark.parametrize("missing", [False, True])
def test_counting_a_clip_twice_is_having_it_twice(missing):
    cells = answers(4, missing)
    drawn = np.random.default_rng(0).integers(CLIPS, size=CLIPS)
    counted = harm.harm(**cells, times=np.bincount(drawn, minlength=CLIPS)[None]).iloc[0]
    repeated = one(**{name: values[drawn] for name, values in cells.items()})
    np.testing.assert_allclose(counted, repeated, rtol=1e-9)


def test_the_table_has_a_row_a_network_and_attack_and_the_order_of_clips_does_not_matter():
    cells = answers(5)
    worse = cells | {"attacked": cells["clean"] + 2 * (cells["attacked"] - cells["clean"])}
    both = pd.concat([tidy("A2E", 1, cells), tidy("A2E", 1, worse, "apgd"), tidy("A2M2E", 2, worse)])
    table = harm.harm_table(both.sample(frac=1, random_state=0)).set_index(["attack", "system", "seed"])
    assert len(table) == 3
    np.testing.assert_allclose(table.loc["bim", "A2E", 1], one(**cells), rtol=1e-9)
    np.testing.assert_allclose(table.loc["apgd", "A2E", 1], table.loc["bim", "A2M2E", 2], rtol=1e-9)


def test_differences_are_of_the_seeds_that_both_have_and_intervals_hold_the_truth():
    low, high = answers(6), answers(6)
    low["attacked"] = low["clean"] + 0.5 * (low["attacked"] - low["clean"])
    both = pd.concat(
        [tidy("A2E", 1, high), tidy("A2E", 2, answers(7)), tidy("A2M2E", 1, low), tidy("A2M2E", 3, answers(8))]
    )
    table = harm.harm_differences(both, draws=300).set_index("measure")
    assert (table["seeds"] == 1).all() and set(table.index) == set(harm.MEASURES)
    for measure in harm.MEASURES:
        row = table.loc[measure]
        assert row["difference"] == pytest.approx(one(**high)[measure] - one(**low)[measure]), measure
        assert row["low"] <= row["difference"] <= row["high"] and row["high"] > row["low"], measure
    assert table.loc[harm.RISE, "low"] > 0 and table.loc[harm.CORRELATION, "high"] < 0
    said = harm.shown(table.reset_index())
    assert said.index.tolist() == ["A2E – A2M2E"] and said[harm.RISE].iloc[0].startswith(
        f"{table.loc[harm.RISE, 'difference']:.3f} ["
    )
    never = low | {"clean": np.ones_like(low["clean"])}  # never worth more than a constant: nothing to lose
    worthless = harm.harm_differences(pd.concat([tidy("A2E", 1, never), tidy("A2M2E", 1, low)]), draws=50)
    assert harm.shown(worthless)[harm.LOST].tolist() == ["–"] and "nan" not in harm.shown(worthless).to_string()
    alike = pd.concat([tidy("A2E", 1, high), tidy("A2B2E", 1, high)])
    assert (harm.harm_differences(alike, draws=50)[["difference", "low", "high"]] == 0).all(axis=None)


def test_albums_are_drawn_whole():
    albums = np.repeat(["a", "b", "c", "d"], 5)
    drawn = clip_draws(CLIPS, albums, draws=500, seed=1)
    assert (drawn.reshape(500, 4, 5) == drawn.reshape(500, 4, 5)[:, :, :1]).all(), "all clips of an album or none"
    assert (drawn.reshape(500, 4, 5)[:, :, 0].sum(axis=1) == 4).all()
    assert (clip_draws(CLIPS, draws=500).sum(axis=1) == CLIPS).all()
    np.testing.assert_allclose(clip_draws(CLIPS, draws=4000).mean(axis=0), 1, atol=0.1)
    with pytest.raises(ValueError, match="at least two"):
        clip_draws(CLIPS, ["a"] * CLIPS)
    cells = answers(9)
    cells["attacked"] = cells["clean"] + np.repeat([0.0, 0.1, 0.3, 0.6], 5)[:, None]  # an album's clips suffer alike
    weak = cells | {"attacked": cells["clean"]}
    both = pd.concat([tidy("A2E", 1, cells), tidy("A2M2E", 1, weak)])
    of_clips = harm.harm_differences(both, draws=300).set_index("measure").loc[harm.RISE]
    grouped = both.assign(group=both["clip"].map(dict(zip([f"c{n:02}" for n in range(CLIPS)], albums, strict=True))))
    of_albums = harm.harm_differences(grouped, draws=300).set_index("measure").loc[harm.RISE]
    assert of_albums["difference"] == pytest.approx(of_clips["difference"])
    assert of_albums["high"] - of_albums["low"] > 1.5 * (of_clips["high"] - of_clips["low"])
    assert "4 groups of clips" in of_albums["interval"] and f"{CLIPS} clips" in of_clips["interval"]


def test_percentile_intervals_cover_as_often_as_they_say():
    """Means of 12 values: the interval holds the true mean in about 95 of 100 cases; plain percentiles would in 90."""
    random = np.random.default_rng(5)
    held, plain = [], []
    for trial in range(800):
        means = clip_draws(12, draws=400, seed=trial) @ random.normal(size=12) / 12
        low, high = percentile_interval(means, 12)
        held.append(low <= 0 <= high)
        plain.append(np.quantile(means, 0.025) <= 0 <= np.quantile(means, 0.975))
    assert 0.93 <= np.mean(held) <= 0.975 and np.mean(plain) < np.mean(held) - 0.01


def test_one_system_alone_has_nothing_to_be_compared_with():
    table = harm.harm_differences(tidy("A2E", 1, answers(1)), draws=20)
    assert table.empty and list(table.columns) == list(harm.DIFFERENCE)
    assert harm.shown(table).empty


def test_networks_beside_the_systems_are_compared_too():
    cells = {"A2M2E": answers(1), "A2E, 8 epochs": answers(2)}
    predictions = pd.concat([tidy(name, 21, some) for name, some in cells.items()], ignore_index=True)
    found = harm.harm_differences(predictions, draws=20)
    assert set(zip(found["first"], found["second"], strict=True)) == {("A2M2E", "A2E, 8 epochs")}
    apart = one(**cells["A2M2E"])[harm.RISE] - one(**cells["A2E, 8 epochs"])[harm.RISE]
    assert found.set_index("measure")["difference"][harm.RISE] == pytest.approx(apart)


def test_emotions_that_nobody_rated_change_no_measure():
    cells = answers(3)
    some = {name: values[:, :3] for name, values in cells.items()}
    cells["rating"][:, 3:] = np.nan
    pd.testing.assert_series_equal(one(**cells), one(**some))
    assert one(**cells)[harm.CORRELATION] == pytest.approx(metrics.mean_correlation(cells["rating"], cells["attacked"]))
