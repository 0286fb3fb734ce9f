"""What is written of an attack can be recomputed from what is on disk, and results of other weights are refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from mer_lib import metrics
from mer_lib.attacks import APGD
from mer_lib.audio import decode
from mer_lib.bim import BIM
from mer_lib.dataset import EMOTIONS
from mer_lib.evaluation import RESULTS, attack_run, finish_attacks
from mer_lib.losses import CorrelationLoss
from mer_lib.perceptibility import perceptibility
from mer_lib.places import run_folder
from mer_lib.preparation import load_prepared
from mer_lib.results import collect_results, predictions_of, sounds_of, write_results
from mer_lib.runs import RunError
from mer_lib.training import TrainingSettings, train
from tests.small import small_prepared

DESIGN_COLUMNS = (
    "study corpus split system seed width attack domain epsilon steps clips corr_clean mae_clean corr_attacked "
    "mae_attacked snr_db_median train_seconds attack_seconds"
).split()


@pytest.fixture
def attacked(tmp_path, monkeypatch):
    """A trained run of a bottleneck, attacked in both domains."""
    monkeypatch.setenv("MER_DATA", str(tmp_path))
    prepared = small_prepared(tmp_path / "prepared" / "noise")
    settings = TrainingSettings(epochs=1)
    run = train(
        "A2M2E",
        prepared,
        run_folder("s", "A2M2E", 6),
        seed=6,
        width=0.0625,
        settings=settings,
        study="s",
        progress=False,
    )
    attacks = {"spec": BIM(epsilon=0.1, steps=3), "wave": BIM(epsilon=1e-3, steps=2, domain="waveform")}
    rows = [attack_run(run, prepared, bim, name, progress=False) for name, bim in attacks.items()]
    finish_attacks(run, rows)
    return run, prepared, pd.concat(rows)


def test_results_have_the_columns_others_rely_on(attacked):
    assert set(DESIGN_COLUMNS) <= set(RESULTS)
    assert list(collect_results("s").columns) == list(RESULTS) and len(collect_results("s")) == 2


def test_the_row_follows_from_the_predictions_on_disk(attacked):
    run, prepared, rows = attacked
    for _, row in rows.iterrows():
        tidy = pd.read_csv(run.folder / "attacks" / row["attack"] / "predictions.csv", dtype={"clip": str})
        assert list(tidy.columns) == ["clip", "emotion", "rating", "clean", "attacked", "linf", "l2", "snr_db"]
        wide = {
            c: tidy.pivot(index="clip", columns="emotion", values=c)[list(EMOTIONS)]
            for c in ("rating", "clean", "attacked")
        }
        for when in ("clean", "attacked"):
            assert row[f"corr_{when}"] == pytest.approx(metrics.mean_correlation(wide["rating"], wide[when]), abs=1e-6)
            assert row[f"mae_{when}"] == pytest.approx(
                metrics.mean_absolute_error(wide["rating"], wide[when]), abs=1e-6
            )
        assert row["spread_clean"] == pytest.approx(wide["clean"].to_numpy().std(axis=0).mean(), abs=1e-6)
        assert (tidy["linf"] <= row["epsilon"]).all() and tidy["linf"].max() == row["linf_max"]
        assert tidy["snr_db"].between(0, 100).all(), "of the rendering, where spectrograms were attacked"
        assert row["snr_db_median"] == pytest.approx(tidy.groupby("clip")["snr_db"].first().median())


def test_examples_are_what_was_attacked(attacked):
    run, prepared, _ = attacked
    files = sorted((run.folder / "attacks" / "wave" / "examples").glob("*.flac"))
    assert len(files) == 4
    row = prepared.split()["test"][0]
    clip = prepared.table["id"][row]
    clean, heard = (
        decode(run.folder / "attacks" / "wave" / "examples" / f"{clip}-{k}.flac") for k in ("clean", "attacked")
    )
    np.testing.assert_allclose(clean, prepared.waveforms[row], atol=2**-23)
    assert np.abs(heard - clean).max() <= 1e-3 + 2**-22
    tidy = pd.read_csv(run.folder / "attacks" / "wave" / "predictions.csv", dtype={"clip": str})
    with torch.no_grad():
        again = run.model.from_waveform(torch.from_numpy(heard)[None]).emotions[0].numpy()
    np.testing.assert_allclose(again, tidy[tidy["clip"] == clip]["attacked"], atol=1e-3)


def test_an_attacked_spectrogram_is_kept_as_a_rendering_with_what_the_network_says_to_it(attacked):
    run, prepared, _ = attacked
    folder = run.folder / "attacks" / "spec"
    assert len(list((folder / "examples").glob("*-rendered.flac"))) == 2
    assert not list((folder / "examples").glob("*-attacked.flac")), "a rendering is not the attack"
    said = pd.read_csv(folder / "rendered.csv", dtype={"clip": str})
    tidy = pd.read_csv(folder / "predictions.csv", dtype={"clip": str})
    pd.testing.assert_frame_equal(
        said[["clip", "emotion", "clean", "attacked"]], tidy[["clip", "emotion", "clean", "attacked"]]
    )
    row = prepared.split()["test"][0]
    clip = prepared.table["id"][row]
    heard = decode(folder / "examples" / f"{clip}-rendered.flac")
    with torch.no_grad():
        again = run.model.from_waveform(torch.from_numpy(heard)[None]).emotions[0].numpy()
    np.testing.assert_allclose(again, said[said["clip"] == clip]["rendered"], atol=1e-3)
    snr = metrics.snr_db(prepared.waveforms[[row]], heard[None])[0]
    assert tidy.loc[tidy["clip"] == clip, "snr_db"].iloc[0] == pytest.approx(snr, abs=0.05)


def test_how_audible_every_clip_is_follows_from_its_sound(attacked):
    run, prepared, rows = attacked
    sounds = sounds_of("s")
    assert len(sounds) == 4 and set(sounds["attack"]) == {"spec", "wave"}
    assert set(sounds["domain"]) == set(rows["domain"])
    heard = decode(run.folder / "attacks" / "wave" / "examples" / f"{sounds['clip'].iloc[-1]}-attacked.flac")
    index = prepared.table["id"].tolist().index(sounds["clip"].iloc[-1])
    expected = perceptibility(prepared.waveforms[[index]], heard[None]).iloc[0]
    for name, value in expected.items():
        assert sounds[name].iloc[-1] == pytest.approx(value, abs=0.02), name
    wave = rows[rows["attack"] == "wave"].iloc[0]
    rise = sounds.loc[sounds["attack"] == "wave", "mae_change"].mean()
    assert rise == pytest.approx(wave["mae_attacked"] - wave["mae_clean"], abs=1e-6)
    # An attacked spectrogram is heard as its rendering, and so is its rise
    said, tidy = (
        pd.read_csv(run.folder / "attacks" / "spec" / name, dtype={"clip": str})
        for name in ("rendered.csv", "predictions.csv")
    )
    errors = {name: (said[name] - tidy["rating"]).abs() for name in ("rendered", "clean")}
    rises = (errors["rendered"] - errors["clean"]).groupby(said["clip"]).mean()
    spec = sounds[sounds["attack"] == "spec"].set_index("clip")["mae_change"]
    np.testing.assert_allclose(spec, rises[spec.index], atol=1e-6)


def test_attacks_that_were_not_measured_as_sound_are_left_out(attacked):
    run, _, _ = attacked
    (run.folder / "attacks" / "spec" / "sound.csv").unlink()
    assert set(sounds_of("s")["attack"]) == {"wave"}
    (run.folder / "attacks" / "wave" / "sound.csv").unlink()
    assert len(sounds_of("s")) == 0


def test_an_attack_may_be_asked_for_an_snr(attacked):
    run, prepared, _ = attacked
    bim = BIM(snr_db=30, norm="2", steps=2, domain="waveform")
    row = attack_run(run, prepared, bim, "wave-30db", progress=False).iloc[0]
    assert row["snr_db_median"] == pytest.approx(30, abs=0.5) and row["snr_db_median"] >= 30 - 1e-4
    assert pd.isna(row["epsilon"])


def test_the_bottlenecks_values_are_kept(attacked):
    run, _, _ = attacked
    midlevel = pd.read_csv(run.folder / "attacks" / "spec" / "midlevel.csv")
    assert len(midlevel) == 2 * 7 and (midlevel["clean"] != midlevel["attacked"]).all()


def test_a_finished_attack_is_read_and_not_repeated(attacked, monkeypatch):
    run, prepared, rows = attacked
    monkeypatch.setattr(BIM, "attack", lambda *a, **k: pytest.fail("attacked again"))
    again = attack_run(run, prepared, BIM(epsilon=0.1, steps=3), "spec", progress=False)
    pd.testing.assert_frame_equal(again, rows.iloc[[0]], check_dtype=False)


def test_attacks_of_one_budget_and_different_methods_are_told_apart(attacked):
    run, prepared, rows = attacked
    row = attack_run(run, prepared, APGD(epsilon=0.1, steps=3), "spec", progress=False).iloc[0]
    assert (row["method"], set(rows["method"])) == ("APGD", {"BIM"})
    assert row["mae_attacked"] != rows.iloc[0]["mae_attacked"], "it was made anew"


def test_an_attack_made_otherwise_leaves_nothing_of_the_former(attacked, monkeypatch):
    run, prepared, _ = attacked
    sounds = run.folder / "attacks" / "spec" / "examples"
    assert list(sounds.glob("*.flac"))

    def cut(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(BIM, "attack", cut)
    with pytest.raises(KeyboardInterrupt):
        attack_run(run, prepared, BIM(epsilon=0.2, steps=3), "spec", progress=False)
    assert not sounds.exists()
    with pytest.raises(RunError, match="no attacked runs"):
        write_results("s")  # attacks.csv would still speak of the former attack


def test_losses_of_one_kind_are_told_apart(attacked):
    run, prepared, _ = attacked
    ratings = torch.from_numpy(prepared.emotions)
    losses = [CorrelationLoss.of(ratings), CorrelationLoss.of(ratings.flip(0) ** 2)]
    losses += [lambda output, _: output.emotions[:, 0], lambda output, _: -output.emotions[:, 0]]
    rows = [attack_run(run, prepared, BIM(epsilon=0.1, steps=1, loss=loss), "l", progress=False) for loss in losses]
    assert len({row["mae_attacked"].item() for row in rows}) == 4


def test_a_run_is_attacked_on_the_excerpts_it_was_trained_on(attacked):
    run, prepared, _ = attacked
    info = json.loads((prepared.folder / "info.json").read_text())
    (prepared.folder / "info.json").write_text(json.dumps({**info, "seed": 43}))
    other = load_prepared(prepared.folder)
    with pytest.raises(RunError, match=r"\(excerpt_seed 42\), not on .* \(43\)"):
        attack_run(run, other, BIM(epsilon=0.1, steps=1), "spec", progress=False)
    with pytest.raises(RunError, match="excerpt_seed"):
        train("A2M2E", other, run.folder, seed=6, width=0.0625, settings=TrainingSettings(epochs=1), study="s")


def test_attacks_from_before_there_were_methods_are_bim(attacked):
    run, _, rows = attacked
    table = pd.read_csv(run.folder / "attacks.csv").drop(columns="method")
    table.to_csv(run.folder / "attacks.csv", index=False)
    assert list(collect_results("s")["method"]) == ["BIM", "BIM"]


def test_results_of_other_weights_are_refused(attacked):
    run, _, _ = attacked
    table = pd.read_csv(run.folder / "attacks.csv")
    table.assign(weights_sha256="0" * 64).to_csv(run.folder / "attacks.csv", index=False)
    with pytest.raises(RunError, match="other weights"):
        write_results("s")


def test_a_run_is_attacked_on_its_own_corpus_alone(attacked):
    run, prepared, _ = attacked
    info = json.loads((prepared.folder / "info.json").read_text())
    (prepared.folder / "info.json").write_text(json.dumps({**info, "fingerprint": "another"}))
    with pytest.raises(RunError, match="trained on"):
        attack_run(run, load_prepared(prepared.folder), BIM(epsilon=0.1, steps=1), "spec", progress=False)


def test_whole_groups_are_tested_in_the_grouped_split_and_known(attacked):
    _, prepared, _ = attacked
    made = {"seed": 6, "width": 0.0625, "settings": TrainingSettings(epochs=1), "study": "g", "progress": False}
    run = train("A2E", prepared, run_folder("g", "A2E", 6), split_protocol="grouped", **made)
    finish_attacks(run, [attack_run(run, prepared, BIM(epsilon=0.1, steps=1), "spec", progress=False)])
    known = predictions_of("g").drop_duplicates("clip").set_index("clip")["group"]
    names = prepared.table.set_index("id")["group"].loc[known.index]
    assert known.groupby(names).nunique().eq(1).all() and known.nunique() == names.nunique()


def test_predictions_of_a_study_are_tidy(attacked):
    tidy = predictions_of("s")
    assert len(tidy) == 2 * 2 * 8 and set(tidy["attack"]) == {"spec", "wave"}


def test_sounds_of_an_interrupted_attack_do_not_pass_for_the_next_ones(attacked):
    run, prepared, _ = attacked
    attack_run(run, prepared, BIM(epsilon=0.5, steps=1, domain="waveform"), "x", examples=2, progress=False)
    (run.folder / "attacks" / "x" / "metrics.json").unlink()
    attack_run(run, prepared, BIM(epsilon=1e-3, steps=1, domain="waveform"), "x", examples=1, progress=False)
    assert len(list((run.folder / "attacks" / "x" / "examples").glob("*-attacked.flac"))) == 1
