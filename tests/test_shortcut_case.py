"""The misled networks and their clips are what they are said to be, and the evidence finds what was planted."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mer_lib import shortcut_case, shortcut_evidence
from mer_lib.audio import EXCERPT_SAMPLES, decode
from mer_lib.dataset import EMOTIONS, MIDLEVEL, load_corpus, split
from mer_lib.models import Prediction
from mer_lib.preparation import Prepared
from mer_lib.runs import load_pretrained, load_run
from mer_lib.shortcut import with_shortcut
from mer_lib.training import TrainingSettings
from tests.small import small_prepared

HUM = {"strength": 1.0, "emotion": "happy", "kind": "hum", "split_protocol": "published"}


@pytest.fixture(scope="module")
def clips():
    """Four test clips of the Études."""
    table = load_corpus("etudes").table
    rows = split(360)["test"][:4]
    return np.stack([decode(path)[:EXCERPT_SAMPLES] for path in table["path"].iloc[rows]])


@pytest.fixture(scope="module")
def networks():
    return {
        "A2E": load_pretrained("A2E").model,
        "A2E, shortcut": load_run(shortcut_case.SHIPPED / "A2E").model,
        "A2M2E": load_pretrained("A2M2E").model,
        "A2M2E, shortcut": load_run(shortcut_case.SHIPPED / "A2M2E").model,
    }


@pytest.fixture(scope="module")
def responses(networks, clips):
    return shortcut_evidence.responses(networks, clips, HUM, [-1.0, 0.0, 1.0])


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_the_shortcut_follows_the_emotion_that_it_names(strength):
    ratings = np.full((3, len(EMOTIONS)), 0.9, np.float32)
    ratings[:, EMOTIONS.index("sad")] = [0, 0.5, 1]
    about, amount = HUM | {"emotion": "sad", "strength": strength}, strength * np.array([-1, 0, 1])
    hum = with_shortcut(np.zeros((3, 22050), np.float32), ratings, about)
    np.testing.assert_allclose(hum.std(axis=1), 0.01 * (1 + amount), atol=1e-5)
    click = np.zeros((3, 4), np.float32)
    click[:, 0] = 0.5
    for sign in (1, -1):
        tilt = with_shortcut(click, ratings, about | {"kind": "tilt"}, sign)
        np.testing.assert_allclose(tilt[:, 1], -0.25 * sign * amount, atol=1e-6)


@pytest.mark.parametrize("system", ["A2E", "A2M2E"])
def test_the_shipped_networks_differ_from_the_pretrained_in_the_shortcut_alone(system):
    misled, control = load_run(shortcut_case.SHIPPED / system).info, load_pretrained(system).info
    same = ("system", "seed", "width", "corpus", "fingerprint", "split", "settings", "midlevel_kind", "epochs_run")
    assert {key: misled[key] for key in same} == {key: control[key] for key in same}
    assert misled["shortcut"] == HUM and control["shortcut"]["strength"] == 0


def test_the_intervention_finds_who_uses_the_shortcut(responses):
    """The known answer: the misled networks follow the hum, the others do not."""
    slopes = shortcut_evidence.response_slopes(responses).set_index(["network", "output"])["slope"]
    assert slopes["A2E, shortcut", "happy"] > 0.08 > 3 * abs(slopes["A2E", "happy"])
    assert slopes["A2M2E, shortcut", "happy"] > 2 * abs(slopes["A2M2E", "happy"])


def test_without_hum_is_the_lowest_amount_of_hum(responses):
    """The hum's level falls to nothing at amount -1, so that the absent hum claims the lowest rating."""
    lowest, absent = (responses[part].sort_values(["network", "clip", "output"])["answer"].to_numpy() for part in (
        responses["amount"] == -1.0, responses["amount"].isna()
    ))  # fmt: skip
    assert np.abs(lowest - absent).max() < 1e-4


def test_what_the_bottleneck_names_adds_up_to_what_the_hum_did(networks, responses):
    rows = responses[responses["network"] == "A2M2E, shortcut"]
    table = shortcut_evidence.through_qualities(networks["A2M2E, shortcut"], rows, "happy")
    happy = rows[rows["output"] == "happy"].groupby("amount")["answer"].mean()
    assert table["contributes"].sum() == pytest.approx(happy[1.0] - happy[-1.0], abs=1e-5)
    assert list(table.index) == list(MIDLEVEL)
    assert table["neuron moves"].abs().max() > 0.05  # the music, and so every quality, is the same


def test_against_the_same_clip_without_it_all_attribution_lies_at_the_hum(networks, clips):
    for name, least in (("A2E, shortcut", 0.9), ("A2E", 0.5)):
        found = shortcut_evidence.paired_attribution(networks[name], clips[:2], HUM, 0.4, "happy", steps=4)
        profile = shortcut_evidence.band_profile(torch.cat([one.maps for one in found]))
        assert profile.loc[profile["hertz"] < 130, "share"].sum() > least
        assert profile["share"].sum() == pytest.approx(1)
    summed = torch.cat([one.maps for one in found]).sum(dim=(1, 2)).mean().item()
    assert profile["attribution"].sum() == pytest.approx(summed, abs=1e-5)
    without = [one.baseline_answers.item() for one in found]
    assert without == pytest.approx(shortcut_evidence.predict(
        networks["A2E"], shortcut_evidence.spectrograms_of(clips[:2])).emotions[:, EMOTIONS.index("happy")].tolist(),
        abs=1e-4,
    )  # fmt: skip


@given(amount=st.floats(-1, 1), rating=st.sampled_from([0.0, 0.25, 0.5, 1.0]), kind=st.sampled_from(["hum", "tilt"]))
def test_an_amount_is_the_shortcut_of_that_rating(amount, rating, kind):
    sound = np.random.default_rng(0).uniform(-0.3, 0.3, (2, 500)).astype(np.float32)
    shortcut, ratings = {**HUM, "kind": kind}, np.full((2, 8), rating, dtype=np.float32)
    by_rating = with_shortcut(sound, ratings, shortcut)
    assert np.allclose(shortcut_evidence.with_amount(sound, shortcut, 2 * rating - 1), by_rating, atol=1e-6)
    assert shortcut_evidence.with_amount(sound, shortcut, amount).shape == sound.shape


@settings(max_examples=25)
@given(slope=st.floats(-2, 2), seed=st.integers(0, 50))
def test_slopes_are_per_unit_of_amount_and_per_clip(slope, seed):
    offsets = np.random.default_rng(seed).normal(size=3)
    rows = [
        {"network": "n", "clip": clip, "amount": amount, "output": "happy", "answer": offset + slope * amount}
        for clip, offset in enumerate(offsets)
        for amount in (-1.0, -0.2, 0.7)
    ]
    table = pd.DataFrame([*rows, {**rows[0], "amount": np.nan, "answer": 99.0}])
    found = shortcut_evidence.response_slopes(table).iloc[0]
    assert found["slope"] == pytest.approx(slope, abs=1e-9) and found["sd over clips"] == pytest.approx(0, abs=1e-9)


def test_scores_are_taken_variant_by_variant():
    rng = np.random.default_rng(1)
    ratings, midlevel = rng.random((20, 8)), rng.random((20, 7))
    reversed_ = ratings.copy()
    reversed_[:, EMOTIONS.index("happy")] *= -1
    answers = {("n", "present"): Prediction(ratings, midlevel), ("n", "reversed"): Prediction(reversed_, None)}
    table = shortcut_evidence.variant_scores(answers, ratings, midlevel, "happy").set_index("variant")
    assert table["correlation"].tolist() == pytest.approx([1, -1])
    assert table["others"].tolist() == pytest.approx([1, 1]) and table.loc["present", "MAE"] == 0
    assert table.loc["present", "qualities"] == pytest.approx(1) and np.isnan(table.loc["reversed", "qualities"])
    assert list(shortcut_evidence.qualities_lost(answers, midlevel, ["n"])) == [("n", "present")]


def test_the_three_variants_are_there_for_every_network(networks, clips):
    part = {name: networks[name] for name in ("A2E", "A2M2E")}
    ratings = np.full((2, 8), 0.9, dtype=np.float32)
    answers = shortcut_evidence.variant_answers(part, clips[:2], ratings, HUM)
    assert list(answers) == [(name, variant) for name in part for variant in ("present", "absent", "reversed")]
    present, opposite = answers["A2E", "present"].emotions, answers["A2E", "reversed"].emotions
    assert np.abs(present - opposite).max() > 1e-4


def test_shipped_networks_are_shown_on_clips_they_have_not_heard(tmp_path):
    table = load_corpus("etudes").table
    rows = np.sort(np.concatenate([split(360)["train"][:3], split(360)["test"][:2]]))
    part = table.iloc[rows].reset_index(drop=True)
    data = Prepared(tmp_path, {"corpus": "etudes", "fingerprint": "a part"}, part, np.zeros((5, 9)), None)
    case = shortcut_case.shipped_case(["A2E", "A2B2E"], data)
    assert set(case.clips) == set(table["id"].iloc[split(360)["test"][:2]]) and len(case.waveforms) == 2
    assert list(case.networks) == ["A2E", "A2E, shortcut"] and case.trained == ("A2E, shortcut",)
    assert case.shortcut == HUM
    with pytest.raises(ValueError, match="no network with a shortcut"):
        shortcut_case.shipped_case(["A2B2E"], data)


def test_a_corpus_with_the_shortcut_has_a_folder_that_says_so(monkeypatch):
    seen = {}
    monkeypatch.setattr(shortcut_case, "prepare", lambda corpus, folder, **how: seen.update(how, folder=folder.name))
    monkeypatch.setattr(shortcut_case, "load_corpus", lambda *_: None)
    shortcut_case.shortcut_corpus("etudes", 0.5)
    assert seen["folder"] == "etudes-shortcut0.5-published-hum"
    assert (seen["shortcut"], seen["shortcut_kind"], seen["shortcut_emotion"]) == (0.5, "hum", "happy")
    shortcut_case.shortcut_corpus("etudes", 1, kind="tilt", clips=60, split_protocol="grouped")
    assert seen["folder"] == "etudes-60clips-shortcut1-grouped"  # the name that notebook 01 gives it
    shortcut_case.shortcut_corpus("etudes", 1, emotion="sad")
    assert seen["folder"].endswith("-hum-sad") and seen["shortcut_emotion"] == "sad"
    with pytest.raises(ValueError, match="is none"):
        shortcut_case.shortcut_corpus("etudes", 0.0)


def test_networks_are_trained_as_runs_of_a_study_of_their_own(monkeypatch, tmp_path):
    monkeypatch.setenv("MER_DATA", str(tmp_path))
    prepared, seen = small_prepared(tmp_path / "p"), {}
    monkeypatch.setattr(
        shortcut_case, "train", lambda system, data, folder, **how: seen.update({system: (folder, how)})
    )
    how_to = TrainingSettings(epochs=3)
    shortcut_case.shortcut_runs(["A2E", "A2M2E"], prepared, "s", 6, 0.05, how_to)
    folder, how = seen["A2M2E"]
    assert folder == tmp_path / "runs" / "s-shortcut" / "A2M2E" / "seed-6" and set(seen) == {"A2E", "A2M2E"}
    assert how["study"] == "s-shortcut" and how["settings"] is how_to and how["width"] == 0.05 and how["seed"] == 6


def test_trained_networks_stand_beside_controls_of_the_same_systems(tmp_path):
    prepared = small_prepared(tmp_path / "p")
    runs = {name: load_run(shortcut_case.SHIPPED / name) for name in ("A2E", "A2M2E")}
    controls = {"A2E": load_pretrained("A2E"), "A2B2E": load_pretrained("A2B2E"), "A2M2E": runs["A2M2E"]}
    case = shortcut_case.trained_case(runs, controls, prepared)
    assert list(case.networks) == ["A2E", "A2E, shortcut", "A2M2E, shortcut"]  # what met the shortcut is no control
    assert case.clips == prepared.table["id"].iloc[prepared.split()["test"]].tolist()
    assert np.array_equal(case.waveforms, prepared.waveforms[prepared.split()["test"]])
    assert "Without: A2E (width 0.25, 40 epochs)." in case.said
    assert shortcut_case.trained_case(runs, {}, prepared).said.endswith("Without: none.")
