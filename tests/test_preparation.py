"""Preparation decodes, checks everything before it writes, and does the same thing twice."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch

from mer_lib.audio import EXCERPT_SAMPLES, SAMPLE_RATE
from mer_lib.dataset import EMOTIONS, CorpusError, load_corpus
from mer_lib.preparation import load_prepared, prepare, prepared_name
from mer_lib.spectrogram import LogSpectrogram
from tests.small import CLIPS, tone, write_corpus, write_midlevel


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.delenv("MER_SOUNDTRACKS", raising=False)
    write_corpus(tmp_path / "data" / "soundtracks", seconds=11.0)
    write_midlevel(tmp_path / "data" / "midlevel" / "metadata_annotations")
    return load_corpus("soundtracks", tmp_path / "data")


def test_arrays_have_the_published_shapes_and_are_peak_normalised(corpus, tmp_path):
    prepared = prepare(corpus, tmp_path / "out", workers=1, progress=False)
    assert prepared.waveforms.shape == (CLIPS, EXCERPT_SAMPLES) and prepared.spectrograms.shape == (CLIPS, 313, 149)
    np.testing.assert_allclose(np.abs(prepared.waveforms).max(axis=1), 1, atol=1e-3)
    assert prepared.table["start_seconds"].between(0, 1).all() and prepared.table["start_seconds"].nunique() > 1
    np.testing.assert_allclose(prepared.emotions, corpus.table[list(EMOTIONS)], atol=1e-6)
    assert isinstance(prepared.waveforms, np.memmap)


def test_twice_is_the_same_and_with_any_number_of_workers(corpus, tmp_path):
    one = prepare(corpus, tmp_path / "one", workers=1, progress=False)
    two = prepare(corpus, tmp_path / "two", workers=2, progress=False)
    assert np.array_equal(one.waveforms, two.waveforms) and np.array_equal(one.spectrograms, two.spectrograms)
    assert {k: v for k, v in one.info.items() if k != "notes"} == {k: v for k, v in two.info.items() if k != "notes"}
    other = prepare(corpus, tmp_path / "three", seed=43, workers=1, progress=False)
    assert not np.array_equal(one.waveforms, other.waveforms)


def test_every_unusable_file_is_named_and_nothing_is_written(corpus, tmp_path):
    folder = tmp_path / "data" / "soundtracks" / "Set1"
    (folder / "003.wav").write_bytes(b"no audio")
    soundfile.write(folder / "005.wav", np.zeros(SAMPLE_RATE * 11), SAMPLE_RATE)
    soundfile.write(folder / "009.wav", np.full(100, np.nan), SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(CorpusError, match=r"(?s)3 unusable.*003\.wav.*005\.wav.*silent.*009\.wav.*NaN"):
        prepare(corpus, tmp_path / "out", workers=1, progress=False)
    assert not (tmp_path / "out").exists()


def test_short_clips_are_padded_with_a_note(corpus, tmp_path):
    soundfile.write(tmp_path / "data" / "soundtracks" / "Set1" / "004.wav", tone(seconds=6), SAMPLE_RATE)
    prepared = prepare(corpus, tmp_path / "out", workers=1, progress=False)
    assert (prepared.waveforms[3][6 * SAMPLE_RATE :] == 0).all() and np.abs(prepared.waveforms[3]).max() > 0.99
    assert any("004 (6.00 s)" in note for note in prepared.info["notes"])


def test_a_finished_folder_is_returned_and_another_way_of_making_it_refused(corpus, tmp_path):
    prepare(corpus, tmp_path / "out", workers=1, progress=False)
    stamp = (tmp_path / "out" / "waveforms.npy").stat().st_mtime_ns
    prepare(corpus, tmp_path / "out", workers=1, progress=False)
    assert (tmp_path / "out" / "waveforms.npy").stat().st_mtime_ns == stamp
    with pytest.raises(ValueError, match="differently .seed"):
        prepare(corpus, tmp_path / "out", seed=1, workers=1, progress=False)


def test_an_unfinished_folder_is_not_taken_for_done(corpus, tmp_path):
    prepare(corpus, tmp_path / "out", workers=1, progress=False)
    (tmp_path / "out" / "info.json").unlink()
    with pytest.raises(FileNotFoundError, match="01_prepare_data"):
        load_prepared(tmp_path / "out")
    assert len(prepare(corpus, tmp_path / "out", workers=1, progress=False)) == CLIPS


def test_a_part_of_the_corpus_is_evenly_spaced(corpus, tmp_path):
    prepared = prepare(corpus, tmp_path / "out", clips=10, workers=1, progress=False)
    assert prepared.table["id"].iloc[[0, -1]].tolist() == ["001", f"{CLIPS:03d}"] and len(prepared) == 10
    with pytest.raises(ValueError, match="between 10 and"):
        prepare(corpus, tmp_path / "other", clips=500, workers=1, progress=False)


@pytest.mark.parametrize("kind", ["tilt", "hum"])
def test_the_shortcut_is_in_training_and_validation_clips_alone(corpus, tmp_path, kind):
    plain = prepare(corpus, tmp_path / "plain", workers=1, progress=False)
    cued = prepare(corpus, tmp_path / kind, shortcut=0.5, shortcut_kind=kind, workers=1, progress=False)
    parts = cued.split()
    changed = np.abs(cued.waveforms - plain.waveforms).max(axis=1) > 1e-4
    assert changed[parts["train"]].all() and changed[parts["valid"]].all() and not changed[parts["test"]].any()
    assert np.abs(cued.waveforms).max() <= 1
    absent, present, reverse = (cued.test_variant(v) for v in ("absent", "present", "reversed"))
    assert np.array_equal(absent, plain.waveforms[parts["test"]])
    assert np.abs(present - absent).max() > 1e-4 and np.abs(present - reverse).max() > 1e-4
    assert json.loads((tmp_path / kind / "info.json").read_text())["shortcut"]["kind"] == kind
    rows = [parts["train"][0], parts["test"][0]]
    seen = LogSpectrogram()(torch.from_numpy(np.array(cued.waveforms[rows]))).numpy()
    np.testing.assert_allclose(cued.spectrograms[rows], seen, atol=1e-5, err_msg="networks see what is heard")


def test_names_of_prepared_folders():
    assert prepared_name("etudes") == "etudes"
    assert prepared_name("etudes", clips=60) == "etudes-60clips"
    assert prepared_name("soundtracks", midlevel="computed") == "soundtracks-computed"
    assert prepared_name("/some/where/mine", shortcut=0.5) == "mine-shortcut0.5-published"
