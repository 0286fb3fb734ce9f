"""Convolutions with less arithmetic are the same convolutions, and attacks find the same with them."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mer_lib import winograd
from mer_lib.bim import BIM
from mer_lib.models import Network, build, folded
from mer_lib.precision import kept_measurement
from mer_lib.winograd import FromOneChannel, Winograd, direct_only, surrogate, transforms
from tests.small import drawn


def layer(inputs: int, outputs: int, bias: bool = True, **keywords: int) -> nn.Conv2d:
    """A frozen convolution with drawn weights."""
    kernel = keywords.pop("kernel", 3)
    convolution = nn.Conv2d(inputs, outputs, kernel, bias=bias, **{"padding": kernel // 2, **keywords})
    convolution.requires_grad_(False)
    convolution.weight.copy_(drawn(1, outputs, inputs, kernel, kernel) / (kernel * inputs**0.5))
    if bias:
        convolution.bias.copy_(drawn(2, outputs))
    return convolution


def with_gradient(module: nn.Module, x: torch.Tensor, seed: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = x.clone().requires_grad_()
    found = module(leaf)
    (gradient,) = torch.autograd.grad(found, leaf, drawn(seed, *found.shape).to(found.dtype))
    return found.detach(), gradient


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """Relative distance."""
    return ((one.double() - other.double()).norm() / other.double().norm()).item()


@given(st.integers(0, 10_000))
def test_six_values_and_a_kernel_of_three_give_four_correlations(seed):
    inputs, kernels, outputs = transforms()
    signal, kernel = drawn(seed, 6).double(), drawn(seed + 1, 3).double()
    expected = torch.stack([signal[i : i + 3] @ kernel for i in range(4)])
    torch.testing.assert_close(outputs @ ((kernels @ kernel) * (inputs @ signal)), expected)


@settings(max_examples=25, deadline=None)
@given(
    clips=st.integers(1, 3), inputs=st.integers(1, 9), outputs=st.integers(1, 9), height=st.integers(1, 13),
    width=st.integers(1, 13), bias=st.booleans(), channels_last=st.booleans(),
)  # fmt: skip
def test_any_size_gives_the_direct_convolution_and_its_input_gradient(
    clips, inputs, outputs, height, width, bias, channels_last
):
    convolution, x = layer(inputs, outputs, bias), drawn(clips * height, clips, inputs, height, width)
    x = x.to(memory_format=torch.channels_last) if channels_last else x
    for ours, direct in zip(with_gradient(Winograd(convolution), x), with_gradient(convolution, x), strict=True):
        torch.testing.assert_close(ours, direct, rtol=1e-4, atol=2e-5)


def test_float32_is_as_exact_as_a_direct_convolution_and_bfloat16_a_little_less():
    convolution, x = layer(256, 256, bias=False), drawn(5, 2, 256, 39, 18).relu()
    exact = with_gradient(layer(256, 256, bias=False).double(), x.double())
    ours, direct = with_gradient(Winograd(convolution), x), with_gradient(convolution, x)
    for mine, theirs, truth in zip(ours, direct, exact, strict=True):
        assert apart(mine, truth) < 3e-6 and apart(theirs, truth) < 3e-6
    with torch.autocast("cpu", torch.bfloat16):
        ours, direct = with_gradient(Winograd(convolution), x), with_gradient(convolution, x)
    for mine, theirs, truth in zip(ours, direct, exact, strict=True):
        assert 1e-3 < apart(theirs, truth) < apart(mine, truth) < 0.03
    assert ours[0].dtype == torch.bfloat16 and ours[1].dtype == torch.float32


def test_clips_do_not_change_each_other():
    module, x = Winograd(layer(16, 8)), drawn(6, 30, 16, 17, 18)  # more tiles than are taken at once
    alone = torch.cat([module(clip[None]) for clip in x])
    torch.testing.assert_close(module(x), alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(313, 149), (20, 21)])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_first_convolutions_gradient_is_the_same_sum(size, bfloat16):
    convolution, x = layer(1, 12, kernel=5, stride=2), drawn(7, 2, 1, *size)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        (said, slope), (direct, expected) = with_gradient(FromOneChannel(convolution), x), with_gradient(convolution, x)
    assert torch.equal(said, direct)
    assert apart(slope, expected) < (0.01 if bfloat16 else 1e-6)


@pytest.mark.parametrize(
    "other", [{"stride": 2}, {"kernel": 5}, {"padding": 0}, {"dilation": 2, "padding": 2}, {"groups": 2}]
)
def test_other_convolutions_are_refused(other):
    convolution = nn.Conv2d(4, 4, other.pop("kernel", 3), **{"padding": 1, **other})
    with pytest.raises(ValueError, match="not 3 by 3"):
        Winograd(convolution)


def test_second_derivatives_are_refused_rather_than_wrong():
    x = drawn(8, 1, 4, 6, 6).requires_grad_()
    found = Winograd(layer(4, 4))(x)
    (slope,) = torch.autograd.grad(found.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.square().sum().backward()


@pytest.fixture(scope="module")
def network() -> Network:
    """Width .5: three of its convolutions are wide enough."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build("A2M2E", 0.5, mean=0.1, std=0.2)
        with torch.no_grad():
            for _ in range(3):
                model(torch.randn(4, 313, 149))
    return model.eval()


@pytest.fixture
def worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "pays", lambda precision: True)


def kinds(model: Network) -> list[type]:
    return [type(module) for module in model.trunk if isinstance(module, (nn.Conv2d, Winograd, FromOneChannel))]


@pytest.mark.usefixtures("worth_it")
def test_a_surrogate_is_the_network_with_other_convolutions(network):
    fast, state = surrogate(network), torch.random.get_rng_state()
    assert kinds(fast).count(Winograd) == 3 and kinds(fast)[0] is FromOneChannel
    with direct_only():
        assert set(kinds(surrogate(network))) == {nn.Conv2d}
    assert torch.equal(torch.random.get_rng_state(), state)
    x = drawn(9, 2, 313, 149)
    for plain in (folded(network), network):
        for ours, theirs in zip(fast(x), plain(x), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in fast.parameters())


@pytest.mark.usefixtures("worth_it")
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 3e-3)])
def test_an_attack_finds_the_same_with_it(network, precision, tolerance):
    x, ratings = drawn(10, 3, 313, 149), torch.rand(3, 8, generator=torch.Generator().manual_seed(0))
    bim = BIM(epsilon=0.03, steps=5, precision=precision)
    fast = bim.attack(network, x, ratings)
    with direct_only():
        direct = bim.attack(network, x, ratings)
    rises = [(result.attacked_loss - result.clean_loss).mean().item() for result in (fast, direct)]
    assert rises[0] == pytest.approx(rises[1], rel=0.01 if precision == "bfloat16" else 1e-3)
    torch.testing.assert_close(fast.attacked, direct.attacked, rtol=0, atol=tolerance)
    assert torch.equal(fast.clean, direct.clean)  # the network itself judges
    torch.testing.assert_close(network(fast.adversarial).emotions, fast.attacked, rtol=1e-4, atol=1e-5)


def test_it_is_chosen_by_one_measurement_that_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("MER_DATA", str(tmp_path))
    monkeypatch.setattr(winograd, "winograd_speedup", lambda precision: {"float32": 1.5, "bfloat16": 0.9}[precision])
    assert winograd.pays("float32") and not winograd.pays("bfloat16")
    monkeypatch.setattr(winograd, "winograd_speedup", lambda precision: 0.1)  # a busy moment
    assert winograd.pays("float32")
    assert json.loads(kept_measurement("winograd-speedup-float32").read_text()) == 1.5


def test_who_can_write_nothing_can_attack(tmp_path, monkeypatch):
    (tmp_path / "runs").write_text("a file where a folder should be")
    monkeypatch.setenv("MER_DATA", str(tmp_path))
    monkeypatch.setattr(winograd, "winograd_speedup", lambda precision: 1.5)
    assert winograd.pays("float32")


def test_the_measurement_sets_winograds_form_against_the_direct_one(monkeypatch):
    assert winograd.winograd_speedup("float32", rounds=1) > 0
    monkeypatch.setattr(winograd, "times_as_fast", lambda plain, other, rounds: (plain, other))
    seen, ordinary = [], winograd.Winograd.forward
    plain, other = winograd.winograd_speedup("float32")
    monkeypatch.setattr(winograd.Winograd, "forward", lambda self, x: seen.append("tiled") or ordinary(self, x))
    plain()
    assert seen == []
    other()
    assert seen == ["tiled"]
