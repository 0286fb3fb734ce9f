"""The networks: one convolutional trunk, with or without a bottleneck of seven units.

A2E maps audio straight to the emotions; A2M2E goes through seven mid-level qualities and then one linear layer, so that
every emotion is a weighted sum of things a listener can name (Chowdhury et al. 2019; Hoedt, Flexer, Widmer 2025,
Section 4). A2B2E is the same network without mid-level targets: the bottleneck without its meaning.

Notebooks: 02_train_a2e, 03_train_a2b2e, 04_train_a2m2e
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mer_lib.dataset import EMOTIONS, MIDLEVEL
from mer_lib.spectrogram import LogSpectrogram


@dataclass(frozen=True, kw_only=True)
class System:
    """One of the compared systems: its head, its loss and whether it is trained on attacked clips."""

    name: str
    title: str
    bottleneck: bool
    emotion_weight: float
    midlevel_weight: float
    adversarial: bool


def _system(name: str, title: str, bottleneck: bool, midlevel_weight: float = 0.0) -> System:
    adversarial = name.startswith("a")
    return System(
        name=name,
        title=f"{title}, adversarially trained" if adversarial else title,
        bottleneck=bottleneck,
        emotion_weight=1.0 - midlevel_weight,
        midlevel_weight=midlevel_weight,
        adversarial=adversarial,
    )


SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        _system("A2E", "black box", False),
        _system("A2B2E", "bottleneck without meaning", True),
        _system("A2M2E", "interpretable bottleneck", True, 0.5),
        _system("aA2E", "black box", False),
        _system("aA2B2E", "bottleneck without meaning", True),
        _system("aA2M2E", "interpretable bottleneck", True, 0.5),
    )
}


class Prediction(NamedTuple):
    """What a network says: emotions (batch, 8) and, with a bottleneck, mid-level values (batch, 7), else None."""

    emotions: Tensor
    midlevel: Tensor | None


# The trunk's convolutions: channels at width 1, kernel, stride; "pool" is max pooling by 2 and channel dropout of .3
TRUNK = (
    (64, 5, 2), (64, 3, 1), "pool",
    (128, 3, 1), (128, 3, 1), "pool",
    (256, 3, 1), (256, 3, 1), (384, 3, 1), (512, 3, 1), (256, 1, 1),
)  # fmt: skip


def _trunk(width: float) -> tuple[nn.Sequential, int]:
    layers: list[nn.Module] = []
    channels = 1
    for stage in TRUNK:
        if stage == "pool":
            layers += [nn.MaxPool2d(2), nn.Dropout2d(0.3)]
            continue
        wanted, kernel, stride = stage
        out = max(1, round(wanted * width))
        convolution = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_in", nonlinearity="relu")
        # One ReLU module each: attribution methods hook modules and fail on a shared one
        layers += [convolution, nn.BatchNorm2d(out), nn.ReLU()]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), channels


class Network(nn.Module):
    """The study's network. Build it with :func:`build`.

    ``forward`` takes z-scored spectrograms (batch, 313, 149), ``from_waveform`` waveforms (batch, samples).
    """

    def __init__(self, system: System, width: float, mean: float, std: float) -> None:
        super().__init__()
        self.system, self.width = system, width
        self.trunk, channels = _trunk(width)
        self.midlevel_head = nn.Linear(channels, len(MIDLEVEL)) if system.bottleneck else None
        self.emotion_head = nn.Linear(len(MIDLEVEL) if system.bottleneck else channels, len(EMOTIONS))
        self.front_end = LogSpectrogram()
        self.register_buffer("mean", torch.tensor(float(mean)))
        self.register_buffer("std", torch.tensor(float(std)))

    def features(self, spectrograms: Tensor) -> Tensor:
        """Trunk output of z-scored spectrograms, (batch, channels)."""
        return self.trunk(spectrograms.unsqueeze(1))

    def heads(self, features: Tensor) -> Prediction:
        """Predictions from the trunk's output."""
        if self.midlevel_head is None:
            return Prediction(self.emotion_head(features), None)
        midlevel = self.midlevel_head(features)
        return Prediction(self.emotion_head(midlevel), midlevel)

    def forward(self, spectrograms: Tensor) -> Prediction:
        """Predictions for z-scored spectrograms (batch, 313, 149)."""
        return self.heads(self.features(spectrograms))

    def standardise(self, spectrograms: Tensor) -> Tensor:
        """Z-score log spectrograms with the mean and std the network was built with."""
        return (spectrograms - self.mean) / self.std

    def from_waveform(self, waveform: Tensor) -> Prediction:
        """Predictions for waveforms (batch, samples) at 22 050 Hz; peak normalisation belongs to preparation."""
        with torch.autocast(waveform.device.type, enabled=False):  # the front end stays in float32
            spectrograms = self.standardise(self.front_end(waveform))
        return self(spectrograms)


def build(system: str, width: float = 1.0, mean: float = 0.0, std: float = 1.0) -> Network:
    """A fresh network with He-normal weights (drawn from torch's global generator).

    Parameters
    ----------
    system
        A key of :data:`SYSTEMS`.
    width
        Scales the trunk's channels; 1.0 is the published network (3 937 864 parameters without, 3 937 671 with
        bottleneck).
    mean, std
        Of the log spectrograms, kept as buffers for z-scoring.
    """
    if system not in SYSTEMS:
        raise ValueError(f"unknown system {system!r}: one of {', '.join(SYSTEMS)}")
    if not width > 0 or not std > 0:
        raise ValueError(f"width ({width}) and std ({std}) must be positive")
    return Network(SYSTEMS[system], width, mean, std)


def folded(model: Network) -> Network:
    """A frozen copy in eval mode with every BatchNorm folded into its convolution: same function, less arithmetic."""
    with torch.random.fork_rng(devices=[]):  # its weights are replaced at once: nobody's draws are to move
        copy = build(model.system.name, model.width, float(model.mean), float(model.std))
    copy.load_state_dict(model.state_dict())
    copy.eval().requires_grad_(False)
    layers: list[nn.Module] = []
    for layer in copy.trunk:
        if isinstance(layer, nn.BatchNorm2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        elif not isinstance(layer, nn.Dropout2d):
            layers.append(layer)
    copy.trunk = nn.Sequential(*layers).requires_grad_(False)
    return copy.to(device=model.mean.device, memory_format=torch.channels_last)


def predict(model: Network, spectrograms: np.ndarray | Tensor, batch: int = 32) -> Prediction:
    """Predictions of a network in eval mode for log spectrograms that are not z-scored, as numpy arrays.

    Shapes: (clips, 313, 149) -> emotions (clips, 8), midlevel (clips, 7) or None. The network's mode is left as it was.
    """
    training = model.training
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(spectrograms), batch):
            piece = torch.as_tensor(np.array(spectrograms[start : start + batch])).to(model.mean.device)
            parts.append(model(model.standardise(piece)))
    model.train(training)
    emotions = torch.cat([part.emotions for part in parts]).float().cpu().numpy()
    midlevel = None if parts[0].midlevel is None else torch.cat([p.midlevel for p in parts]).float().cpu().numpy()
    return Prediction(emotions, midlevel)
