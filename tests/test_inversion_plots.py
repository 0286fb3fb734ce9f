"""Figures of inversion and generation draw what they are given, with the units on their axes."""

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest

from mer_lib import inversion_plots, meaning, meaning_plots
from mer_lib.inversion_study import UNTRAINED

SYSTEMS = ["A2E", "aA2E", UNTRAINED]


def drawn_axes(figure):
    return [axis for axis in figure.axes if axis.get_visible() and axis.get_label() != "<colorbar>"]


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


def picture(value):
    return np.full((313, 149), value)


def test_pictures_share_one_scale_of_colours_and_show_each_title_once():
    grid = {
        "clip": {"original": picture(2.0), "start": picture(0.5)},
        "A2E": {"block 1": picture(1.0), "bottleneck": None},
        "aA2E": {"block 1": picture(0.2), "bottleneck": picture(0.3)},
    }
    figure = inversion_plots.pictures(grid, "title", "caption")
    axes = drawn_axes(figure)
    assert len(axes) == 5, "a layer that a network lacks stays empty"
    assert {axis.collections[0].get_clim() for axis in axes} == {(0, 2.0)}
    shown = [axis.get_title() for axis in axes]
    assert shown == ["original", "start", "block 1", "", "bottleneck"]
    assert "log10(1 + magnitude)" in texts(figure) and "frequency (Hz)" in texts(figure)


def test_ways_run_from_the_start_to_the_end_in_the_networks_own_colours():
    rows = [
        {"system": system, "layer": "block 1", "step": step, "of_two_clips": 1 / (1 + step), "outline": step / 10}
        for system in SYSTEMS
        for step in range(4)
    ]
    figure = inversion_plots.ways(pd.DataFrame(rows), "title", "caption")
    (axis,) = drawn_axes(figure)
    assert axis.xaxis_inverted() and "two different clips" in axis.get_xlabel()
    lines = [line for line in axis.lines if len(line.get_xdata()) == 4]
    assert [line.get_color() for line in lines] == [inversion_plots.COLOURS[system] for system in SYSTEMS]
    np.testing.assert_allclose(lines[0].get_xdata(), [1, 1 / 2, 1 / 3, 1 / 4])
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == SYSTEMS


def test_an_interval_that_is_too_wide_is_cut_and_squeezes_nothing():
    table = pd.DataFrame(
        {
            "measure": "block 1",
            "system": SYSTEMS,
            "mean": [0.2, 0.8, 0.5],
            "low": [-50, 0.7, 0.4],
            "high": [50, 0.9, 0.6],
        }
    )
    figure = inversion_plots.by_layer(table, "title", "caption", "likeness")
    (axis,) = drawn_axes(figure)
    low, high = axis.get_ylim()
    assert -1 < low < 0.2 and 0.8 < high < 2 and axis.get_ylabel() == "likeness"


def test_judges_colours_follow_the_others_and_not_the_makers_own_answers():
    table = pd.DataFrame({"itself": [9.0, 8.0], "A2M2E": [1.0, -2.0]}, index=["A2E", "aA2E"])
    figure = meaning_plots.judges({"sad, picture": table}, "title", "caption")
    (axis,) = drawn_axes(figure)
    assert axis.collections[0].get_clim() == (-2.0, 2.0)
    assert {"9.0", "-2.0"} <= {text.get_text() for text in axis.texts}


def test_twins_are_hatched_as_judges_and_what_is_beyond_the_scale_is_told():
    table = pd.DataFrame({"itself": [9.0, 8.0], "A2E": [np.nan, 1.0], "aA2E": [2.0, np.nan]}, index=["A2E", "aA2E"])
    figure = meaning_plots.judges({"sad, picture": table}, "title", "caption")
    (axis,) = drawn_axes(figure)
    assert {patch.get_xy() for patch in axis.patches if patch.get_hatch()} == {(2, 0), (1, 1)}
    assert axis.get_title() == "sad,\npicture" and "Hatched: twin" in figure.get_supxlabel()
    assert axis.collections[0].colorbar.extend == "max"


def test_a_measure_without_an_interval_stands_apart_and_its_place_does_not_tell_its_size():
    rows = pd.DataFrame(
        {
            "question": "q", "measure": ["near", "like", "far"], "first": "aA2E", "second": "A2E",
            "difference": [-40.0, 0.2, 0.01], "low": [np.nan, 0.1, np.nan], "high": [np.nan, 0.3, np.nan],
            "verdict": ["open", "more", "open"],
        }
    )  # fmt: skip
    (axis,) = drawn_axes(meaning_plots.answer(rows, "title", "caption"))
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names[::-1] == ["like", meaning_plots.NO_INTERVAL, "near", "far"]
    places = {round(float(y)): x for c in axis.collections for x, y in c.get_offsets() if len(c.get_offsets())}
    assert places[1] == -places[0] and places[3] == pytest.approx(2 / 3)
    assert {"-40", "+0.01"} <= {text.get_text() for text in axis.texts}
    assert any("no interval" in text.get_text() for text in axis.get_legend().get_texts())


@pytest.mark.parametrize("draws", [1, 3])
def test_the_answer_is_filled_where_nought_is_left_out(draws):
    random = np.random.default_rng(0)
    rows = [
        {"system": system, "seed": 0, "draw": draw, "clip": clip, "x": 5 * (system == "aA2E") + 0.1 * random.normal()}
        for system in ("A2E", "aA2E", "A2M2E", "aA2M2E")
        for draw in range(draws)
        for clip in "abc"
    ]
    verdicts = meaning.verdicts(meaning.score(pd.DataFrame(rows), "likeness", "x"))
    asked = verdicts[verdicts["question"] == "adversarial training"]
    figure = meaning_plots.answer(asked, "title", "caption")
    first, second = drawn_axes(figure)
    assert first.get_title() == "aA2E\n– A2E" and second.get_title() == "aA2M2E\n– A2M2E"
    filled, hollow = (axis.collections[-1].get_facecolor()[0] for axis in (first, second))
    assert matplotlib.colors.to_hex(filled) == inversion_plots.PALETTE["A2M2E"].lower()
    assert matplotlib.colors.to_hex(hollow) == "#ffffff"


def test_sets_and_sounds_stand_in_their_networks_colours():
    names = ["recordings held out", "A2E, sad", "A2E, sad", "untrained, sad", "white noise"]
    figure = inversion_plots.distances(pd.DataFrame({"set": names, "distance": [5, 50, 60, 90, 300]}), "t", "c")
    (axis,) = drawn_axes(figure)
    assert axis.get_xscale() == "log" and [t.get_text() for t in axis.get_yticklabels()][0] == "white noise"
    rows = pd.DataFrame(
        {
            "system": ["A2E", "A2E", "original, rendered", "another clip"],
            "way": ["picture, rendered", "waveform", "picture, rendered", "recording"],
            "of_two_clips": [0.5, 0.6, np.nan, np.nan],
            "qualities_apart": [0.2, 0.3, 0.05, 0.4],
        }
    )
    figure = inversion_plots.sounds_apart(rows, "t", "c")
    legend = [text.get_text() for text in drawn_axes(figure)[-1].get_legend().get_texts()]
    assert legend == ["original, rendered", "another clip", "picture, rendered", "waveform"]
