"""Convolutions that are trained in tiles are the same convolutions: outputs, gradients, and what is learned."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mer_lib import training, winograd_training
from mer_lib.models import build
from mer_lib.precision import kept_measurement
from mer_lib.runs import RunError, as_asked
from mer_lib.winograd import direct_only
from mer_lib.winograd_training import form_of_convolutions, tiled, training_form
from tests.small import drawn


def with_gradients(found: torch.Tensor, *leaves: torch.Tensor) -> list[torch.Tensor]:
    return [found, *torch.autograd.grad(found, leaves, drawn(3, *found.shape).to(found.dtype))]


@settings(max_examples=40, deadline=None)
@given(
    clips=st.integers(1, 9), inputs=st.integers(1, 9), outputs=st.integers(1, 9), height=st.integers(1, 25),
    width=st.integers(1, 25), bias=st.booleans(), channels_last=st.booleans(), at_once=st.sampled_from([1, 20, 256]),
)  # fmt: skip
def test_any_size_gives_the_direct_convolution_and_its_gradients(
    clips, inputs, outputs, height, width, bias, channels_last, at_once
):
    torch.manual_seed(0)
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
    x = drawn(clips * height, clips, inputs, height, width)
    x = (x.to(memory_format=torch.channels_last) if channels_last else x).requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd_training, "TILES_AT_ONCE", at_once)
        ours = with_gradients(tiled(convolution, x), x, *convolution.parameters())
    exact, sizes = (in_float64(convolution, x, change) for change in (torch.clone, torch.abs))
    for mine, truth, size in zip(ours, exact, sizes, strict=True):
        assert (mine - truth).abs().max() <= 1e-5 * size.max()


def in_float64(convolution: nn.Conv2d, x: torch.Tensor, change: Callable) -> list[torch.Tensor]:
    """A direct convolution and its gradients; of absolute values it is the size that roundings are measured by."""
    double = copy.deepcopy(convolution).double()
    for parameter in double.parameters():
        parameter.data = change(parameter.data)
    inputs = change(x.detach().double()).requires_grad_()
    found = double(inputs)
    passed = change(drawn(3, *found.shape).double())
    return [found.detach(), *torch.autograd.grad(found, (inputs, *double.parameters()), passed)]


def test_float32_is_as_exact_as_a_direct_convolution():
    convolution, x = nn.Conv2d(128, 192, 3, padding=1), drawn(5, 4, 128, 39, 18).relu().requires_grad_()
    ours = with_gradients(tiled(convolution, x), x, convolution.weight)
    truth = x.detach().double().requires_grad_()
    exactly = nn.Conv2d(128, 192, 3, padding=1).double()
    exactly.load_state_dict(convolution.state_dict())
    for mine, exact in zip(ours, with_gradients(exactly(truth), truth, exactly.weight), strict=True):
        assert ((mine.double() - exact).norm() / exact.norm()).item() < 5e-6


def test_a_network_learns_the_same_from_a_step_whatever_the_form(monkeypatch):
    monkeypatch.setattr(winograd_training, "FEWEST_CHANNELS", 8)
    monkeypatch.setattr(winograd_training, "FEWEST_NUMBERS", 0)
    used: list[nn.Module] = []
    ordinary = winograd_training.tiled
    monkeypatch.setattr(winograd_training, "tiled", lambda layer, x: used.append(layer) or ordinary(layer, x))
    found = {}
    for form in ("direct", "winograd", "exact"):
        torch.manual_seed(0)
        model = build("A2M2E", 0.125).to(memory_format=torch.channels_last).train()
        for layer in model.trunk:
            if isinstance(layer, nn.Dropout2d):  # draws otherwise in float64
                layer.p = 0.0
        x, answering = drawn(2, 4, 313, 149), training_form(model, "direct" if form == "exact" else form)
        if form == "exact":
            model.double()
            x = x.double()
        answer = answering(x)
        (answer.emotions.square().mean() + answer.midlevel.square().mean()).backward()
        weights = [parameter.grad for parameter in model.parameters() if parameter.ndim > 1]
        found[form] = [answer.emotions, *weights, *model.buffers()]
    assert len(used) == sum(isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) for layer in model.trunk) == 7
    # ReLU and pooling turn some roundings into other choices: 1 % of a gradient in either form
    for one, other, exact in zip(*(found[form] for form in ("winograd", "direct", "exact")), strict=True):
        allowed = 1.5 * (other.double() - exact).norm() + 1e-5 * exact.double().norm() + 1e-9
        assert (one.double() - exact).norm() <= allowed


def test_the_form_is_measured_once_and_only_for_float32(monkeypatch, tmp_path):
    monkeypatch.setattr("mer_lib.precision.written", lambda: tmp_path)
    measured: list[float] = []
    monkeypatch.setattr(winograd_training, "training_speedup", lambda: measured.append(1.7) or measured[-1])
    model = build("A2E", 0.0625)
    assert form_of_convolutions(model, "bfloat16") == "direct"
    with direct_only():
        assert form_of_convolutions(model, "float32") == "direct"
    assert not measured
    assert [form_of_convolutions(model, "float32") for _ in range(2)] == ["winograd"] * 2 and len(measured) == 1
    kept_measurement("winograd-training-speedup").write_text("1.05")
    assert form_of_convolutions(model, "float32") == "direct"
    assert training_form(model, "direct") is model


def test_a_trainer_computes_in_the_form_that_it_records(monkeypatch):
    monkeypatch.setattr(training, "form_of_convolutions", lambda model, precision: f"as measured for {precision}")
    monkeypatch.setattr(training, "training_form", lambda model, form: used.append(form) or model)
    used: list[str] = []
    prepared = SimpleNamespace(
        spectrograms=np.zeros((2, 313, 149), np.float32) + np.eye(313, 149, dtype=np.float32),
        emotions=np.full((2, 8), 0.5, np.float32),
        midlevel=np.full((2, 7), np.nan, np.float32),
    )
    rows = dict.fromkeys(("train", "valid", "test"), np.arange(2))
    trainer = training._Trainer("A2E", prepared, rows, 1, 0.0625, training.TrainingSettings())
    trainer.step(*trainer.train_data)
    assert used == [trainer.convolutions] == ["as measured for float32"]


def test_auto_takes_a_run_of_either_precision_and_nothing_else_differs_unseen():
    made = SimpleNamespace(folder="runs/x", info={"seed": 1, "settings": {"precision": "bfloat16", "epochs": 3}})
    asked = {"seed": 1, "settings": {"precision": "auto", "epochs": 3}}
    assert as_asked(made, asked) is made
    for identity in (
        asked | {"seed": 2},
        asked | {"settings": {"precision": "float32", "epochs": 3}},
        asked | {"settings": {"precision": "auto", "epochs": 4}},
    ):
        with pytest.raises(RunError, match="runs/x: holds a run made otherwise"):
            as_asked(made, identity)
