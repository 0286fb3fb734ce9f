"""Convolutions of a frozen network with less arithmetic, for attacks that take thousands of gradients.

Winograd's minimal filtering, F(4x4, 3x3) (Lavin & Gray 2016, after Winograd 1980): 36 products a tile of 16 outputs
instead of 144, as matrix products that any processor has in a fast form. In float32 it is as exact as a direct
convolution; in bfloat16 it rounds several times as coarsely (tests/test_winograd.py has the figures). An attack only
follows its gradients: every result is scored by the network itself, which is left as it is.

Notebook: 06_attack
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from mer_lib.models import Network, folded
from mer_lib.precision import measured_once, times_as_fast

TILE, KERNEL = 4, 3
PATCH = TILE + KERNEL - 1
# Toom and Cook's points beside infinity: with 2 and -1/2 instead of 2 and -2 errors are about two thirds as large
POINTS = (0.0, 1.0, -1.0, 2.0, -0.5)
TILES_AT_ONCE = 512  # so many tiles' numbers stay in a processor's cache
FEWEST_CHANNELS = 128  # below, moving the numbers costs as much as multiplying them
WORTH_IT = 1.1

_direct_only: ContextVar[bool] = ContextVar("direct_only", default=False)


@contextmanager
def direct_only() -> Iterator[None]:
    """Within it attacks and training leave all convolutions as they are (for comparisons)."""
    token = _direct_only.set(True)
    try:
        yield
    finally:
        _direct_only.reset(token)


def forced_direct() -> bool:
    """Whether this is within :func:`direct_only`."""
    return _direct_only.get()


def _times(one: Tensor, other: Tensor) -> Tensor:
    """The product of two polynomials, lowest power first."""
    product = one.new_zeros(len(one) + len(other) - 1)
    for power, factor in enumerate(one):
        product[power : power + len(other)] += factor * other
    return product


def transforms() -> tuple[Tensor, Tensor, Tensor]:
    """Matrices of inputs (6, 6), kernels (6, 3) and outputs (4, 6), in float64.

    With them ``outputs @ ((kernels @ kernel) * (inputs @ signal))`` is the valid correlation of six values with three.
    """
    points = torch.tensor(POINTS, dtype=torch.float64)
    inputs, kernels = torch.zeros(PATCH, PATCH, dtype=torch.float64), torch.zeros(PATCH, KERNEL, dtype=torch.float64)
    for row in range(PATCH):  # the last one is the point at infinity
        others = torch.cat([points[:row], points[row + 1 :]])
        polynomial = torch.ones(1, dtype=torch.float64)
        for point in others:
            polynomial = _times(polynomial, torch.stack([-point, torch.ones_like(point)]))
        inputs[row, : len(polynomial)] = polynomial
        if row < len(points):
            kernels[row] = points[row] ** torch.arange(KERNEL) / (points[row] - others).prod()
    kernels[-1, -1] = 1
    outputs = torch.zeros(TILE, PATCH, dtype=torch.float64)
    outputs[:, :-1] = points ** torch.arange(TILE)[:, None]
    outputs[-1, -1] = 1
    return inputs, kernels, outputs


def of_tiles(matrix: Tensor) -> Tensor:
    """A transform of rows and columns at once, for flattened tiles."""
    return torch.kron(matrix, matrix).float()


def tiles_along(size: int) -> int:
    """How many tiles cover so many cells."""
    return -(-size // TILE)


def patches(images: Tensor, inputs: Tensor) -> Tensor:
    """Transformed patches of zero-padded images, (clips, height, width, channels) -> (36, tiles, channels)."""
    _, height, width, channels = images.shape
    border = KERNEL // 2
    down, right = (tiles_along(size) * TILE + border - size for size in (height, width))
    cut = functional.pad(images, (0, 0, border, right, border, down)).unfold(1, PATCH, TILE).unfold(2, PATCH, TILE)
    return (inputs @ cut.permute(4, 5, 0, 1, 2, 3).reshape(PATCH**2, -1)).view(PATCH**2, -1, channels)


class _Filters:
    """A kernel (outputs, inputs, 3, 3), transformed once, and what applies it."""

    def __init__(self, weight: Tensor) -> None:
        inputs, kernels, outputs = transforms()
        transformed = of_tiles(kernels) @ weight.detach().float().permute(2, 3, 1, 0).reshape(KERNEL**2, -1)
        self.weight = {torch.float32: transformed.view(PATCH**2, weight.shape[1], weight.shape[0])}
        self.inputs, self.outputs = of_tiles(inputs), of_tiles(outputs)

    def __call__(self, x: Tensor) -> Tensor:
        """Correlate (clips, inputs, height, width), zero-padded by one; the same size with ``outputs`` channels."""
        if x.dtype not in self.weight:
            self.weight[x.dtype] = self.weight[torch.float32].to(x.dtype)
        clips = max(1, TILES_AT_ONCE // (tiles_along(x.shape[2]) * tiles_along(x.shape[3])))
        parts = [self._apply(part, self.weight[x.dtype]) for part in x.split(clips)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _apply(self, x: Tensor, weight: Tensor) -> Tensor:
        clips, _, height, width = x.shape
        rows, columns = tiles_along(height), tiles_along(width)
        products = torch.bmm(patches(x.permute(0, 2, 3, 1), self.inputs.to(x.dtype)), weight)
        found = (self.outputs.to(x.dtype) @ products.view(PATCH**2, -1)).view(TILE, TILE, clips, rows, columns, -1)
        found = found.permute(2, 3, 0, 4, 1, 5).reshape(clips, rows * TILE, columns * TILE, -1)
        return found[:, :height, :width].permute(0, 3, 1, 2)


def _computed_in(x: Tensor) -> Tensor:
    """The input in the precision that autocast asks for."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


class _Tiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Winograd) -> Tensor:
        ctx.layer, ctx.dtype = layer, x.dtype
        return layer.forwards(_computed_in(x))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.layer.backwards(gradient).to(ctx.dtype), None


class Winograd(nn.Module):
    """A frozen convolution of 3 by 3 with stride and padding 1; inputs get gradients of first order, weights none."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        if not fits(convolution):
            raise ValueError(f"{convolution}: not 3 by 3 with stride 1, padding 1, one group and zeros around")
        weight = convolution.weight.detach()
        self.forwards = _Filters(weight)
        self.backwards = _Filters(weight.flip(2, 3).transpose(0, 1))
        self.register_buffer("bias", None if convolution.bias is None else convolution.bias.detach()[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """(clips, inputs, height, width) -> (clips, outputs, height, width)."""
        found = _Tiled.apply(x, self)
        return found if self.bias is None else found + self.bias.to(found.dtype)


class _Scattered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: FromOneChannel) -> Tensor:
        ctx.layer, ctx.like = layer, x
        return layer.convolution(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        layer, weight = ctx.layer.convolution, ctx.layer.convolution.weight.detach()
        columns = weight.flatten(1).t().to(gradient.dtype) @ gradient.permute(0, 2, 3, 1).flatten(1, 2).transpose(1, 2)
        found = functional.fold(
            columns, ctx.like.shape[2:], layer.kernel_size, padding=layer.padding, stride=layer.stride
        )
        return found.to(ctx.like.dtype), None


class FromOneChannel(nn.Module):
    """A frozen convolution of one channel whose input gradient is one matrix product and a scattered sum.

    For such as are not dilated and have zeros around, as the trunk's first.
    Libraries write the direct form for many channels; with one it leaves most of a processor's units idle.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        """As the convolution."""
        return _Scattered.apply(x, self)


def fits(layer: nn.Module) -> bool:
    """Whether it is a convolution of 3 by 3 with stride and padding 1, one group and zeros around."""
    wanted = ((KERNEL, KERNEL), (1, 1), (1, 1), (1, 1), 1, "zeros")
    return isinstance(layer, nn.Conv2d) and wanted == (
        layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups, layer.padding_mode,
    )  # fmt: skip


def winograd_speedup(precision: str, rounds: int = 8) -> float:
    """How many times as fast one of the trunk's convolutions is in Winograd's form on this machine's processor."""
    with torch.random.fork_rng(devices=[]):
        direct = nn.Conv2d(256, 256, 3, padding=1).requires_grad_(False).to(memory_format=torch.channels_last)
        inputs = torch.randn(8, 256, 39, 18).to(memory_format=torch.channels_last).requires_grad_()
    tiled = Winograd(direct)

    def there_and_back(layer: nn.Module) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            found = layer(inputs)
        torch.autograd.grad(found, inputs, torch.ones_like(found))

    return times_as_fast(lambda: there_and_back(direct), lambda: there_and_back(tiled), rounds)


def pays(precision: str) -> bool:
    """Whether Winograd's form is worth it here, as first measured (:func:`mer_lib.precision.kept_measurement`).

    Processors whose units multiply matrices several times as fast in bfloat16 may do better without.
    """
    return measured_once(f"winograd-speedup-{precision}", lambda: winograd_speedup(precision)) >= WORTH_IT


def surrogate(model: Network, precision: str = "float32") -> Network:
    """What an attack takes its gradients from: the network, frozen, with BatchNorm folded and faster convolutions.

    The same function up to roundings. Off the processor only BatchNorm is folded.
    """
    copy = folded(model)
    if copy.mean.device.type != "cpu" or forced_direct():
        return copy
    for index, layer in enumerate(copy.trunk):
        if not isinstance(layer, nn.Conv2d):
            continue
        if layer.in_channels == 1:
            copy.trunk[index] = FromOneChannel(layer)
        elif fits(layer) and min(layer.in_channels, layer.out_channels) >= FEWEST_CHANNELS and pays(precision):
            copy.trunk[index] = Winograd(layer)
    return copy
