"""Corpora are read as they are downloaded, everything wrong is named at once, and the splits are what they say."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer_lib.dataset import EMOTIONS, MIDLEVEL, CorpusError, load_corpus, split
from tests.small import CLIPS, write_corpus, write_midlevel

# The 36 test clips of all 50 published runs start and end so (the authors' logs, in their order)
PUBLISHED_TEST_START = [146, 310, 335]


@pytest.fixture
def downloaded(tmp_path, monkeypatch) -> Path:
    """A data folder with a small corpus in the layout of Soundtracks."""
    monkeypatch.delenv("MER_SOUNDTRACKS", raising=False)
    write_corpus(tmp_path / "data" / "soundtracks")
    return tmp_path / "data"


def test_the_layout_of_soundtracks_is_read_with_its_byte_order_mark(downloaded):
    corpus = load_corpus("soundtracks", downloaded)
    assert len(corpus) == CLIPS and list(corpus.table.columns) == ["id", "path", "group", *EMOTIONS, *MIDLEVEL]
    assert corpus.table["id"].tolist() == [f"{i:03d}" for i in range(1, CLIPS + 1)]
    ratings = pd.read_csv(downloaded / "soundtracks" / "mean_ratings_set1.csv", encoding="utf-8-sig")
    np.testing.assert_allclose(corpus.table[list(EMOTIONS)], ratings[list(EMOTIONS)] / 10)
    assert corpus.table["group"].iloc[0] == "album 0"
    assert corpus.midlevel_kind == "none" and corpus.table[list(MIDLEVEL)].isna().all(axis=None)


def test_midlevel_tables_are_joined_by_number(downloaded):
    folder = downloaded / "midlevel" / "metadata_annotations"
    values = write_midlevel(folder)
    for seed, (name, separator) in enumerate({"metadata.csv": ";", "annotations.csv": ","}.items()):
        table = pd.read_csv(folder / name, sep=separator)  # in no order, each in its own
        table.sample(frac=1, random_state=seed).to_csv(folder / name, sep=separator, index=False)
    corpus = load_corpus("soundtracks", downloaded)
    assert corpus.midlevel_kind == "annotated"
    np.testing.assert_allclose(corpus.table["dissonance"], values["dissonance"] / 10)


def test_midlevel_columns_are_found_in_any_order_and_other_sources_are_left_out(downloaded):
    folder = downloaded / "midlevel" / "metadata_annotations"
    values = write_midlevel(folder, clips=CLIPS + 3, columns=MIDLEVEL[::-1])
    metadata = pd.read_csv(folder / "metadata.csv", sep=";")
    metadata.loc[CLIPS:, "Source"] = "jamendo"
    metadata.loc[CLIPS:, "ID at file source"] = [1, 2, 3]  # numbers of another source
    metadata.to_csv(folder / "metadata.csv", sep=";", index=False)
    corpus = load_corpus("soundtracks", downloaded)
    np.testing.assert_allclose(corpus.table["minorness"], values["minorness"][:CLIPS] / 10)


def test_the_direction_of_the_sixth_quality_is_taken_from_the_data(downloaded):
    folder = downloaded / "midlevel" / "metadata_annotations"
    columns = (*MIDLEVEL[:5], "atonality", "mode")
    values = write_midlevel(folder, columns=columns)
    values["atonality"] = values["dissonance"]
    values.to_csv(folder / "annotations.csv", index=False)
    corpus = load_corpus("soundtracks", downloaded)
    assert corpus.table["tonal_stability"].corr(corpus.table["dissonance"]) == pytest.approx(-1)
    assert corpus.table["tonal_stability"].between(0.1, 1).all()
    assert any("turned round" in note for note in corpus.notes)


def test_everything_wrong_is_named_at_once(downloaded):
    folder = downloaded / "soundtracks"
    ratings = pd.read_csv(folder / "mean_ratings_set1.csv", encoding="utf-8-sig", dtype=str)
    ratings.loc[0, "happy"] = "9.5"
    ratings.loc[1, "sad"] = "3,5"
    ratings.loc[2, "number"] = "004"
    ratings.loc[4, "fear"] = "loud"
    ratings.to_csv(folder / "mean_ratings_set1.csv", index=False)
    (folder / "Set1" / "007.wav").unlink()
    tracks = pd.read_csv(folder / "set1_tracklist.csv", dtype=str)
    tracks[tracks["Nro"] != "009"].to_csv(folder / "set1_tracklist.csv", index=False)
    with pytest.raises(CorpusError) as caught:
        load_corpus("soundtracks", downloaded)
    for culprit in ("happy", "9.5", "sad", "3,5", "004", "loud", "without audio: 007", "no album", "009"):
        assert culprit in str(caught.value)


def test_missing_columns_and_files_are_named(downloaded):
    folder = downloaded / "soundtracks"
    pd.read_csv(folder / "mean_ratings_set1.csv", encoding="utf-8-sig").drop(columns=["sad", "fear"]).to_csv(
        folder / "mean_ratings_set1.csv", index=False, sep=";"
    )
    (folder / "set1_tracklist.csv").unlink()
    with pytest.raises(CorpusError, match=r"(?s)no column.*set1_tracklist\.csv is missing"):
        load_corpus("soundtracks", downloaded)


def test_unrated_cells_become_nan_with_a_note(downloaded):
    path = downloaded / "soundtracks" / "mean_ratings_set1.csv"
    ratings = pd.read_csv(path, encoding="utf-8-sig", dtype=str)
    ratings.loc[3, "anger"] = ""
    ratings.to_csv(path, index=False)
    corpus = load_corpus("soundtracks", downloaded)
    assert np.isnan(corpus.table["anger"][3]) and any("anger" in note and "004" in note for note in corpus.notes)


def test_audio_without_ratings_is_a_note(downloaded):
    folder = downloaded / "soundtracks" / "Set1"
    (folder / "500.wav").write_bytes((folder / "001.wav").read_bytes())
    assert any("500" in note for note in load_corpus("soundtracks", downloaded).notes)


def test_an_own_folder_needs_a_csv_with_files_and_some_emotions(tmp_path):
    folder = write_corpus(tmp_path / "mine")
    for name in ("mean_ratings_set1.csv", "set1_tracklist.csv"):
        (folder / name).unlink()
    files = [f"Set1/{i:03d}.wav" for i in range(1, CLIPS + 1)]
    pd.DataFrame({"file": files, "valence": 5, "group": "a"}).to_csv(folder / "ratings.csv", index=False)
    with pytest.raises(CorpusError, match=r"outside 0\.\.1"):
        load_corpus(folder)
    (folder / "corpus.yaml").write_text("scale: [1, 9]\n")
    corpus = load_corpus(folder)
    assert (corpus.table["valence"] == 0.5).all() and corpus.table["tender"].isna().all()
    ratings = pd.DataFrame({"file": files, "valence": [1, 9, 3] + [5] * (CLIPS - 3), "group": "a"})
    ratings.to_csv(folder / "ratings.csv", index=False)
    assert load_corpus(folder).table["valence"].tolist()[:4] == [0, 1, 0.25, 0.5]
    pd.DataFrame({"file": ["../../secret.wav", "Set1/999.wav"], "valence": 5}).to_csv(
        folder / "ratings.csv", index=False
    )
    with pytest.raises(CorpusError, match=r"(?s)outside the corpus folder.*secret.*without audio.*999"):
        load_corpus(folder)


def test_an_unknown_corpus_says_what_there_is(tmp_path):
    with pytest.raises(CorpusError, match="etudes"):
        load_corpus(tmp_path / "nowhere")


def test_the_fingerprint_follows_content_and_not_place(downloaded, tmp_path):
    first = load_corpus("soundtracks", downloaded).fingerprint
    (tmp_path / "elsewhere").mkdir()
    os.rename(downloaded / "soundtracks", tmp_path / "elsewhere" / "soundtracks")
    second = load_corpus("soundtracks", tmp_path / "elsewhere")
    assert second.fingerprint == first
    path = Path(second.table["path"][0])
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert load_corpus("soundtracks", tmp_path / "elsewhere").fingerprint != first


def test_the_published_split_is_exactly_this():
    parts = split(360)
    assert [len(parts[p]) for p in ("train", "valid", "test")] == [288, 36, 36]
    assert (parts["test"][:3] + 1).tolist() == PUBLISHED_TEST_START
    assert sorted(np.concatenate(list(parts.values()))) == list(range(360))


@given(st.integers(10, 2000), st.integers(0, 10**6))
def test_the_published_split_uses_every_clip_once_for_any_size(n, seed):
    parts = split(n, seed=seed)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(n))
    assert len(parts["train"]) == int(0.8 * n) and len(parts["test"]) == int(0.5 * (n - int(0.8 * n)))


@given(st.lists(st.integers(0, 20), min_size=30, max_size=200).filter(lambda g: len(set(g)) >= 3), st.integers(0, 1000))
def test_a_grouped_split_never_parts_a_group(groups, seed):
    table = pd.DataFrame({"group": [str(g) for g in groups]})
    parts = split(table, "grouped", seed)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(groups)))
    owners = [set(table["group"].iloc[rows]) for rows in parts.values()]
    assert all(owners) and not (owners[0] & owners[1] or owners[0] & owners[2] or owners[1] & owners[2])


def test_a_grouped_split_of_the_etudes_has_the_wanted_sizes():
    parts = split(load_corpus("etudes"), "grouped")
    assert len(parts["train"]) == pytest.approx(288, abs=15) and len(parts["test"]) == pytest.approx(36, abs=12)


@pytest.mark.parametrize(
    ("sizes", "least"), [((40, 5, 5), 0.75), ((100, 10, 10, 10), 0.75), ((60, 20, 10, 10), 0.65), ((50, 50, 1), 0.45)]
)
@pytest.mark.parametrize("seed", range(6))
def test_large_albums_train(sizes, least, seed):
    """Whatever their names: the order in which groups are dealt out follows these."""
    for shift in range(len(sizes)):
        names = np.roll([f"album {i}" for i in range(len(sizes))], shift)
        table = pd.DataFrame({"group": np.repeat(names, sizes)})
        parts = split(table, "grouped", seed)
        assert len(parts["train"]) >= least * len(table) and all(len(rows) for rows in parts.values())


@pytest.mark.parametrize("arguments", [(360, "random"), (5, "published"), (360, "grouped")])
def test_impossible_splits_are_refused(arguments):
    with pytest.raises(ValueError, match=r"protocol|too few|needs the corpus"):
        split(*arguments)


@pytest.mark.skipif("MER_SOUNDTRACKS" not in os.environ, reason="MER_SOUNDTRACKS does not point at the Soundtracks set")
def test_the_real_soundtracks_are_what_the_paper_describes():
    corpus = load_corpus("soundtracks")
    assert len(corpus) == 360 and corpus.table["group"].nunique() == 46
    parts = split(corpus)
    albums = corpus.table["group"].to_numpy()
    assert set(albums[parts["test"]]) <= set(albums[parts["train"]])  # every test clip shares its album with training
    assert corpus.table.loc[0, "valence"] == pytest.approx(0.483)
