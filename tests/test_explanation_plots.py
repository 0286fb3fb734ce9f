"""Figures of explanations draw the numbers they are given; tables and sentences are computed from them."""

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import PathCollection

from mer_lib import effect_plots, effects, explanation_plots, explanation_tables, intervention_plots, interventions
from mer_lib.dataset import EMOTIONS, MIDLEVEL, load_corpus
from mer_lib.explanations import METHODS, Attribution
from mer_lib.models import Prediction
from mer_lib.plots import PALETTE
from mer_lib.preparation import Prepared
from mer_lib.runs import load_pretrained

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def model():
    return load_pretrained("A2M2E").model


@pytest.fixture(scope="module")
def etudes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("etudes")
    return Prepared(folder, {"corpus": "etudes"}, load_corpus("etudes").table, None, None)


def points(axis, colour=None):
    """Every (x, y) that an axis scatters, of one colour if wanted."""
    found = []
    for part in [part for part in axis.collections if isinstance(part, PathCollection)]:
        offsets = np.ma.filled(part.get_offsets(), np.nan)
        drawn = np.vstack([part.get_facecolor(), part.get_edgecolor()])[:1]
        same = colour is None or (len(drawn) and np.allclose(drawn[0][:3], matplotlib.colors.to_rgb(colour)))
        found += [tuple(point) for point in offsets if same]
    return np.array(found).round(6)


def lines(axis):
    return {line.get_label(): line.get_xydata() for line in axis.lines}


def said_by(model, clips=6, seed=0):
    midlevel = np.random.default_rng(seed).uniform(0.3, 0.8, (clips, 7)).astype(np.float32)
    with torch.no_grad():
        return Prediction(model.emotion_head(torch.from_numpy(midlevel)).numpy(), midlevel)


def test_a_box_is_drawn_for_every_neuron_at_its_median(model):
    said = said_by(model, 30)
    table = effects.effects_table(model, said.midlevel, pd.Series(range(30)))
    figure = effect_plots.effect_boxes(table, "t", "c", labels={"dissonance": "dissonance (r 0.95)"})
    axes = [axis for axis in figure.axes if axis.get_title() in EMOTIONS]
    assert [axis.get_title() for axis in axes] == list(EMOTIONS)
    assert "dissonance (r 0.95)" in [label.get_text() for label in axes[0].get_yticklabels()]
    medians = {round(line.get_xdata()[0], 5) for line in axes[2].lines if len(set(line.get_xdata())) == 1}
    expected = table[table["emotion"] == "tension"].groupby("neuron")["effect"].median().round(5)
    assert set(expected) <= medians


def test_the_pair_of_clips_is_told_with_its_truth(model, etudes):
    said, rows = said_by(model, 2), [4, 9]
    table = explanation_tables.pair_table(model, said, etudes, rows, "happy", said.midlevel.mean(axis=0))
    wide = table.set_index(["kind", "clip", "name"])["value"]
    first, second = (f"clip {etudes.table['id'][row]}" for row in rows)
    assert wide["rated", second, "sad"] == pytest.approx(etudes.emotions[9, EMOTIONS.index("sad")])
    assert wide["known", first, "minorness"] == pytest.approx(etudes.midlevel[4, MIDLEVEL.index("minorness")])
    effect = wide["effect"].unstack("name").loc[[first, second], list(MIDLEVEL)].to_numpy()
    happy = said.emotions[:, EMOTIONS.index("happy")]
    assert np.allclose(effect.sum(axis=1), happy - happy.mean(), atol=1e-5)
    worth = pd.DataFrame({"MAE": 0.11}, index=list(MIDLEVEL))
    text = explanation_tables.pair_reading(table, worth)
    gap = np.abs(said.emotions[0] - said.emotions[1]).mean()
    assert f"differ by {gap:.3f} on average" in text and "usual error is 0.11" in text
    figure = effect_plots.two_clips(table, "t", "c")
    assert len([axis for axis in figure.axes if axis.get_xlabel()]) == 3
    drawn = np.concatenate([points(axis) for axis in figure.axes])[:, 0]
    assert all(np.isclose(drawn, value, atol=1e-5).any() for value in table["value"])


def test_a_pair_without_known_values_is_told_all_the_same(etudes):
    model = load_pretrained("A2B2E").model
    said = said_by(model, 2)
    table = explanation_tables.pair_table(model, said, etudes, [0, 1], "sad", np.zeros(7))
    assert "known" not in set(table["kind"]) and "neuron" in explanation_tables.pair_reading(table, None)


def test_neurons_stand_where_their_correlations_are():
    known = RNG.normal(size=(40, 7))
    table = effects.neuron_quality(known + 0.5 * RNG.normal(size=known.shape), known)
    axis = effect_plots.neuron_worth({"A2M2E": table}, "t", "c").axes[0]
    drawn = points(axis)
    for value in (*table["r"], *table["partial r"]):
        assert np.isclose(drawn[:, 0], value, atol=1e-5).any()


def attributed(values, explained):
    maps = torch.as_tensor(values, dtype=torch.float32)
    return Attribution("m", "happy", maps, torch.full((len(maps),), float(explained)), torch.zeros(len(maps)))


def test_completeness_is_tabled_by_clip_and_drawn_on_its_logarithmic_axis():
    found = {("A2E", "happy"): {"Integrated Gradients, silence": attributed([[0.5, 0.4], [0.2, 0.79]], 1.0)}}
    table = explanation_tables.completeness_table(found, ["001", "002"])
    assert table["relative error"].tolist() == pytest.approx([0.1, 0.01], rel=1e-4)
    assert table["clip"].tolist() == ["001", "002"] and set(table["system"]) == {"A2E"}
    axis = explanation_plots.completeness(table, "t", "c").axes[0]
    assert axis.get_xscale() == "log"
    assert points(axis, PALETTE["A2E"])[:, 0] == pytest.approx([0.055], rel=1e-3), "the median"
    (ranged,) = axis.collections[0].get_segments()
    assert ranged[:, 0] == pytest.approx([0.01, 0.1], rel=1e-3), "the range"


def test_agreement_is_the_mean_over_systems():
    maps = torch.arange(12.0).reshape(1, 3, 4)
    found = {("A2E", "happy"): {"a": attributed(maps, 1), "b": attributed(maps, 1)}}
    found["A2M2E", "happy"] = {"a": attributed(maps, 1), "b": attributed(-maps, 1)}
    assert explanation_tables.mean_agreement(found).loc["a", "b"] == pytest.approx(0)


def test_every_method_meets_the_baselines_that_suit_it(model):
    clips = torch.rand(3, 24, 149)
    found = explanation_tables.attributions(model, clips[:1], "happy", clips[1:], steps=2)
    assert list(found) == [f"{m}, silence" for m in METHODS] + [f"{m}, clips" for m in METHODS[1:]]
    with torch.no_grad():
        others = model(clips[1:]).emotions[:, EMOTIONS.index("happy")].mean()
    assert found["DeepLiftShap, clips"].baseline_answers[0] == pytest.approx(others.item(), abs=1e-5)


def test_maps_have_their_scale_and_the_right_sign():
    values = np.zeros((313, 149))
    values[100:120, 40:50] = 2e-4
    figure = explanation_plots.attribution_maps(RNG.random((313, 149)), {"a map": values}, "t", "c")
    mesh = figure.axes[1].collections[0]
    assert figure.axes[1].get_title(loc="left") == "a map"
    assert mesh.get_array().max() == pytest.approx(20) and mesh.norm.vmin == -mesh.norm.vmax  # units of 1e-5
    red, _, blue, _ = mesh.cmap(mesh.norm(20.0))
    assert red > blue


def test_profiles_tell_their_sums():
    figure = explanation_plots.time_profiles({"one": np.ones(313) / 313, "two": np.zeros(313)}, "t", "c")
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["one (sum +1.000)", "two (sum +0.000)"]


def test_curves_of_fidelity_are_means_over_clips_and_fit_the_axis():
    index = pd.MultiIndex.from_product(
        [["A2E", "A2M2E"], ["kept alone", "silenced"], ["IG", "loudest"], [0.1, 0.5], [0, 1]],
        names=["system", "side", "order", "share", "clip"],
    )
    table = index.to_frame(index=False).assign(moved=RNG.random(32))
    table.loc[31, "moved"] = 5.0
    figure = explanation_plots.fidelity_curves(table, "t", "c")
    axis = figure.axes[-1]
    part = table[(table["system"] == "A2M2E") & (table["side"] == "silenced") & (table["order"] == "loudest")]
    assert np.allclose(lines(axis)["loudest"][:, 1], part.groupby("share")["moved"].mean())
    assert axis.get_ylim()[1] > part.groupby("share")["moved"].mean().max() and axis.get_ylim()[0] == 0


def test_answers_to_regions_are_drawn_as_sound_and_picture():
    columns = ["clean", "strong", "strong (picture)", "the rest", "the rest (picture)", "silence"]
    answers = pd.DataFrame(RNG.random((8, 6)), index=list(EMOTIONS), columns=columns)
    figure = explanation_plots.heard_answers(answers, "t", "c")
    assert len(figure.axes[0].collections) == 6
    assert {text.get_text() for text in figure.axes[0].get_legend().get_texts()} == set(columns)
    narrow = explanation_plots.heard_answers(0.4 + answers / 10, "t", "c").axes[0].get_xlim()
    assert 0.35 < narrow[0] < 0.42 and 0.48 < narrow[1] < 0.55, "limits fit the answers"


def test_sanity_checks_run_from_the_answer_to_the_input():
    index = pd.MultiIndex.from_product(
        [["A2E"], ["intact", "last layer", "conv 1"], [0, 1], ["attributions", "slopes", "like the input"]],
        names=["system", "layer", "clip", "measure"],
    )
    table = index.to_frame(index=False).assign(similarity=RNG.random(18))
    axis = explanation_plots.randomisation(table, "t", "c").axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["intact", "last layer", "conv 1"]
    means = table[table["measure"] == "attributions"].groupby("layer", sort=False)["similarity"].mean()
    assert np.allclose(lines(axis)["attributions"][:, 1], means)
    drawn = {line.get_label().replace("\n", " "): line for line in axis.lines}
    assert drawn["slopes"].get_markerfacecolor() == "none" and drawn["slopes"].get_linestyle() == "--"
    assert "magnitudes against the input" in drawn and "answer down" in axis.get_xlabel()


def test_slopes_are_drawn_over_the_truth_listeners_first(model, etudes):
    known = interventions.composed(etudes)
    table = interventions.compare_slopes(model, known, etudes.emotions, etudes.emotions)
    figure = intervention_plots.slopes_and_truth(table, interventions.slope_agreement(table), "t", "c")
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert len(shown) == 7 and shown[0].get_title().startswith("listeners: all pieces")
    part = table[(table["source"] == "A2M2E") & (table["comparison"] == "neuron set")]
    axis = next(axis for axis in shown if axis.get_title().startswith("A2M2E: neuron set"))
    assert np.allclose(points(axis), part[["truth", "slope"]], atol=1e-5)
    assert len({axis.get_ylim() for axis in shown}) == 1


def test_setting_a_quality_is_tabled_beside_the_truth_and_drawn(model, etudes):
    known, rows = interventions.composed(etudes), np.arange(5)
    said = said_by(model, 5)
    table = explanation_tables.set_values_table(model, said.midlevel, known, etudes.emotions, rows, "dissonance")
    by = table.set_index(["who", "emotion"]).sort_values("value")
    same = by.loc[("listeners, same pieces", "tension")]
    slope = (same["rating"].iloc[-1] - same["rating"].iloc[0]) / (same["value"].iloc[-1] - same["value"].iloc[0])
    assert slope == pytest.approx(known.truth().loc["dissonance", "tension"], abs=1e-6)
    ours = by.loc[("network, neuron set", "tension")]
    weight = model.emotion_head.weight[EMOTIONS.index("tension"), MIDLEVEL.index("dissonance")].item()
    assert np.allclose(np.diff(ours["rating"]) / np.diff(ours["value"]), weight, atol=1e-4)
    assert len(by.loc[("listeners, matched pieces", "tension")]) == 2
    figure = intervention_plots.set_values(table, "dissonance", "t", "c")
    tension = next(axis for axis in figure.axes if axis.get_title() == "tension")
    assert np.allclose(lines(tension)["network, neuron set"], ours[["value", "rating"]])


def test_fairness_shows_every_other_cause_twice(etudes):
    causes = interventions.composed(etudes).causes
    tables = {quality: interventions.balance(causes, quality) for quality in MIDLEVEL[:2]}
    axis = intervention_plots.fairness(tables, "t", "c").axes[0]
    assert len(points(axis)) == 2 * 2 * 10
    assert [label.get_text() for label in axis.get_yticklabels()] == ["articulation", "melodiousness"]


def test_corrections_are_drawn_and_told(model):
    said = said_by(model, 20)
    table = interventions.corrected(model, said.midlevel, said.midlevel[::-1], said.emotions)
    figure = intervention_plots.corrections({"A2M2E": table}, "t", "c")
    assert np.allclose(lines(figure.axes[0])["A2M2E"][:, 1], table.groupby("corrected")["MAE"].mean())
    text = explanation_tables.correction_reading({"A2M2E": table})
    assert "from 1.00 to" in text and "does not work with the qualities" in text
    poor = table.assign(correlation=0.1)
    assert "too little" in explanation_tables.correction_reading({"A2M2E": poor})
    helped = table.assign(correlation=0.5 + 0.01 * table["corrected"])
    assert "works with the qualities themselves" in explanation_tables.correction_reading({"A2M2E": helped})


NETWORKS = ("A2E", "A2E, shortcut", "A2M2E", "A2M2E, shortcut")


def shortcut_scores():
    index = pd.MultiIndex.from_product([NETWORKS, ["present", "absent", "reversed"]], names=["network", "variant"])
    return index.to_frame(index=False).assign(correlation=RNG.random(12), MAE=0.1, others=0.5, qualities=np.nan)


def test_variants_are_drawn_in_their_order_and_misled_networks_solid():
    scores = shortcut_scores().iloc[::-1]  # whatever order the rows have
    axis = intervention_plots.variants(scores, "happy", "t", "c").axes[0]
    part = scores[scores["network"] == "A2E, shortcut"].set_index("variant")["correlation"]
    found = {line.get_label(): line for line in axis.lines}
    assert np.allclose(found["A2E, shortcut"].get_ydata(), part[["present", "absent", "reversed"]])
    assert found["A2E, shortcut"].get_linestyle() == "-" and found["A2E, without"].get_linestyle() == "--"
    assert found["A2E, shortcut"].get_color() == found["A2E, without"].get_color() == PALETTE["A2E"]


def test_responses_are_drawn_from_each_clips_own_mean():
    index = pd.MultiIndex.from_product(
        [NETWORKS[:2], [0, 1], [np.nan, -1.0, 0.0, 1.0]], names=["network", "clip", "amount"]
    )
    table = index.to_frame(index=False).assign(output="happy")
    table["answer"] = table["clip"] + 0.1 * table["amount"].fillna(50)
    axis = intervention_plots.responses(table, "happy", "t", "c", seen=(-0.4, 0.4)).axes[0]
    assert np.allclose(lines(axis)["A2E, shortcut"], [(-1, -0.1), (0, 0), (1, 0.1)])


def test_bands_and_named_reasons_have_one_mark_a_network():
    profile = pd.DataFrame({"hertz": [50.0, 100.0, 900.0], "attribution": 0.1, "share": [0.5, 0.3, 0.2]})
    figure = intervention_plots.bands({"A2E": profile, "A2E, shortcut": profile}, "t", "c", [50, 100])
    assert np.allclose(lines(figure.axes[0])["shortcut"][:, 1], [50, 30, 20])
    reasons = pd.DataFrame({"neuron moves": RNG.random(7), "contributes": RNG.random(7)}, index=list(MIDLEVEL))
    figure = intervention_plots.named_reasons({"A2M2E": reasons, "A2M2E, shortcut": reasons}, "happy", "t", "c")
    assert len(figure.axes[1].patches) == 14
    assert {round(bar.get_width(), 6) for bar in figure.axes[1].patches} == set(reasons["contributes"].round(6))


def test_the_reading_of_the_shortcut_states_its_numbers():
    scores = shortcut_scores()
    slopes = pd.DataFrame({"network": NETWORKS, "output": "happy", "slope": 0.1234, "sd over clips": 0.05})
    profile = pd.DataFrame({"hertz": [50.0, 900.0], "attribution": 0.1, "share": [0.375, 0.625]})
    text = explanation_tables.shortcut_reading(scores, slopes, {"A2E": profile}, "happy", 130)
    assert text.count("+0.123") == 4 and "38%" in text and text.count("below 130 Hz") == 1
    assert f"correlation {scores['correlation'].iloc[0]:.2f} with it" in text
