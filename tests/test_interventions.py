"""Interventions follow the weights, and comparisons of pieces find a truth that is planted where they can."""

import importlib.util

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mer_lib import interventions
from mer_lib.dataset import EMOTIONS, MIDLEVEL, load_corpus
from mer_lib.interventions import CAUSES, OUTSIDE, composed
from mer_lib.models import build
from mer_lib.places import ROOT
from mer_lib.preparation import Prepared
from mer_lib.runs import load_pretrained


@pytest.fixture(scope="module")
def etudes(tmp_path_factory):
    """The Études' tables without their sounds."""
    corpus = load_corpus("etudes")
    return Prepared(
        tmp_path_factory.mktemp("e"), {"corpus": "etudes"}, corpus.table, np.zeros((360, 1)), np.zeros((360, 1))
    )


@pytest.fixture(scope="module")
def known(etudes):
    return composed(etudes)


@pytest.fixture(scope="module")
def model():
    return load_pretrained("A2M2E").model


@pytest.fixture(scope="module")
def composer():
    """The script that made the corpus, as an independent witness of the listener model."""
    spec = importlib.util.spec_from_file_location("compose", ROOT / "data" / "etudes" / "compose.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_causes_are_the_corpus_own_values(known, etudes):
    assert np.abs(known.causes[list(MIDLEVEL)].to_numpy() - etudes.midlevel).max() < 0.0011  # written to two digits
    assert known.causes[list(OUTSIDE)].to_numpy().min() >= 0 and known.causes[list(OUTSIDE)].to_numpy().max() <= 1
    assert np.corrcoef(known.oracle["sad"], etudes.emotions[:, EMOTIONS.index("sad")])[0, 1] > 0.8
    part = Prepared(etudes.folder, etudes.info, etudes.table.iloc[[40, 7]].reset_index(drop=True), None, None)
    assert np.allclose(composed(part).oracle, known.oracle.iloc[[40, 7]])


def test_other_corpora_have_no_known_truth(etudes):
    assert composed(Prepared(etudes.folder, {"corpus": "soundtracks"}, etudes.table, None, None)) is None


def test_the_listener_model_is_recovered_exactly(known, composer):
    """What the regression finds is what compose.py says of the same pieces with one quality changed.

    Its standardisation is over all pieces, so the pieces and their changed copies are rated by differences.
    """
    assert known.residual < 1e-4
    truth = pd.read_csv(ROOT / "data" / "etudes" / "truth.csv")
    inside = (2 * truth[list(MIDLEVEL)] - 1) @ composer.WEIGHTS.T
    outside = composer.outside_causes(truth)
    scale_inside, scale_outside = np.sqrt(0.75) / inside.std(), np.sqrt(0.25) / outside.std()
    whole = (inside - inside.mean()) * scale_inside + (outside - outside.mean()) * scale_outside
    moved = truth.assign(minorness=truth["minorness"] + 0.1)
    by_composer = (
        ((2 * moved[list(MIDLEVEL)] - 1) @ composer.WEIGHTS.T - inside) * scale_inside
        + (composer.outside_causes(moved) - outside) * scale_outside
    ) * (composer.SPREAD_OF_ORACLE / whole.std() / 10)
    causes = known.causes.assign(minorness=known.causes["minorness"] + 0.05)  # .1 of [0, 1] on the corpus's scale
    assert np.abs((known.ratings(causes) - known.ratings(known.causes)) - by_composer).to_numpy().max() < 1e-4
    rise = (known.ratings(causes) - known.ratings(known.causes)).mean() / 0.05
    assert np.allclose(rise, known.truth().loc["minorness"], atol=1e-6)


@given(value=st.floats(0, 1), quality=st.sampled_from(MIDLEVEL), seed=st.integers(0, 99))
def test_a_set_neuron_moves_the_emotions_by_its_weights_and_nothing_else(model, value, quality, seed):
    said = np.random.default_rng(seed).uniform(0.3, 0.8, (5, 7)).astype(np.float32)
    place = MIDLEVEL.index(quality)
    found = interventions.set_quality(model, said, quality, [value])[0]
    with torch.no_grad():
        before = model.emotion_head(torch.from_numpy(said)).numpy()
    weights = model.emotion_head.weight[:, place].detach().numpy()
    assert np.allclose(found - before, (value - said[:, [place]]) * weights, atol=1e-5)


def test_only_taught_neurons_can_be_set_by_name():
    with pytest.raises(ValueError, match="no neuron that was taught"):
        interventions.set_quality(build("A2B2E", 0.05), np.zeros((1, 7)), "dissonance", [0.5])


@pytest.mark.parametrize("quality", ["dissonance", "articulation"])
def test_matched_pieces_differ_in_the_quality_and_less_in_other_causes(known, quality):
    pairs = interventions.matched_pairs(known.causes, quality)
    values = known.causes[quality].to_numpy()
    assert len(pairs) == 60 and len(set(pairs["low"]) | set(pairs["high"])) == 120
    assert (values[pairs["high"]] > values[pairs["low"]]).all()
    table = interventions.balance(known.causes, quality)
    assert np.allclose(table["all pieces"], known.causes.corr()[quality].drop(quality))
    assert table["matched"].abs().mean() < table["all pieces"].abs().mean() / 2
    assert table["matched"].abs().max() < table["all pieces"].abs().max() / 2


def test_comparisons_find_a_planted_slope_and_naive_ones_do_not(known):
    """Ratings made from dissonance and tonal stability, which go together; the truth is 0.4."""
    causes = known.causes
    made = 0.4 * causes["dissonance"] - 0.6 * causes["tonal_stability"] + 0.1 * causes["minorness"] * causes["tempo"]
    slopes = interventions.slopes_between(causes, np.repeat(made.to_numpy()[:, None], 8, axis=1), "dissonance").iloc[0]
    assert abs(slopes["all pieces"] - 0.4) > 0.3
    assert slopes["regression"] == pytest.approx(0.4, abs=1e-9)
    assert abs(slopes["matched"] - 0.4) < abs(slopes["all pieces"] - 0.4) / 2


def test_the_regression_gives_the_products_slope_at_the_mean_tempo(known):
    answers = known.oracle.to_numpy()
    found = interventions.slopes_between(known.causes, answers, "minorness")["regression"]
    assert np.allclose(found, known.truth().loc["minorness"], atol=1e-4)


def test_a_network_with_the_true_weights_agrees_with_the_truth(known, etudes):
    truthful = build("A2M2E", 0.05)
    with torch.no_grad():
        truthful.emotion_head.weight.copy_(torch.from_numpy(known.truth().to_numpy().T.copy()))
    table = interventions.compare_slopes(truthful, known, etudes.emotions, known.oracle.to_numpy())
    agreement = interventions.slope_agreement(table)
    right = agreement.loc["A2M2E", "neuron set"]
    assert right["r"] > 1 - 1e-6 and right["size"] == pytest.approx(1) and right["same sign"] == 1
    assert agreement.loc[("A2M2E", "regression"), "error"] < 1e-3  # it was given the oracle's own answers
    assert agreement.loc[("listeners", "matched"), "error"] < agreement.loc[("listeners", "all pieces"), "error"]
    assert len(table) == 7 * 8 * 7


def test_correcting_helps_where_the_head_is_the_truth_and_takes_all_subsets(known):
    truthful = build("A2M2E", 0.05)
    truth = known.truth()
    with torch.no_grad():
        truthful.emotion_head.weight.copy_(torch.from_numpy(truth.to_numpy().T.copy()))
        truthful.emotion_head.bias.zero_()
    midlevel = known.causes[list(MIDLEVEL)].to_numpy()
    ratings = midlevel @ truth.to_numpy()
    said = midlevel + 0.1 * np.random.default_rng(0).normal(size=midlevel.shape)
    table = interventions.corrected(truthful, said, midlevel, ratings)
    assert len(table) == 128 and table["qualities"].is_unique
    means = table.groupby("corrected")["MAE"].mean()
    assert (means.diff().dropna() < 0).all() and means[7] < 1e-6
    assert table.set_index("qualities").loc["dissonance + minorness", "corrected"] == 2


def test_all_eleven_causes_are_there(known):
    assert list(known.causes) == list(CAUSES)
