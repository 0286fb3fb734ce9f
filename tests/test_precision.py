"""The precision is chosen by measuring, and the same one every time."""

from __future__ import annotations

import pytest
import torch

from mer_lib import precision


def test_what_is_asked_for_is_taken():
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


def test_the_speedup_is_a_ratio_of_times():
    assert precision.bfloat16_speedup(rounds=3) > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_named_with_the_way_out():
    assert precision.check_device("cpu") == "cpu"
    for device in ("cuda", "no such thing"):
        with pytest.raises(ValueError, match=f"device '{device}': torch .* say device 'cpu'"):
            precision.check_device(device)
        with pytest.raises(ValueError, match=f"device '{device}'"):
            precision.resolve("auto", device)
