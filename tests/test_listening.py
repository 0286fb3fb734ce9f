"""The player holds the very samples it was given, escapes what it shows, and counts a blind test exactly."""

import base64
import re

import numpy as np
import pytest

from mer_lib.audio import AudioError
from mer_lib.listening import (
    abx_p_value,
    abx_result,
    abx_test,
    decode_flac,
    flac_bytes,
    headroom_db,
    level_table,
    player,
)

RATE = 22050


@pytest.fixture
def music():
    rng = np.random.default_rng(3)
    return (0.4 * np.sin(np.arange(RATE) * 0.1) + 0.01 * rng.standard_normal(RATE)).astype(np.float32)


def test_flac_keeps_a_perturbation_far_below_sixteen_bits(music):
    attacked = music + np.float32(1e-5)
    difference = decode_flac(flac_bytes(attacked)) - decode_flac(flac_bytes(music))
    assert np.abs(difference - 1e-5).max() < 2.0**-23


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (np.full(10, 1.2), "beyond full scale"),
        (np.array([0.0, np.nan]), "NaN"),
        (np.zeros((2, 5)), r"\(samples, 2\)"),
        (np.zeros(0), r"\(samples, 2\)"),
    ],
)
def test_a_signal_that_would_be_changed_is_refused(signal, message):
    with pytest.raises(AudioError, match=message):
        flac_bytes(signal)


def test_the_page_holds_the_very_samples(music):
    signals = {"clean": music, "attacked": music * np.float32(0.5), "third": -music}
    page = player(signals, RATE, difference=("attacked", "clean")).data
    sounds = re.findall(r'src="data:audio/flac;base64,([^"]+)"', page)
    assert len(sounds) == 2, "two signals a file, and the difference is subtracted in the page"
    pair, third = (decode_flac(base64.b64decode(sound)) for sound in sounds)
    for stored, signal in zip((pair[:, 0], pair[:, 1], third), signals.values(), strict=True):
        np.testing.assert_array_equal(stored, decode_flac(flac_bytes(signal)))
        assert np.abs(stored - signal).max() <= 2.0**-24


def test_an_attacked_signal_costs_little_beside_the_clean_one():
    rng = np.random.default_rng(0)
    clean = rng.uniform(-0.5, 0.5, RATE)
    attacked = clean + 0.001 * rng.choice([-1, 1], RATE)
    alone, together = len(flac_bytes(clean)), len(flac_bytes(np.stack([clean, attacked], axis=1)))
    assert together < 1.75 * alone


def test_names_from_data_are_escaped(music):
    page = player({'<img src=x onerror="alert(1)">': music}, RATE, title="<script>alert(2)</script>").data
    assert "<img" not in page and "<script>alert" not in page
    assert "&lt;script&gt;alert(2)" in page


def test_the_page_asks_nothing_of_the_web(music):
    page = player({"clean": music}, RATE).data
    assert not re.search(r"""(src|href)=["'](?!data:)|https?://|@import""", page)


def test_a_gain_is_written_into_the_page_and_never_into_the_samples(music):
    page = player(
        {"clean": music, "attacked": music},
        RATE,
        difference=("attacked", "clean"),
        gains_db={"difference": 40, "clean": 3},
    ).data
    assert 'data-difference-gain="40"' in page and 'data-gain-0="3"' in page and "data-gain-1" not in page
    stored = decode_flac(base64.b64decode(re.search(r'base64,([^"]+)"', page).group(1)))
    np.testing.assert_array_equal(stored[:, 0], decode_flac(flac_bytes(music)))


def test_what_does_not_fit_together_is_refused(music):
    with pytest.raises(AudioError, match="one length"):
        player({"clean": music, "attacked": music[:-1]}, RATE)
    with pytest.raises(KeyError, match="no such signal: noise"):
        player({"clean": music}, RATE, gains_db={"noise": 3})
    with pytest.raises(KeyError, match="no such signal: attacked"):
        player({"clean": music}, RATE, difference=("attacked", "clean"))


def test_levels_are_those_of_the_samples(music):
    table = level_table({"clean": music, "attacked": music * 1.1, "full": np.ones(RATE)}, "clean")
    assert table.loc["clean", "peak (dBFS)"] == pytest.approx(20 * np.log10(np.abs(music).max()), abs=1e-6)
    assert table.loc["attacked", "SNR (dB)"] == pytest.approx(20.0, abs=0.01)
    assert table.loc["full", "samples at full scale"] == RATE and np.isnan(table.loc["clean", "SNR (dB)"])


def test_headroom_never_clips(music):
    assert np.abs(music).max() * 10 ** (headroom_db(music) / 20) <= 1.0
    assert headroom_db(np.array([0.00099])) == 60.0


@pytest.mark.parametrize(
    ("correct", "trials", "p"), [(0, 0, 1.0), (5, 10, 638 / 1024), (9, 10, 11 / 1024), (16, 16, 0.5**16)]
)
def test_abx_p_value_is_the_exact_binomial_tail(correct, trials, p):
    assert abx_p_value(correct, trials) == pytest.approx(p, rel=1e-12)


def test_an_impossible_abx_count_is_refused():
    with pytest.raises(ValueError, match="11 of 10"):
        abx_p_value(11, 10)


def test_a_downloaded_blind_test_is_counted_and_checked(tmp_path):
    lines = ["trial,clip,x,answer,correct", '1,"a ""b""",A,A,1', "2,c,B,A,0", "3,c,B,B,1"]
    path = tmp_path / "abx.csv"
    path.write_text("\n".join(lines))
    assert abx_result(path) == {"correct": 2, "trials": 3, "p_value": 0.5}
    path.write_text("\n".join([*lines, "4,c,B,A,1"]))
    with pytest.raises(ValueError, match="trials 4"):
        abx_result(path)
    path.write_text("trial,clip\n1,c")
    with pytest.raises(ValueError, match="x, answer, correct are missing"):
        abx_result(path)


def test_a_blind_test_needs_pairs_of_one_length(music):
    with pytest.raises(AudioError, match="clip 7"):
        abx_test({"clip 7": (music, music[:-1])}, RATE)
    with pytest.raises(ValueError, match="a clip and a trial"):
        abx_test({}, RATE)
    page = abx_test({"clip 7": (music, music)}, RATE, trials=5, title="<b>").data
    assert 'data-trials="5"' in page and "&lt;b&gt;" in page and page.count("data:audio/flac") == 1
