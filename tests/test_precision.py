"""The precision is chosen by measuring, and the same one every time."""

from __future__ import annotations

import pytest
import torch

from mer_lib import precision


@pytest.fixture(autouse=True)
def other_folder(monkeypatch, tmp_path):
    """Nothing measured here is kept."""
    monkeypatch.setenv("MER_DATA", str(tmp_path))


def test_what_is_asked_for_is_taken(monkeypatch):
    monkeypatch.setattr(precision, "bfloat16_speedup", lambda **_: 0.9)
    assert precision.resolve("float32") == "float32" and precision.resolve("bfloat16") == "bfloat16"
    with pytest.raises(ValueError, match="half"):
        precision.resolve("half")


@pytest.mark.parametrize(
    ("speedup", "chosen"), [(0.7, "float32"), (1.1, "float32"), (1.8, "bfloat16"), (6.0, "bfloat16")]
)
def test_auto_takes_bfloat16_where_it_pays(monkeypatch, tmp_path, speedup, chosen):
    monkeypatch.setenv("MER_DATA", str(tmp_path))
    monkeypatch.setattr(precision, "bfloat16_speedup", lambda **_: speedup)
    assert precision.resolve("auto") == chosen


def test_one_machine_makes_one_choice(monkeypatch, tmp_path):
    monkeypatch.setenv("MER_DATA", str(tmp_path))
    monkeypatch.setattr(precision, "bfloat16_speedup", lambda **_: 1.8)
    first = precision.resolve("auto")
    monkeypatch.setattr(precision, "bfloat16_speedup", lambda **_: 0.5)  # a busy moment
    assert precision.resolve("auto") == first == "bfloat16"


def test_bfloat16_where_it_is_slower_by_far_comes_with_a_warning_that_names_the_way_out(monkeypatch):
    monkeypatch.setattr(precision, "bfloat16_speedup", lambda **_: 0.022)
    with pytest.warns(UserWarning, match="45 times as long as float32 on this machine.*'auto'"):
        assert precision.resolve("bfloat16") == "bfloat16"
    assert precision.resolve("auto") == "float32"


def test_what_is_hopeless_is_not_measured_for_long(monkeypatch):
    clock, calls = iter(range(1000)), []
    monkeypatch.setattr(precision.time, "perf_counter", lambda: float(next(clock)))

    def slow() -> None:
        calls.append("slow")
        for _ in range(8):
            next(clock)

    assert precision.times_as_fast(lambda: calls.append("plain"), slow, 15) == pytest.approx(1 / 9)
    assert calls == ["plain", "slow"] * 4
    calls.clear()
    assert precision.times_as_fast(slow, lambda: calls.append("other"), 15) == 9 and len(calls) == 32


def test_the_speedup_sets_bfloat16_against_float32(monkeypatch):
    assert precision.bfloat16_speedup(rounds=3) > 0
    monkeypatch.setattr(precision, "times_as_fast", lambda plain, other, rounds: (plain, other))
    seen, ordinary = [], torch.autocast

    def watched(*how, enabled):
        seen.append(enabled)
        return ordinary(*how, enabled=enabled)

    plain, other = precision.bfloat16_speedup()
    monkeypatch.setattr(torch, "autocast", watched)
    plain(), other()
    assert seen == [False, True], "the plain way first: times_as_fast says how many times as fast the other is"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_named_with_the_way_out():
    assert precision.check_device("cpu") == "cpu"
    for device in ("cuda", "no such thing"):
        with pytest.raises(ValueError, match=f"device '{device}': torch .* say device 'cpu'"):
            precision.check_device(device)
        with pytest.raises(ValueError, match=f"device '{device}'"):
            precision.resolve("auto", device)
