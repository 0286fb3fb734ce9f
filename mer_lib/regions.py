"""The regions that an attribution calls important: kept alone, taken away, and made audible.

Whoever says "these cells made the difference" can be held to it: with these cells alone, the rest silenced, the answer
should be nearly the same, and without them it should not. Loud cells are a control that any attribution has to beat,
because its factor (clip - silence) follows loudness; random regions of the same size are the other. A spectrogram with
holes is like nothing the network was trained on, so the test is hard on everybody.

Notebook: 10_explain
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import uniform_filter
from torch import Tensor

from mer_lib.bim import frozen
from mer_lib.dataset import EMOTIONS
from mer_lib.explanations import outputs_of, silence
from mer_lib.listening import decode_flac, flac_bytes, headroom_db
from mer_lib.models import Network
from mer_lib.rendering import BINS, overlap_add, spectra
from mer_lib.spectrogram import LogSpectrogram

WINDOW = (5, 5)
LEAST_HEADROOM = 3  # dB that even an amplified sound stays below full scale


def strongest(importance: np.ndarray, share: float, window: tuple[int, int] = WINDOW) -> np.ndarray:
    """The cells with the largest mean importance of their neighbourhood, as a mask of the same shape.

    Parameters
    ----------
    importance
        (frames, bands); for attributions their magnitudes, or their positive part.
    share
        Of all cells, between 0 and 1; exactly so many are chosen, rounded.
    window
        Frames and bands of the neighbourhood; (1, 1) for single cells, which sound like noise.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies between 0 and 1, not at {share}")
    smooth = uniform_filter(np.asarray(importance, dtype=np.float64), window, mode="nearest")
    chosen = np.zeros(smooth.size, dtype=bool)
    chosen[np.argsort(-smooth, axis=None, kind="stable")[: round(share * smooth.size)]] = True
    return chosen.reshape(smooth.shape)


def only(model: Network, inputs: Tensor, masks: Tensor) -> Tensor:
    """Z-scored spectrograms (clips, frames, bands) in which everything outside the masks is silence."""
    return torch.where(masks, inputs, silence(model, inputs))


def _answers(model: Network, inputs: Tensor, index: int) -> Tensor:
    with frozen(model), torch.no_grad():
        said = [model(part) for part in inputs.split(8)]
    return torch.cat([s.emotions if s.midlevel is None else torch.cat(s, dim=1) for s in said])[:, index]


def orders(model: Network, inputs: Tensor, maps: Mapping[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    """What cells can be ranked by: the magnitudes of attributions, and the controls "loudest" and "random"."""
    loudness = inputs - silence(model, inputs)
    noise = torch.rand(inputs.shape, generator=torch.Generator().manual_seed(seed))
    return {name: values.abs() for name, values in maps.items()} | {"loudest": loudness, "random": noise}


def fidelity(
    model: Network,
    inputs: Tensor,
    maps: Mapping[str, Tensor],
    target: str,
    shares: Sequence[float],
    window: tuple[int, int] = WINDOW,
    seed: int = 0,
) -> pd.DataFrame:
    """How far an answer moves when the important regions alone are kept, or they alone are silenced.

    Parameters
    ----------
    inputs
        Z-scored spectrograms (clips, 313, 149).
    maps
        Name -> attributions shaped like the inputs.
    shares
        Shares of the cells.

    Returns
    -------
    pandas.DataFrame
        Tidy: order (the names, "loudest", "random"), side ("kept alone", "silenced"), share, clip, answer, and
        ``moved``: distance from the answer to the whole clip. Good orders move little when kept, much when silenced.
    """
    index = outputs_of(model).index(target)
    whole, rows = _answers(model, inputs, index), []
    for name, importance in orders(model, inputs, maps, seed).items():
        for share in shares:
            masks = torch.from_numpy(np.stack([strongest(one, share, window) for one in importance.numpy()]))
            for side, kept in (("kept alone", masks), ("silenced", ~masks)):
                answers = _answers(model, only(model, inputs, kept), index)
                rows += [
                    {"order": name, "side": side, "share": share, "clip": clip, "answer": said, "moved": moved}
                    for clip, (said, moved) in enumerate(
                        zip(answers.tolist(), (answers - whole).abs().tolist(), strict=True)
                    )
                ]
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class HeardRegions:
    """The important regions of a clip as sound, and what the network says to what is heard.

    Attributes
    ----------
    signals
        Name -> samples, at the level that they have in the clip: "clean", the regions, the rest.
    gains_db
        Whole decibels by which the player amplifies a signal, so that quiet regions are heard.
    answers
        Index the emotions; a column for each signal, decoded from the player's FLAC, for "silence", and, named
        "... (picture)", for the masked spectrograms that the sounds come near to.
    """

    signals: dict[str, np.ndarray]
    gains_db: dict[str, float]
    answers: pd.DataFrame


def masked_sound(waveform: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A recording with everything outside a mask turned down, its phases kept: float32 (samples,), within full scale.

    Every bin of the Fourier transform is multiplied by the share of its filters that lies inside the mask; bins that no
    filter sees are silenced. For such a mask, all or nothing, this leaks about half as much as
    :func:`mer_lib.rendering.render`, which can reach any spectrogram and spreads the change over neighbouring bins.

    Parameters
    ----------
    waveform, mask
        (samples,), full scale 1, and (frames, 149).
    """
    filters = LogSpectrogram().filters.double().numpy()
    shares = filters / np.maximum(filters.sum(axis=1, keepdims=True), 1e-12)
    frames = spectra(waveform)
    if mask.shape != (len(frames), filters.shape[1]):
        raise ValueError(f"a mask {mask.shape} does not belong to a recording with {len(frames)} frames")
    frames[:, :BINS] *= mask.astype(np.float64) @ shares.T
    frames[:, BINS:] = 0
    return np.clip(overlap_add(frames, len(waveform)), -1.0, 1.0).astype(np.float32)


def hear_regions(model: Network, waveform: np.ndarray, mask: np.ndarray, name: str) -> HeardRegions:
    """Make the cells inside a mask audible, with the clean recording's phases, and everything outside it, too.

    The network hears them as they lie in the clip; only the player amplifies, and says so.

    Parameters
    ----------
    waveform
        (samples,), full scale 1.
    mask
        (frames, 149), such as :func:`strongest` gives.
    name
        What the inside is called; the outside is "the rest".
    """
    samples = torch.from_numpy(np.array(waveform, dtype=np.float32))[None]
    with frozen(model), torch.no_grad():
        spectrogram = model.front_end(samples)[0]
        signals, answers = {"clean": samples[0].numpy()}, {}
        for side, kept in ((name, mask), ("the rest", ~mask)):
            picture = torch.where(torch.from_numpy(kept), spectrogram, 0.0)
            signals[side] = masked_sound(waveform, kept)
            answers[f"{side} (picture)"] = model(model.standardise(picture)[None]).emotions[0].numpy()
        for side, signal in (signals | {"silence": np.zeros_like(signals["clean"])}).items():
            played = torch.from_numpy(decode_flac(flac_bytes(signal)))[None]
            answers[side] = model.from_waveform(played).emotions[0].numpy()
    gains = {side: max(0.0, headroom_db(signals[side]) - LEAST_HEADROOM) for side in (name, "the rest")}
    columns = ["clean", name, f"{name} (picture)", "the rest", "the rest (picture)", "silence"]
    return HeardRegions(signals, gains, pd.DataFrame(answers, index=list(EMOTIONS))[columns])
