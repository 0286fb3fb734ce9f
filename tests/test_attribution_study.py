"""The study of explanations: networks are found or trained once, tables hold what the attacks found, words follow."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from mer_lib import attribution_reading as words
from mer_lib import attribution_study as study
from mer_lib import effect_changes, lens, lens_chance, lens_plots
from mer_lib.attribution_attacks import AIMS, AttributionAttack
from mer_lib.bottleneck import answers
from mer_lib.dataset import EMOTIONS, MIDLEVEL
from mer_lib.effects import effects
from mer_lib.models import predict
from mer_lib.places import prepared_folder, run_folder, runs_folder
from mer_lib.training import TrainingSettings, train
from tests.small import small_prepared

K, WINDOW = 200, (2, 1)
CHANGES = {"adversarial_every": 1, "adversarial_steps": 1}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A study of three tiny networks that were hardly trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MER_DATA", str(tmp_path_factory.mktemp("data")))
        prepared = small_prepared(prepared_folder("noise"))
        settings = TrainingSettings(epochs=1, **CHANGES)
        for system in ("A2E", "aA2E", "A2M2E"):
            folder = run_folder("mine", system, 3)
            train(system, prepared, folder, seed=3, width=0.0625, settings=settings, study="mine", progress=False)
        yield prepared


@pytest.fixture(scope="module")
def found(place):
    """Networks, attacked: (subjects, rows, explained, attacks, results)."""
    subjects, data, said = study.subjects_at_hand("mine", 3, "noise", train_clips={6: 1}, changes=CHANGES)
    rows = data.split()["test"]
    explained = study.explained_at(data, rows, "published")
    common = {"k": K, "window": WINDOW, "tolerance": 0.5, "steps": 2}
    attacks = [AttributionAttack(aim=aim, epsilon=0.1, **common) for aim in AIMS]
    attacks.append(AttributionAttack(aim="top-k", epsilon=1e-3, domain="waveform", **common))
    results = study.attack_all(subjects[:3], data, rows, explained, attacks)
    results |= study.attack_all(subjects[3:], data, rows, explained, attacks[1:2])
    return subjects, rows, explained, attacks, results, said


def test_networks_are_the_studys_own_and_what_is_missing_is_trained_once_like_them(place, found, monkeypatch):
    subjects, *_, said = found
    assert [(s.training, s.train_clips) for s in subjects] == [
        ("natural", 16), ("adversarial", 16), ("bottleneck", 16),
        ("natural", 6), ("adversarial", 6), ("bottleneck", 6), ("IG-SUM-NORM", 6),
    ]  # fmt: skip
    assert "on 6 clips, 1 epochs: natural, adversarial, bottleneck, IG-SUM-NORM" in said
    assert [s.run.info["clips"]["train"] for s in subjects] == [s.train_clips for s in subjects]
    assert {s.run.info["clips"]["test"] for s in subjects} == {2}
    assert {s.run.info["width"] for s in subjects} == {0.0625} and {s.run.info["seed"] for s in subjects} == {3}
    folders = [s.run.folder for s in subjects[3:]]
    assert all(folder.parent.parent == runs_folder("mine") / "attribution" for folder in folders)
    assert not list(runs_folder("mine").glob("*IG*/seed-*")), "other notebooks find the study's own runs alone"
    monkeypatch.setattr(study, "train_robust", lambda part, folder, **_: pytest.fail("trained again"))
    again, _, _ = study.subjects_at_hand("mine", 3, "noise", trainings=["natural"], train_clips={6: 1}, changes=CHANGES)
    assert again[-1].run.info == subjects[3].run.info
    with pytest.raises(pytest.fail.Exception):  # other settings, another folder
        study.subjects_at_hand("mine", 3, "noise", trainings=["IG-SUM-NORM"], train_clips={6: 2}, changes=CHANGES)
    with pytest.raises(ValueError, match="unknown trainings"):
        study.subjects_at_hand("mine", 3, "noise", trainings=["robust"])


def test_all_networks_explain_the_emotion_whose_rating_departs_most(place, found):
    _, rows, explained, *_ = found
    reference = place.emotions[place.split()["train"]].mean(axis=0)
    departure = place.emotions[rows] - reference
    np.testing.assert_array_equal(explained.emotion, np.abs(departure).argmax(axis=1))
    np.testing.assert_array_equal(explained.sign, np.sign(departure[np.arange(2), explained.emotion]))
    assert study.explained_at(place, rows, "published", 3).emotion.tolist() == [3, 3]


def test_tables_hold_what_the_attacks_found(found):
    *_, results, _ = found
    table = study.agreement_table(results, K, WINDOW, ("top-k", "LENS-recall"))
    assert len(table) == len(results) * 2 * 2
    key = ("natural", 16, "spectrogram", "gradient x input", "LENS")
    mine = table[(table[study.KEYS] == list(key)).all(axis=1) & (table["measure"] == "LENS-recall")]
    a, b = results[key].before.numpy(), results[key].after.numpy()
    np.testing.assert_allclose(mine["score"], lens.recall(a, b, K, WINDOW))
    others = [lens.recall(a[0], b[1], K, WINDOW), lens.recall(a[1], b[0], K, WINDOW)]
    np.testing.assert_allclose(mine["chance_clips"], others)
    means = study.means(table)
    assert means["score_low"].isna().all(), "two clips have no interval"
    one = means[(means[study.KEYS] == list(key)).all(axis=1) & (means["measure"] == "LENS-recall")].iloc[0]
    assert one["score"] == pytest.approx(mine["score"].mean()) and one["clips"] == 2
    part = means[(means["domain"] == "spectrogram") & (means["train_clips"] == 16)]
    wide = study.paper_table(part, ["top-k", "LENS-recall"])
    assert wide.shape == (3, 8)
    shown = wide.loc[("gradient x input", "natural"), ("LENS-recall", "LENS")]
    assert shown == pytest.approx(100 * one["score"])
    kept = study.kept_table(results)
    assert (kept["linf_max"] <= np.where(kept["domain"] == "waveform", 1e-3, 0.1)).all()
    assert (kept["largest_move"] <= 0.5).all() and (kept["gradients"] > 0).all()
    moved = study.moved_table(results, K)
    assert len(moved) == 2 * len(results) and moved["moved"].max() == pytest.approx(kept["largest_move"].max())


def test_intervals_are_given_from_five_clips_on():
    values = np.array([0.1, 0.3, 0.2, 0.4, 0.5])
    half = 2.776445 * values.std(ddof=1) / np.sqrt(5)
    assert study.interval(values) == pytest.approx((0.3 - half, 0.3 + half), abs=1e-6)
    assert np.isnan(study.interval(values[:4])).all() and np.isnan(study.interval([*values, np.nan])).all()


def test_the_highest_cells_are_listed_in_seconds_and_hertz():
    values = np.zeros((313, 149))
    values[10, 20], values[200, 100] = 2, 1
    table = study.highest_cells({"before": values}, 2).set_index("attribution")
    assert table.loc[2.0, "seconds"] == pytest.approx(10 / 31.3, abs=1e-3)
    assert table.loc[1.0, "hertz"] > table.loc[2.0, "hertz"] and len(table) == 2


def test_the_stand_in_table_improves_with_beta(found):
    subjects, rows, explained, *_ = found
    inputs = torch.randn(2, 313, 149, generator=torch.Generator().manual_seed(0))
    table = study.stand_in_table(subjects[0].run, inputs, explained, [2.0, 200.0], K)
    assert table["predictions apart"].is_monotonic_decreasing and table["Spearman"].is_monotonic_increasing


def effect_table(before: list[float], after: list[float]) -> pd.DataFrame:
    names = list(MIDLEVEL)
    return pd.DataFrame({"domain": "spectrogram", "aim": "top-k", "clip": 0, "emotion": "happy", "quality": names})[
        ["domain", "aim", "clip", "emotion", "quality"]
    ].assign(before=before, after=after)


def test_sign_flips_and_changes_of_rank_by_hand():
    before = [7.0, -6, 5, 4, 3, 2, 0.1]
    # The first two change places, 4 changes its sign, and so does the last, which is too small to matter
    changes = effect_changes.effect_changes(effect_table(before, [6.0, -7, 5, -4, 3, 2, -0.1])).iloc[0]
    assert changes["flips"] == 2 and changes["weighty_flips"] == 1 and changes["other_first"] == 1
    assert changes["places"] == pytest.approx(2 / 7) and changes["rank_correlation"] == pytest.approx(1 - 2 * 1 / 21)
    assert changes["sum_moved"] == pytest.approx(1 + 1 + 8 + 0.2) and changes["effects_moved"] == pytest.approx(10.2)
    same = effect_changes.effect_changes(effect_table(before, before)).iloc[0]
    assert same["flips"] == 0 and same["rank_correlation"] == 1 and same["places"] == 0
    turned = effect_changes.effect_changes(effect_table(before, before[::-1])).iloc[0]
    assert turned["rank_correlation"] == pytest.approx(-1) and turned["places"] == pytest.approx(24 / 7)


def test_effects_are_measured_from_the_mean_clip_and_sum_to_the_departure_of_the_emotion(place, found):
    subjects, rows, explained, attacks, results, _ = found
    table = effect_changes.effects_before_and_after(subjects[2], place, rows, explained, results, attacks)
    assert list(dict.fromkeys(table["aim"])) == [*AIMS, effect_changes.ON_EFFECTS]
    assert set(table["domain"]) == {"spectrogram", "waveform"} and set(table["quality"]) == set(MIDLEVEL)
    model = subjects[2].run.model
    said = predict(model, place.spectrograms[rows])
    mean = place.midlevel[place.split()["train"]].mean(axis=0)
    at_mean = model.emotion_head(torch.from_numpy(mean)).detach().numpy()
    sums = table[table["domain"] == "spectrogram"].groupby(["aim", "clip"])["before"].sum().loc["top-k"]
    for clip, (emotion, sign) in enumerate(zip(explained.emotion, explained.sign, strict=True)):
        departure = sign.item() * (said.emotions[clip, emotion] - at_mean[emotion])
        assert sums[clip] == pytest.approx(departure, abs=1e-5)
    first = table[(table["aim"] == "top-k") & (table["domain"] == "spectrogram") & (table["clip"] == 0)]
    wanted = effects(model, said.midlevel, mean)[0, explained.emotion[0]] * explained.sign[0].item()
    np.testing.assert_allclose(first["before"], wanted, atol=1e-5)
    assert set(table["emotion"]) <= set(EMOTIONS)
    for aim in AIMS:
        hit = results["bottleneck", 16, "spectrogram", attacks[0].method, aim].adversarial
        moved = effects(model, answers(model, hit, "spectrogram")[1].numpy(), mean)[0, explained.emotion[0]]
        part = table[(table["aim"] == aim) & (table["domain"] == "spectrogram") & (table["clip"] == 0)]
        np.testing.assert_allclose(part["after"], moved * explained.sign[0].item(), atol=1e-5)
    assert not np.allclose(table["before"], table["after"])


def test_differences_are_taken_clip_by_clip_against_the_natural_training():
    rows = [
        {"training": training, "train_clips": 9, "domain": "spectrogram", "method": "gradient", "aim": "LENS",
         "measure": "LENS-recall", "clip": clip, "corrected_clips": value}
        for training, values in {"natural": (0.1, 0.2, 0.3, 0.4, 0.5), "adversarial": (0.3, 0.4, 0.5, 0.6, 0.7)}.items()
        for clip, value in enumerate(values)
    ]  # fmt: skip
    pairs = words.differences(pd.DataFrame(rows))
    assert len(pairs) == 1
    one = pairs.iloc[0]
    assert (one["natural"], one["other"], one["difference"]) == pytest.approx((0.3, 0.5, 0.2))
    assert (one["low"], one["high"]) == pytest.approx((0.2, 0.2)), "clips differ, their differences do not"


def test_the_reading_is_worded_from_the_tables(found):
    *_, results, _ = found
    table = study.agreement_table(results, K, WINDOW, ("top-k", "LENS-recall"))
    means, kept = study.means(table), study.kept_table(results)
    text = words.reading(means, words.differences(table), kept)
    at = (means["training"] == "natural") & (means["domain"] == "spectrogram") & (means["train_clips"] == 16)
    hit = means[at & (means["aim"] == "top-k") & (means["measure"] == "top-k")]["score"].iloc[0]
    assert f"leaves {100 * hit:.0f} % of the highest cells" in text
    pair = words.differences(table).query("aim == 'LENS' and measure == 'LENS-recall'")
    for row in pair.itertuples():
        assert f"{row.training} {row.difference:+.2f}" in text
    assert "effects" not in text and "One seed" in text


def test_every_figure_is_drawn_with_title_units_and_caption(found):
    subjects, rows, explained, attacks, results, _ = found
    table = study.agreement_table(results, K, WINDOW, ("top-k", "LENS-recall"))
    means = study.means(table)
    whole = means[(means["train_clips"] == 16) & (means["domain"] == "spectrogram")]
    key = ("natural", 16, "spectrogram", "gradient x input", "LENS")
    a, b = results[key].before.numpy(), results[key].after.numpy()
    by_size = means[(means["aim"] == "top-k") & (means["domain"] == "spectrogram")]
    names = list(MIDLEVEL) * 2
    flips = pd.DataFrame({"aim": "top-k", "quality": names, "before": np.arange(14) - 7, "after": np.arange(14) - 6})
    two = ["top-k", "LENS-recall"]
    drawn = {
        "maps": lens_plots.explanations(a[0] - a[0].min(), {"before": a[0], "after": b[0]}, K, "maps", "cap"),
        "agree": lens_plots.agreement(whole, two, "agree", "cap"),
        "chance": lens_plots.chance(lens_chance.picture(a, b, 0, K, WINDOW, ("top-k", "Spearman")), "chance", "cap"),
        "windows": lens_plots.windows(lens_chance.windows(a, b, K, (0, 64), (0, 2)), "windows", "cap"),
        "budgets": lens_plots.budgets(whole.assign(epsilon=0.1), two, "budgets", "cap"),
        "moved": lens_plots.moved(study.moved_table(results, K), 0.5, "moved", "cap"),
        "differ": lens_plots.differences(words.differences(table).query("measure == 'top-k'"), "differ", "cap"),
        "sizes": lens_plots.sizes(study.training_table(subjects), by_size, two, "sizes", "cap"),
        "flips": lens_plots.effect_flips(flips, "flips", "cap"),
    }
    for name, figure in drawn.items():
        assert isinstance(figure, Figure) and figure.get_suptitle() == name and figure.get_supxlabel() == "cap"
        figure.canvas.draw()
        shown = [axis for axis in figure.axes if axis.get_xlabel() or axis.get_ylabel()]
        assert shown, f"{name} names no axis"
        plain = "".join(axis.get_xlabel() + axis.get_ylabel() for axis in shown)
        assert "corrected_clips" not in plain and "train_clips" not in plain
    marks = lens_chance.picture(a, b, 0, K, WINDOW, ("top-k",))
    assert marks[marks["kind"] == "shift"]["share"].sum() == pytest.approx(1)
    assert marks.set_index("kind").loc["after the attack", "low"] == pytest.approx(lens.top_k(a[0], b[0], K))
