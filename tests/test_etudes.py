"""The embedded corpus: its tables agree, its ratings are what the listener model says, its audio plays."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

FOLDER = Path(__file__).resolve().parents[1] / "data" / "etudes"
SPEC = importlib.util.spec_from_file_location("etudes_compose", FOLDER / "compose.py")
compose = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(compose)

EMOTIONS, MIDLEVEL, OUTSIDE = list(compose.EMOTIONS), list(compose.MIDLEVEL), list(compose.OUTSIDE)


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "truth.csv", dtype={"number": str})


@pytest.fixture(scope="module")
def ratings() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "mean_ratings_set1.csv", dtype={"number": str})


def test_there_are_360_pieces_in_36_groups_of_ten(truth: pd.DataFrame) -> None:
    tracks = pd.read_csv(FOLDER / "set1_tracklist.csv", dtype={"Nro": str})
    assert list(truth["number"]) == [f"{k:03d}" for k in range(1, 361)] == list(tracks["Nro"])
    sizes = tracks.groupby("Album name").size()
    assert len(sizes) == 36 and set(sizes) == {10}
    assert list(tracks["Album name"]) == list(truth["style"] + " for " + truth["ensemble"])


def test_every_piece_plays_without_clipping_and_the_corpus_is_small(truth: pd.DataFrame) -> None:
    files = sorted((FOLDER / "Set1").iterdir())
    assert [file.name for file in files] == [f"{number}.ogg" for number in truth["number"]]
    assert sum(file.stat().st_size for file in files) < 30e6
    peaks = []
    for file, seconds in zip(files, truth["seconds"], strict=True):
        sound, rate = soundfile.read(file)
        assert rate == 22050 and sound.ndim == 1
        assert 10.5 <= len(sound) / rate <= 13.0 and abs(len(sound) / rate - seconds) < 0.05
        peaks.append(np.abs(sound).max())
    assert max(peaks) < 1.0 and max(peaks) / min(peaks) > 3  # loudness differs and nothing clips


def test_composed_values_fill_the_unit_interval_and_hang_together_as_designed(truth: pd.DataFrame) -> None:
    values = truth[MIDLEVEL + OUTSIDE]
    assert values.min().max() < 0.01 and values.max().min() > 0.99
    wanted = compose.correlations()
    assert np.abs(values.corr() - wanted).to_numpy().max() < 0.06
    assert np.abs(values.corr().loc[MIDLEVEL, OUTSIDE]).to_numpy().max() < 0.05  # inside and outside are independent
    assert np.linalg.eigvalsh(wanted.loc[MIDLEVEL, MIDLEVEL]).min() > 0.1  # no quality is a copy of the others


def test_committed_tables_follow_from_the_script(truth: pd.DataFrame, tmp_path: Path) -> None:
    compose.write_tables(compose.design(), tmp_path)
    for name in (
        "mean_ratings_set1.csv",
        "set1_tracklist.csv",
        "midlevel/metadata.csv",
        "midlevel/annotations.csv",
        "truth.csv",
    ):
        separator = ";" if "metadata" in name else ","
        made, kept = (pd.read_csv(folder / name, sep=separator) for folder in (tmp_path, FOLDER))
        pd.testing.assert_frame_equal(made, kept, rtol=0, atol=0.0101)


def test_mid_level_annotations_are_the_composed_values_between_3_and_8_of_10(truth: pd.DataFrame) -> None:
    annotations = pd.read_csv(FOLDER / "midlevel" / "annotations.csv")
    songs = pd.read_csv(FOLDER / "midlevel" / "metadata.csv", sep=";", dtype={"ID at file source": str})
    assert set(songs["Source"]) == {"etudes"} and list(songs["ID at file source"]) == list(truth["number"])
    assert list(annotations["song_id"]) == list(songs["song id"])
    np.testing.assert_allclose(annotations[MIDLEVEL], 3 + 5 * truth[MIDLEVEL], atol=0.00501)


def test_the_oracle_correlates_between_80_and_90_with_every_rating(truth: pd.DataFrame, ratings: pd.DataFrame) -> None:
    for emotion in EMOTIONS:
        r = np.corrcoef(truth[f"oracle_{emotion}"], ratings[emotion])[0, 1]
        assert 0.80 <= r <= 0.90, f"{emotion}: {r:.3f}"
    values = ratings[EMOTIONS].to_numpy()
    assert values.min() >= 1 and values.max() <= 9
    discrete = ["anger", "fear", "happy", "sad", "tender"]
    assert list(ratings["TARGET"]) == list(ratings[discrete].idxmax(axis=1).str.upper())


def test_a_quarter_of_the_explained_variance_comes_from_outside_the_seven(truth: pd.DataFrame) -> None:
    seven = np.column_stack([np.ones(len(truth)), truth[MIDLEVEL]])
    for emotion in EMOTIONS:
        oracle = truth[f"oracle_{emotion}"].to_numpy()
        residual = oracle - seven @ np.linalg.lstsq(seven, oracle, rcond=None)[0]
        assert residual.var() / oracle.var() == pytest.approx(0.25, abs=0.03), emotion


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_outside_share_is_a_parameter(truth: pd.DataFrame, share: float) -> None:
    oracle = compose.listener_model(truth, outside_share=share)
    seven = np.column_stack([np.ones(len(truth)), truth[MIDLEVEL]])
    residual = oracle - seven @ np.linalg.lstsq(seven, oracle, rcond=None)[0]
    np.testing.assert_allclose(residual.var() / oracle.var(), share, atol=0.03)
    with pytest.raises(ValueError, match="outside_share"):
        compose.listener_model(truth, outside_share=1.0)


@pytest.mark.parametrize(
    ("emotion", "cause", "sign"),
    [
        ("valence", "minorness", -1),
        ("valence", "dissonance", -1),
        ("happy", "minorness", -1),
        ("sad", "minorness", 1),
        ("happy", "articulation", 1),
        ("sad", "articulation", -1),
        ("tender", "articulation", -1),
        ("tension", "dissonance", 1),
        ("anger", "dissonance", 1),
        ("anger", "rhythmic_complexity", 1),
        ("happy", "tempo", 1),
        ("sad", "tempo", -1),
        ("tender", "tempo", -1),
        ("energy", "tempo", 1),
        ("anger", "loudness", 1),
        ("tender", "loudness", -1),
        ("sad", "loudness", -1),
        ("sad", "register", -1),
        ("anger", "brightness", 1),
        ("tender", "brightness", -1),
        ("fear", "rhythmic_stability", -1),
    ],
)
def test_weights_have_the_documented_signs(truth: pd.DataFrame, emotion: str, cause: str, sign: int) -> None:
    weights = compose.WEIGHTS.join(compose.OUTSIDE_WEIGHTS)
    assert np.sign(weights.loc[emotion, cause]) == sign
    assert np.sign(np.corrcoef(truth[cause], truth[f"oracle_{emotion}"])[0, 1]) == sign


def test_every_weight_stands_in_the_readme() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    table = {
        line.split("|")[1].strip(): [float(cell) for cell in line.split("|")[2:-1]]
        for line in text.splitlines()
        if line.startswith("| ") and line.split("|")[1].strip() in EMOTIONS
    }
    weights = compose.WEIGHTS.join(compose.OUTSIDE_WEIGHTS).assign(interaction=compose.INTERACTION)
    for emotion in EMOTIONS:
        assert table[emotion] == list(weights.loc[emotion])


def test_a_score_follows_from_its_row_and_holds_what_was_asked(truth: pd.DataFrame) -> None:
    plain = truth.iloc[0].copy()
    plain[MIDLEVEL] = 0.0
    plain["rhythmic_stability"] = plain["tonal_stability"] = plain["melodiousness"] = 1.0
    plain["style"] = "Chorale"
    assert compose.compose(plain) == compose.compose(plain)

    def with_value(quality: str, value: float) -> list[compose.Note]:
        changed = plain.copy()
        changed[quality] = value
        return compose.compose(changed)

    def pitch_classes(notes: list[compose.Note]) -> set[int]:
        return {note.pitch % 12 for note in notes if note.part == "chords"}

    assert len(pitch_classes(with_value("tonal_stability", 1.0))) <= 7
    assert len(pitch_classes(with_value("tonal_stability", 0.0))) > 7
    assert not any(note.part == "clash" for note in compose.compose(plain))
    assert any(note.part == "clash" for note in with_value("dissonance", 1.0))
    assert pitch_classes(with_value("minorness", 1.0)) != pitch_classes(compose.compose(plain))
    lengths = [np.median([note.end - note.start for note in with_value("articulation", value)]) for value in (0.0, 1.0)]
    assert lengths[0] > 4 * lengths[1]
    assert len(with_value("rhythmic_complexity", 1.0)) > 1.5 * len(compose.compose(plain))
