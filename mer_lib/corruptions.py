"""What happens to recordings anyway: codecs, equalisers, resampling, noise. No attack: nobody chose them to do harm.

A system that falls to these is fragile, whatever its answer to an attack. They take the attacks' interface and always
return what they made, whether the error rose or fell.

Notebook: 09_credibility
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import soundfile
import soxr
import torch
from scipy import signal
from torch import Tensor, nn

from mer_lib.audio import SAMPLE_RATE
from mer_lib.bim import BIM, AttackResult
from mer_lib.family import predictions_on
from mer_lib.metrics import mean_absolute_error, snr_db

KINDS = {
    "vorbis": "Ogg Vorbis round trip; strength is the quality, 0 to 1",
    "mp3": "MPEG layer III round trip; strength is the quality, 0 to 1",
    "resample": "down to a sample rate and back; strength in Hz",
    "tilt": "equaliser that raises or lowers everything above 1 kHz; strength in dB",
    "noise": "white noise; strength is the SNR in dB",
}


def _round_trip(waveform: np.ndarray, form: str, quality: float) -> np.ndarray:
    file = io.BytesIO()
    container, subtype = {"vorbis": ("OGG", "VORBIS"), "mp3": ("MP3", "MPEG_LAYER_III")}[form]
    about = {"format": container, "subtype": subtype, "compression_level": float(np.clip(1 - quality, 0, 1))}
    with soundfile.SoundFile(file, "w", SAMPLE_RATE, 1, **about) as writer:
        for begin in range(0, len(waveform), SAMPLE_RATE):  # libsndfile's Vorbis encoder fails on long blocks
            writer.write(waveform[begin : begin + SAMPLE_RATE])
    file.seek(0)
    decoded = soundfile.read(file, dtype="float32")[0][: len(waveform)]
    return np.pad(decoded, (0, len(waveform) - len(decoded)))


def _tilt(waveform: np.ndarray, decibels: float, corner: float = 1000.0) -> np.ndarray:
    """A high shelf of second order (R. Bristow-Johnson's audio equaliser cookbook, slope 1)."""
    gain, angle = 10 ** (decibels / 40), 2 * np.pi * corner / SAMPLE_RATE
    cosine, root = np.cos(angle), 2 * np.sqrt(gain) * np.sin(angle) / np.sqrt(2)
    above, below = gain + 1, gain - 1
    b = gain * np.array([above + below * cosine + root, -2 * (below + above * cosine), above + below * cosine - root])
    a = np.array([above - below * cosine + root, 2 * (below - above * cosine), above - below * cosine - root])
    return signal.lfilter(b / a[0], a / a[0], waveform)


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One change that recordings suffer without anybody's intent.

    Parameters
    ----------
    kind, strength
        One of :data:`KINDS`, which says what the strength is.
    seed
        Of the noise.
    """

    kind: str
    strength: float
    seed: int = 0
    domain: str = "waveform"
    batch_size: int = 8

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.domain != "waveform":
            raise ValueError(f"Corruption: kind is one of {', '.join(KINDS)}; domain is 'waveform'")

    def apply(self, waveform: np.ndarray) -> np.ndarray:
        """One waveform (samples,) at 22 050 Hz, changed; as long as before, within [-1, 1]."""
        if self.kind in ("vorbis", "mp3"):
            changed = _round_trip(waveform, self.kind, self.strength)
        elif self.kind == "resample":
            there = soxr.resample(waveform, SAMPLE_RATE, self.strength)
            changed = soxr.resample(there, self.strength, SAMPLE_RATE)[: len(waveform)]
            changed = np.pad(changed, (0, len(waveform) - len(changed)))
        elif self.kind == "tilt":
            changed = _tilt(waveform, self.strength)
        else:
            noise = np.random.default_rng(self.seed).normal(size=len(waveform))
            wanted = np.sqrt(np.sum(np.square(waveform, dtype=float))) * 10 ** (-self.strength / 20)
            changed = waveform + noise * wanted / np.sqrt(np.sum(noise**2))
        return np.clip(changed, -1, 1).astype(np.float32)

    def attack(self, model: nn.Module, inputs: Tensor, ratings: Tensor, progress: bool = False) -> AttackResult:
        """As :meth:`mer_lib.bim.BIM.attack`, for waveforms (clips, samples); the loss may fall as well as rise."""
        inputs, ratings = torch.as_tensor(inputs), torch.as_tensor(ratings, dtype=torch.float32)
        changed = torch.from_numpy(np.stack([self.apply(clip) for clip in inputs.numpy()]))
        judge = BIM(epsilon=0, steps=0, domain=self.domain, batch_size=self.batch_size)
        clean, before = predictions_on(model, inputs, ratings, judge)
        attacked, after = predictions_on(model, changed, ratings, judge)
        losses = (before, after, torch.stack([before, after]))
        return AttackResult(changed, changed - inputs, clean, attacked, *losses, gradients=0)


ORDINARY = (
    Corruption(kind="vorbis", strength=0.4),
    Corruption(kind="mp3", strength=0.4),
    Corruption(kind="resample", strength=16000),
    Corruption(kind="tilt", strength=3.0),
    Corruption(kind="tilt", strength=-3.0),
    Corruption(kind="noise", strength=40.0),
    Corruption(kind="noise", strength=20.0),
)


def corruption_table(
    models: Mapping[str, nn.Module], waveforms: Tensor, ratings: Tensor, corruptions: Sequence[Corruption] = ORDINARY
) -> pd.DataFrame:
    """Rise of each network's MAE under ordinary corruptions: a row a corruption, its median SNR, a column a network.

    Parameters
    ----------
    models
        Name -> network that hears waveforms (clips, samples).
    """
    rows = {}
    for corruption in corruptions:
        changed = torch.from_numpy(np.stack([corruption.apply(clip) for clip in waveforms.numpy()]))
        row = rows[f"{corruption.kind} {corruption.strength:g}"] = {}
        row["SNR (dB)"] = float(np.median(snr_db(waveforms, changed)))
        for name, model in models.items():
            judge = BIM(epsilon=0, steps=0, domain="waveform", batch_size=corruption.batch_size)
            said = [predictions_on(model, clips, ratings, judge)[0] for clips in (waveforms, changed)]
            row[name] = mean_absolute_error(ratings, said[1]) - mean_absolute_error(ratings, said[0])
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("corruption")
