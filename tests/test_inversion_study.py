"""Networks are inverted alike, judged by others, and heard; the control and the references are what they say."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from mer_lib import generation_study, inversion_study, sound_scores, sound_study
from mer_lib.audio_distance import features
from mer_lib.generation import Generation, gaussian_starts
from mer_lib.inversion import Inversion, relative_distance, represent
from mer_lib.inversion_study import ANOTHER, NOISE, UNTRAINED, Inverted
from mer_lib.models import build
from mer_lib.places import run_folder
from mer_lib.spectrogram import LogSpectrogram

RATE = 22050
CLIPS = ["one", "two"]


def network(system, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(system, width=0.0625, mean=0.4, std=0.42).eval()


@pytest.fixture(scope="module")
def networks():
    names = ("A2E", "A2M2E", "aA2M2E", "A2B2E")
    trained = {(name, 7): network(name, index) for index, name in enumerate(names)}
    return {**trained, (UNTRAINED, 7): network("A2M2E", 9)}


@pytest.fixture(scope="module")
def recordings():
    """Decaying chords, 10 s each."""
    time = np.arange(10 * RATE) / RATE
    random = np.random.default_rng(0)
    sounds = []
    for _ in range(12):
        notes, tempo = 220 * 2 ** (random.integers(0, 20, 3) / 12), random.uniform(1, 4)
        tones = sum(np.sin(2 * np.pi * note * k * time) / k for note in notes for k in (1, 2, 3))
        sounds.append(0.1 * tones * np.exp(-((time * tempo) % 1) * 3) + 1e-3 * random.normal(size=len(time)))
    return np.array(sounds, dtype=np.float32)


@pytest.fixture(scope="module")
def pictures(recordings):
    with torch.no_grad():
        return LogSpectrogram()(torch.from_numpy(recordings))


@pytest.fixture(scope="module")
def windows(recordings):
    return features(recordings)


@pytest.fixture(scope="module")
def inverted(networks, pictures):
    some = {key: networks[key] for key in (("A2E", 7), ("A2M2E", 7))}
    method = Inversion(layer="features", steps=2)
    layers = ["block 1", "bottleneck"]
    return inversion_study.invert_all(some, pictures[:2], pictures[2:6], CLIPS, method, layers, draws=2)


def test_the_control_has_the_shape_and_none_of_the_weights(networks):
    model = networks["A2M2E", 7]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    control = inversion_study.untrained(model, seed=3)
    assert torch.equal(before, torch.get_rng_state()), "nobody else's random numbers change"
    assert control.system is model.system and float(control.mean) == float(model.mean) and not control.training
    same = [torch.equal(a, b) for a, b in zip(control.parameters(), model.parameters(), strict=True) if a.ndim > 1]
    assert same and not any(same)
    again = inversion_study.untrained(model, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(control.parameters(), again.parameters(), strict=True))


def test_the_pretrained_stand_in_only_where_the_study_trained_none(monkeypatch):
    def at_hand(study, systems, seed, prepared, data_dir):
        own = seed in trained
        of = seed if own else 21
        folders = {name: run_folder(study if own else "pretrained", name, of) for name in systems}
        models = {name: network(name, of) for name in systems}
        return (
            {n: SimpleNamespace(model=models[n], folder=folders[n], info={"seed": of}) for n in systems}, "corpus",
            "own" if own else "pretrained",
        )  # fmt: skip

    monkeypatch.setattr(inversion_study, "networks_at_hand", at_hand)
    trained = {1, 2}
    found, runs, data, _ = inversion_study.networks_with_control("mine", ["A2E", "A2M2E"], [1, 2, 3], "etudes")
    assert set(found) == {(name, seed) for name in ("A2E", "A2M2E", UNTRAINED) for seed in (1, 2)} and data == "corpus"
    assert found[UNTRAINED, 1].system.bottleneck, "shaped so that every layer can be compared"
    trained = set()
    found, runs, _, said = inversion_study.networks_with_control("mine", ["A2E"], [1, 2], "etudes")
    assert set(found) == {("A2E", 21), (UNTRAINED, 21)} and len(runs) == 1 and said == "pretrained"


def test_every_network_layer_start_draw_and_clip_has_its_row(inverted, networks, pictures):
    keys = ["system", "layer", "start", "draw", "clip"]
    rows = inverted.rows
    assert not rows.duplicated(keys).any()
    assert rows.groupby("system")["layer"].unique().map(list).to_dict() == {
        "A2E": ["block 1"], "A2M2E": ["block 1", "bottleneck"],
    }  # fmt: skip
    assert len(rows) == 3 * 2 * 2 * 2 and len(inverted.paths) == 3 * len(rows)
    # What the table says of a clip is true of the picture that is kept under its key
    row = rows[(rows["system"] == "A2M2E") & (rows["layer"] == "bottleneck") & (rows["draw"] == 1)].iloc[-1]
    model, found = networks["A2M2E", 7], inverted.found["A2M2E", 7, "bottleneck", row["start"], 1]
    both = (represent(model, model.standardise(x), "bottleneck") for x in (found, pictures[:2]))
    assert row["distance"] == pytest.approx(relative_distance(*both)[CLIPS.index(row["clip"])].item(), rel=1e-2)
    assert (found >= 0).all()


def test_all_networks_start_from_the_same_pictures(inverted, pictures):
    assert set(inverted.starts) == {(start, draw) for start in (NOISE, ANOTHER) for draw in (0, 1)}
    begun = inverted.rows[inverted.rows["layer"] == "block 1"].set_index(["start", "draw", "clip"])["outline_start"]
    assert begun.groupby(level=[0, 1, 2]).nunique().max() == 1
    for draw in (0, 1):
        others = inverted.starts[ANOTHER, draw]
        assert all(any(torch.equal(other, clip) for clip in pictures[2:6]) for other in others)
    assert not torch.equal(inverted.starts[NOISE, 0], inverted.starts[NOISE, 1])
    with pytest.raises(ValueError, match="unknown start"):
        inversion_study.start_pictures(pictures[:1], pictures, ["silence"], 1, 0.4, 0.42, 0.1)


def test_the_unit_is_the_distance_of_different_clips(networks, pictures):
    model = networks["A2E", 7]
    z = model.standardise(pictures[:3])
    with torch.no_grad():
        r = represent(model, z, "features").double()
    pairs = [(r[i] - r[j]).norm() / r[j].norm() for i in range(3) for j in range(3) if i != j]
    assert inversion_study.distance_of_two_clips(model, z, "features") == pytest.approx(float(np.mean(pairs)), rel=1e-4)


def test_agreement_is_one_for_the_original_and_nothing_for_the_start(networks, pictures):
    start = pictures[4:6]
    found = {("A2E", 7, "block 1", NOISE, 0): pictures[:2], ("A2E", 7, "block 2", NOISE, 0): start}
    made = Inverted(pd.DataFrame(), pd.DataFrame(), found, {(NOISE, 0): start})
    table = inversion_study.agreement(made, networks, pictures[:2], CLIPS)
    assert set(table["judge"]) == {"A2M2E", "aA2M2E", "A2B2E"}, "neither itself nor an untrained network"
    np.testing.assert_allclose(table.loc[table["layer"] == "block 1", "agreement"], 1, atol=1e-4)
    np.testing.assert_allclose(table.loc[table["layer"] == "block 2", "agreement"], 0, atol=1e-4)
    assert table.groupby("judge")["kind"].first().to_dict() == {
        "A2M2E": "natural", "aA2M2E": "adversarial", "A2B2E": "natural",
    }  # fmt: skip


def test_the_picture_grid_shows_the_first_draw_of_noise(inverted, pictures):
    grid = inversion_study.picture_grid(inverted, pictures[:2], clip=1)
    assert list(grid) == ["clip", "A2E", "A2M2E"] and list(grid["A2E"]) == ["block 1", "bottleneck"]
    assert grid["A2E"]["bottleneck"] is None
    kept = inverted.found["A2M2E", 7, "bottleneck", NOISE, 0][1].numpy()
    assert np.array_equal(grid["A2M2E"]["bottleneck"], kept)
    assert np.array_equal(grid["clip"]["original"], pictures[1].numpy())


@pytest.fixture(scope="module")
def generated(networks, pictures):
    ratings = pd.DataFrame({"sad": np.linspace(0, 1, 12), "melodiousness": np.linspace(1, 0, 12)})
    method = Generation(output="sad", budget=0.1, steps=2)
    outputs = ["sad", "melodiousness"]
    return generation_study.generate_all(networks, pictures.numpy(), ratings, method, outputs, samples=2, draws=2)


def test_outputs_that_nobody_rated_are_named_with_those_that_are():
    table = pd.DataFrame({"happy": [0.1, np.nan], "sad": np.nan, "dissonance": 0.5}, dtype=float)
    with pytest.raises(ValueError, match="value for sad: choose outputs among happy, dissonance"):
        generation_study.generate_all({}, np.zeros((2, 313, 149)), table, None, ["happy", "sad"])


def test_only_a_bottleneck_that_was_told_qualities_is_asked_for_one(generated, networks, pictures):
    makers = generated.rows.groupby("output")["system"].unique().map(set).to_dict()
    assert makers == {"sad": {name for name, _ in networks}, "melodiousness": {"A2M2E", "aA2M2E", UNTRAINED}}
    assert set(generated.starts) == {(output, draw) for output in makers for draw in (0, 1)}
    # "sad" rises from clip to clip, and the eight saddest of the twelve are taken
    assert torch.equal(generated.starts["sad", 1], gaussian_starts(pictures.numpy()[4:], 2, seed=1))
    risen = generated.rows["reached"] - generated.rows["start"]
    assert (risen >= 0).all() and (risen > 0.01).mean() > 0.5
    first = generated.rows[generated.rows["output"] == "sad"].groupby(["draw", "sample"])
    assert (first.size() == len(networks)).all()


def test_judges_say_what_the_networks_say_in_their_own_spreads(generated, networks, pictures):
    rises = generation_study.judged(generated.found, generated.starts, networks, pictures)
    assert set(rises.loc[(rises["system"] != UNTRAINED), "judge"]) == {"itself", "A2E", "A2M2E", "aA2M2E", "A2B2E"}
    assert set(rises.loc[rises["output"] == "melodiousness", "judge"]) == {"itself", "A2M2E", "aA2M2E"}
    row = rises[(rises["system"] == "A2E") & (rises["judge"] == "A2M2E") & (rises["draw"] == 1)].iloc[1]
    model = networks["A2M2E", 7]
    with torch.no_grad():
        said = [model(model.standardise(x)).emotions[:, 6] for x in (
            generated.starts["sad", 1], generated.found["A2E", 7, "sad", 1], pictures,
        )]  # fmt: skip
    spread = said[2].std(correction=0)
    assert row["rise"] == pytest.approx(((said[1] - said[0])[1] / spread).item(), rel=1e-3)
    own = rises[rises["judge"] == "itself"].set_index(["system", "output", "draw", "sample"])["reached"]
    made = generated.rows.set_index(["system", "output", "draw", "sample"])["reached"]
    np.testing.assert_allclose(own.sort_index(), made.sort_index(), rtol=1e-4, atol=1e-4)
    table = generation_study.judge_table(rises, "sad", "picture")
    assert list(table.columns)[0] == "itself" and table.index[-1] == UNTRAINED
    assert np.isnan(table.loc["A2E", "A2E"]), "what a maker says itself stands in its own column"


def test_the_feature_judge_learns_what_is_in_the_features_and_knows_when_it_does_not():
    random = np.random.default_rng(2)
    windows = random.normal(size=(60, 3, 20))
    means = windows.mean(axis=1)
    told = generation_study.FeatureJudge.fit(windows, means[:, 0] + 0.05 * random.normal(size=60))
    assert told.correlation > 0.5
    more = windows + np.eye(20)[0] * 2
    assert (told(more) - told(windows)).mean() > 0.5
    guessed = generation_study.FeatureJudge.fit(windows, random.normal(size=60))
    assert abs(guessed.correlation) < 0.4
    unrated = np.where(np.arange(60) < 10, np.nan, means[:, 0])
    assert np.isfinite(generation_study.FeatureJudge.fit(windows, unrated)(windows)).all()


def test_judges_without_a_network_hear_sounds(recordings, windows):
    ratings = pd.DataFrame({"melodiousness": np.linspace(0, 1, 12)})
    qualities = sound_scores.computed_qualities(recordings)
    starts, made = {("melodiousness", 0): recordings[:2]}, {("A2M2E", 7, "melodiousness", 0): recordings[2:4]}
    rows, trust = generation_study.judged_without_networks(made, starts, windows, ratings, qualities)
    assert set(rows["judge"]) == {"audio features", "computed"} and set(rows["kind"]) == {"no network"}
    computed = rows[rows["judge"] == "computed"].set_index("sample")
    expected = (qualities[2:4, 0] - qualities[:2, 0]) / qualities[:, 0].std()
    np.testing.assert_allclose(computed["rise"], expected, rtol=1e-6)
    r = np.corrcoef(qualities[:, 0], ratings["melodiousness"])[0, 1]
    assert trust.set_index("judge")["correlation"]["computed"] == pytest.approx(r)


def test_the_way_to_a_sound_and_back_is_measured(networks, pictures):
    sounds, gains = sound_scores.sounds_of(pictures[:1] + 0.8)  # so loud that it would clip
    assert np.abs(sounds).max() <= 1 and gains[0] < 0
    model = networks["A2E", 7]
    table = sound_scores.round_trip(model, pictures[:1] + 0.8, sounds, gains)
    level = torch.from_numpy(sounds * 10 ** (-gains[0] / 20)).float()
    with torch.no_grad():
        analysed = LogSpectrogram()(level)
    wanted = (pictures[0] + 0.8).numpy()
    expected = np.linalg.norm(analysed[0].numpy() - wanted) / np.linalg.norm(wanted)
    assert table["picture_error"][0] == pytest.approx(expected, rel=1e-3) and expected < 0.5
    assert np.isnan(sound_scores.computed_qualities(np.zeros((1, 10 * RATE)))).all(), "silence has no qualities"


def test_floor_and_ceiling_stand_on_either_side(recordings, windows):
    random = np.random.default_rng(4)
    noisy = recordings[:2] + 0.05 * random.normal(size=recordings[:2].shape)
    table = sound_scores.distance_table({"noisy": noisy}, windows).groupby("set", sort=False)["distance"].mean()
    assert list(table.index) == ["recordings held out", "noisy", "white noise"]
    assert table.is_monotonic_increasing
    # Four of twelve recordings are held out, and here they are the strange ones: the floor must show it
    far = np.random.default_rng(1).normal(size=(12, 9, 58))
    far[np.random.default_rng(0).permutation(12)[:4]] += 10
    floors = sound_scores.distance_table({"a": recordings[:2]}, far).groupby("set")["distance"].mean()
    assert floors["recordings held out"] > 100
    with pytest.raises(ValueError, match="one size"):
        sound_scores.distance_table({"a": recordings[:2], "b": recordings[:3]}, windows)
    with pytest.raises(ValueError, match="at most 4"):
        sound_scores.distance_table({"a": recordings[:5]}, windows)


def test_what_was_inverted_is_heard_beside_its_references(inverted, networks, pictures, recordings, windows):
    heard = sound_study.hear_inverted(
        inverted, networks, pictures[:2], recordings[:2], pictures[2:6], CLIPS, "bottleneck"
    )
    assert set(heard.sounds) == {("A2M2E", 7, 0), ("A2M2E", 7, 1)}
    mean = heard.rows.groupby("system")["qualities_apart"].mean()
    assert mean["original, rendered"] < mean["A2M2E"], "rendering alone costs less than noise does"
    assert mean["another clip"] > 0
    both = {("A2M2E", 7, "sad", draw): heard.sounds["A2M2E", 7, draw] for draw in (0, 1)}
    starts = {("sad", draw): recordings[4:6] for draw in (0, 1)}
    far = sound_study.distances_from_recordings(heard.sounds, both, starts, windows, "sad")
    own = far[far["system"] == "A2M2E"]
    assert set(own["set"]) == {"A2M2E, inverted", "A2M2E, sad"} and set(own["draw"]) == {0, 1}
    assert own.groupby("draw")["distance"].nunique().max() == 1, "the same sounds lie equally far"
    assert set(far.loc[far["seed"].isna(), "set"]) == {"starts, sad", "recordings held out", "white noise"}


def test_waveforms_are_sought_and_raised_directly(networks, pictures, recordings):
    some = {("A2E", 7): networks["A2E", 7]}
    method = Inversion(layer="block 1", steps=2, domain="waveform")
    direct = sound_study.invert_waveforms(
        some, pictures[:1], recordings[:1], pictures[2:4], CLIPS[:1], method, "block 1"
    )
    sound = direct.sounds["A2E", 7, 0]
    model = networks["A2E", 7]
    unit = inversion_study.distance_of_two_clips(model, model.standardise(pictures[2:4]), "block 1")
    with torch.no_grad():
        z = [model.standardise(x) for x in (model.front_end(torch.from_numpy(sound)), pictures[:1])]
        expected = relative_distance(*(represent(model, x, "block 1") for x in z)).item() / unit
    assert direct.rows["of_two_clips"][0] == pytest.approx(expected, rel=1e-4)
    starts = {("sad", 0): 0.5 * recordings[:1], ("happy", 0): recordings[:1]}
    made = sound_study.generate_waveforms(some, starts, Generation(output="happy", steps=1, domain="waveform"), "sad")
    assert set(made) == {("A2E", 7, "sad", 0)} and not np.array_equal(made["A2E", 7, "sad", 0], starts["sad", 0])
