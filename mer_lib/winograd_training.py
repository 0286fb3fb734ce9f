"""Convolutions that are being trained, with less arithmetic: forward, input gradient and weight gradient in tiles.

F(4x4, 3x3) as in :mod:`mer_lib.winograd`, whose gradients are the same products with matrices transposed (Lavin & Gray
2016, Section 4). Processors without bfloat16 units train in float32, and libraries compute the gradient of weights
slowly there; in float32 this form is as exact as the direct one, but rounds otherwise, so that a network trained with
it differs by what another processor would make of it. Which form a run had stands in its run.json ("convolutions").

Notebook: 02_train_a2e
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from mer_lib.models import Network, Prediction
from mer_lib.precision import measured_once, times_as_fast
from mer_lib.winograd import (
    KERNEL,
    PATCH,
    TILE,
    WORTH_IT,
    fits,
    forced_direct,
    of_tiles,
    patches,
    tiles_along,
    transforms,
)

TILES_AT_ONCE = 256  # fewer than for frozen weights: three products' numbers are to stay in the cache
FEWEST_CHANNELS = 64
FEWEST_NUMBERS = 80_000  # channels x height x width of one clip; below, moving numbers costs what is saved

_INPUTS, _KERNELS, _OUTPUTS = (of_tiles(matrix) for matrix in transforms())


def _from_products(products: Tensor, out: Tensor) -> None:
    """Write what products (36, tiles, channels) stand for into whole tiles (clips, rows, 4, columns, 4, channels)."""
    clips, rows, _, columns, _, channels = out.shape
    found = (_OUTPUTS @ products.view(PATCH**2, -1)).view(TILE, TILE, clips, rows, columns, channels)
    out.permute(2, 4, 0, 1, 3, 5).copy_(found)


def _to_products(gradient: Tensor) -> Tensor:
    """The transposed of :func:`_from_products`: (clips, height, width, channels) -> (36, tiles, channels)."""
    clips, height, width, channels = gradient.shape
    rows, columns = tiles_along(height), tiles_along(width)
    padded = functional.pad(gradient, (0, 0, 0, columns * TILE - width, 0, rows * TILE - height))
    tiles = padded.view(clips, rows, TILE, columns, TILE, channels).permute(2, 4, 0, 1, 3, 5).reshape(TILE**2, -1)
    return (_OUTPUTS.t() @ tiles).view(PATCH**2, -1, channels)


def _from_patches(gradient: Tensor, shape: torch.Size) -> Tensor:
    """The transposed of :func:`mer_lib.winograd.patches`: what overlaps is added, in images of the given shape."""
    clips, height, width, channels = shape
    rows, columns, border = tiles_along(height), tiles_along(width), KERNEL // 2
    parts = (_INPUTS.t() @ gradient.view(PATCH**2, -1)).view(PATCH, PATCH, clips, rows, columns, channels)
    image = parts.new_zeros(clips, rows + 1, TILE, columns + 1, TILE, channels)
    tiles, rest = image.permute(2, 4, 0, 1, 3, 5), PATCH - TILE
    tiles[:, :, :, :rows, :columns] = parts[:TILE, :TILE]
    tiles[:rest, :, :, 1:, :columns] += parts[TILE:, :TILE]
    tiles[:, :rest, :, :rows, 1:] += parts[:TILE, TILE:]
    tiles[:rest, :rest, :, 1:, 1:] += parts[TILE:, TILE:]
    whole = image.view(clips, (rows + 1) * TILE, (columns + 1) * TILE, channels)
    return whole[:, border : height + border, border : width + border]


class _Tiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        outputs, inputs = weight.shape[:2]
        kernels = (_KERNELS @ weight.permute(2, 3, 1, 0).reshape(KERNEL**2, -1)).view(PATCH**2, inputs, outputs)
        images = x.permute(0, 2, 3, 1)
        clips, height, width, _ = images.shape
        rows, columns = tiles_along(height), tiles_along(width)
        ctx.at_once = max(1, TILES_AT_ONCE // (rows * columns))
        found, kept = x.new_empty(clips, rows, TILE, columns, TILE, outputs), []
        for part, out in zip(images.split(ctx.at_once), found.split(ctx.at_once), strict=True):
            kept.append(patches(part, _INPUTS))
            _from_products(torch.bmm(kept[-1], kernels), out)
        ctx.save_for_backward(kernels, *kept)
        ctx.shape = images.shape
        whole = found.view(clips, rows * TILE, columns * TILE, outputs)
        return whole[:, :height, :width].permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        kernels, *kept = ctx.saved_tensors
        of_kernels, of_inputs = torch.zeros_like(kernels), []
        for transformed, part in zip(kept, gradient.permute(0, 2, 3, 1).split(ctx.at_once), strict=True):
            products = _to_products(part)
            of_kernels.baddbmm_(transformed.transpose(1, 2), products)
            if ctx.needs_input_grad[0]:
                of_patches = torch.bmm(products, kernels.transpose(1, 2))
                of_inputs.append(_from_patches(of_patches, (len(part), *ctx.shape[1:])))
        of_weight = (_KERNELS.t() @ of_kernels.view(PATCH**2, -1)).view(KERNEL, KERNEL, *kernels.shape[1:])
        of_x = torch.cat(of_inputs).permute(0, 3, 1, 2) if of_inputs else None
        return of_x, of_weight.permute(3, 2, 0, 1)


def tiled(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution of 3 by 3 (stride and padding 1) of float32 inputs (clips, inputs, height, width), in tiles.

    Gradients of first order reach inputs, weights and bias.
    """
    found = _Tiled.apply(x, convolution.weight)
    return found if convolution.bias is None else found + convolution.bias[:, None, None]


def _worth_it(layer: nn.Module, x: Tensor) -> bool:
    if not fits(layer):
        return False
    channels = min(layer.in_channels, layer.out_channels)
    return channels >= FEWEST_CHANNELS and channels * x.shape[2] * x.shape[3] >= FEWEST_NUMBERS


def training_speedup(rounds: int = 4) -> float:
    """How many times as fast a training step of one of the trunk's convolutions is in tiles on this processor."""
    with torch.random.fork_rng(devices=[]):
        layer = nn.Conv2d(256, 256, 3, padding=1).to(memory_format=torch.channels_last)
        inputs = torch.randn(8, 256, 39, 18).to(memory_format=torch.channels_last).requires_grad_()

    def there_and_back(form: Callable[[Tensor], Tensor]) -> None:
        found = form(inputs)
        torch.autograd.grad(found, (inputs, layer.weight), torch.ones_like(found))

    return times_as_fast(lambda: there_and_back(layer), lambda: there_and_back(lambda x: tiled(layer, x)), rounds)


def form_of_convolutions(model: Network, precision: str) -> str:
    """ "winograd" where that is faster: in float32, on a processor, as first measured here; "direct" otherwise.

    The measurement is kept (:func:`mer_lib.precision.kept_measurement`), so that one machine makes one choice.
    """
    if precision != "float32" or model.mean.device.type != "cpu" or forced_direct():
        return "direct"
    return "winograd" if measured_once("winograd-training-speedup", training_speedup) >= WORTH_IT else "direct"


def training_form(model: Network, form: str) -> Callable[[Tensor], Prediction]:
    """What a training step calls instead of the network: the same layers and parameters, computed in this form."""
    if form == "direct":
        return model

    def predict(spectrograms: Tensor) -> Prediction:
        x = spectrograms.unsqueeze(1)
        for layer in model.trunk:
            x = tiled(layer, x) if _worth_it(layer, x) else layer(x)
        return model.heads(x)

    return predict
