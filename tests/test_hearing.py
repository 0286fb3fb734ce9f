"""What is played is what the network is asked again, and a deviation from the log is said."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from mer_lib.bim import BIM
from mer_lib.dataset import MIDLEVEL
from mer_lib.evaluation import attack_inputs, attack_run
from mer_lib.explorer import BUDGETS, Explorer
from mer_lib.hearing import (
    attack_to_hear,
    before_and_after,
    examples_to_hear,
    find_examples,
    heard_again,
    hearing_gain_db,
    how_audible,
)
from mer_lib.metrics import snr_db
from mer_lib.training import TrainingSettings, train
from tests.small import small_prepared

EPSILON = (0.0003, 0.003)
BIM_WAVE = BIM(epsilon=0.001, steps=2, domain="waveform")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return small_prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module", params=["A2M2E", "A2B2E", "A2E"])
def run(request, prepared, tmp_path_factory):
    settings = TrainingSettings(epochs=1)
    folder = tmp_path_factory.mktemp("run") / request.param
    return train(request.param, prepared, folder, seed=1, width=0.0625, settings=settings, study="t", progress=False)


def test_kept_examples_get_the_logged_answers(run, prepared):
    attack_run(run, prepared, BIM_WAVE, "bim-wave", examples=1, progress=False)
    examples, said = examples_to_hear(run, prepared)
    assert [example.rendered for example in examples] == [False, True, True] and "kept" in said
    answer = heard_again(run, prepared, examples[0])
    assert "the same answers as logged" in answer.verdict
    assert list(answer.emotions.columns) == ["rated", "clean", "attacked"]
    system = run.model.system
    if not system.bottleneck:
        assert answer.midlevel is None
    elif system.midlevel_weight:
        assert list(answer.midlevel.index) == list(MIDLEVEL) and "rated" in answer.midlevel
    else:
        assert answer.midlevel.index[0] == "neuron 1" and "rated" not in answer.midlevel


def test_other_answers_than_the_logged_ones_are_said(run, prepared):
    attack_run(run, prepared, BIM_WAVE, "bim-changed", examples=1, progress=False)
    path = run.folder / "attacks" / "bim-changed" / "predictions.csv"
    table = pd.read_csv(path, dtype={"clip": str})
    table["attacked"] += 0.01
    table.to_csv(path, index=False)
    example = next(e for e in find_examples(run.folder) if e.attack == "bim-changed")
    assert "NOT THE LOGGED ANSWERS" in heard_again(run, prepared, example).verdict


def test_without_examples_test_clips_are_attacked_now(run, prepared, tmp_path):
    examples, said = examples_to_hear(replace(run, folder=tmp_path), prepared, clips=1)
    assert "attacked now" in said and [example.name for example in examples] == ["attacked", "rendered"]
    assert 0 < np.abs(examples[0].attacked - examples[0].clean).max() <= 0.001
    assert "no logged predictions" in heard_again(replace(run, folder=tmp_path), prepared, examples[0]).verdict


def test_a_rendering_is_said_to_be_one(run, prepared, tmp_path):
    from dataclasses import replace

    run = replace(run, folder=tmp_path)
    attack_run(run, prepared, BIM(epsilon=0.1, steps=2), "bim-spec", examples=1, progress=False)
    (kept,) = (example for example in find_examples(run.folder) if example.rendered)
    assert list(kept.signals) == ["clean", "rendered"]
    answer = heard_again(run, prepared, kept)
    assert "the same answers as logged" in answer.verdict
    assert list(answer.emotions.columns) == ["rated", "clean", "attacked", "rendered"]
    error = (answer.emotions["rendered"] - answer.emotions["attacked"]).abs().mean()
    assert 0 < error and f"reconstruction error {error:.3f}" in answer.rendering
    (made,) = attack_to_hear(replace(run, folder=tmp_path / "none"), prepared, BIM(epsilon=0.1, steps=2), 1, "now")
    np.testing.assert_allclose(made.attacked, kept.attacked, atol=2**-23)
    unlogged = heard_again(replace(run, folder=tmp_path / "none"), prepared, made)
    pd.testing.assert_frame_equal(unlogged.emotions, answer.emotions, atol=1e-4, check_dtype=False)


def test_examples_are_measured(run, prepared):
    bims = (BIM(epsilon=epsilon, steps=1, domain="waveform") for epsilon in EPSILON)
    quiet, loud = (attack_to_hear(run, prepared, bim, 1, f"{bim.epsilon}") for bim in bims)
    table = how_audible([*quiet, *loud])
    assert list(table.columns)[:4] == ["snr_db", "segmental_snr_db", "nmr_db", "heard_frames"]
    assert table["snr_db"].iloc[0] > table["snr_db"].iloc[1] and table["nmr_db"].iloc[0] < table["nmr_db"].iloc[1]


def test_the_gain_makes_a_quiet_difference_audible_and_never_clips():
    assert hearing_gain_db(np.full(10, 0.00099)) == 40.0
    assert hearing_gain_db(np.full(10, 0.5)) == 0.0


@pytest.mark.parametrize("domain", ["spectrogram", "waveform"])
def test_the_picture_of_an_attack_is_what_the_network_saw(run, prepared, domain):
    rows = prepared.split()["test"][:1]
    inputs = attack_inputs(run, prepared, domain, rows)
    result = BIM(epsilon=0.01, steps=1, domain=domain).attack(
        run.model, inputs, torch.from_numpy(prepared.emotions[rows])
    )
    pictures = before_and_after(run.model, inputs, result, domain)
    assert list(pictures) == ["clean", "attacked", "difference"] and pictures["clean"].shape == (313, 149)
    with torch.no_grad():
        seen = run.model(torch.from_numpy(pictures["attacked"])[None]).emotions
    np.testing.assert_allclose(seen, result.attacked, atol=1e-4)


def test_the_sliders_attack_the_chosen_clip_with_the_chosen_budget(run, prepared):
    name = run.info["system"]
    explorer = Explorer({name: run}, {name: prepared}, steps=1)
    assert bytes(explorer.emotions.value).startswith(b"\x89PNG") and explorer.bar.value == explorer.bar.max
    assert bool(len(explorer.midlevel.value)) == run.model.system.bottleneck
    for epsilon in BUDGETS["waveform, epsilon"][:2]:
        explorer.budget.value = epsilon
        change = np.abs(explorer.waveforms["attacked"] - explorer.waveforms["clean"]).max()
        assert 0.5 * epsilon < change <= epsilon
    explorer.kind.value = "waveform, SNR (dB)"
    for snr in (30, 20):
        explorer.budget.value = snr
        pair = (explorer.waveforms[side][None] for side in ("clean", "attacked"))
        assert snr_db(*pair)[0] == pytest.approx(snr, abs=1)
    explorer.kind.value = "spectrogram, epsilon"
    assert explorer.budget.value in BUDGETS["spectrogram, epsilon"]
    assert list(explorer.waveforms) == ["clean", "rendered"]
    picture = bytes(explorer.emotions.value)
    explorer.clip.index = 1
    assert bytes(explorer.emotions.value) != picture


def test_clips_whose_names_no_file_can_have_are_found_again(run, prepared, tmp_path):
    named = replace(prepared, table=prepared.table.assign(id=[f"song {i}.wav" for i in range(len(prepared))]))
    elsewhere = replace(run, folder=tmp_path)
    attack_run(elsewhere, named, BIM_WAVE, "bim-wave", examples=1, progress=False)
    example = examples_to_hear(elsewhere, named)[0][0]
    assert example.clip.startswith("song ") and example.clip.endswith(".wav")
    answer = heard_again(elsewhere, named, example)
    assert "the same answers as logged" in answer.verdict and "rated" in answer.emotions
