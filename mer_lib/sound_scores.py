"""What pictures are worth as sounds: the way there and back, computed qualities, and the distance from recordings.

Notebook: 12_invert_and_generate
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from mer_lib.audio_distance import Embedding, features, frechet_distance
from mer_lib.dataset import MIDLEVEL
from mer_lib.descriptors import describe
from mer_lib.griffin_lim import griffin_lim, within_full_scale
from mer_lib.inversion import relative_distance
from mer_lib.models import Network


def sounds_of(pictures: Tensor, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sounds of log spectrograms (clips, 313, 149) that are not z-scored.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        float32 (clips, 220500) within full scale, and the gain in dB of each, 0 where none was needed.
    """
    played = [within_full_scale(griffin_lim(picture, seed=seed)) for picture in np.asarray(pictures)]
    return np.stack([sound for sound, _ in played]), np.array([gain for _, gain in played])


def heard_by(model: Network, waveforms: ArrayLike, batch: int = 8) -> Tensor:
    """Emotions (clips, 8) that a network in eval mode says to waveforms (clips, samples)."""
    with torch.inference_mode():
        parts = torch.as_tensor(np.asarray(waveforms, dtype=np.float32)).split(batch)
        return torch.cat([model.from_waveform(part).emotions for part in parts])


def round_trip(model: Network, pictures: Tensor, waveforms: np.ndarray, gains_db: np.ndarray) -> pd.DataFrame:
    """What the way from picture to sound and back loses.

    Parameters
    ----------
    model
        In eval mode.
    pictures
        Log spectrograms (clips, 313, 149) that were rendered, not z-scored.
    waveforms, gains_db
        As :func:`sounds_of` gave them; the gain is undone before the sound is analysed.

    Returns
    -------
    pandas.DataFrame
        A row a clip: picture_error (relative distance of the analysed sound from the picture), answer_error (mean
        absolute difference of the eight answers to both), gain_db, peak_dbfs.
    """
    level = torch.as_tensor(waveforms * 10 ** (-np.asarray(gains_db)[:, None] / 20), dtype=torch.float32)
    with torch.inference_mode():
        analysed = model.front_end(level)
        answers = [model(model.standardise(values)).emotions for values in (pictures, analysed)]
    columns = {
        "picture_error": relative_distance(analysed, pictures).numpy(),
        "answer_error": (answers[0] - answers[1]).abs().mean(dim=1).numpy(),
        "gain_db": np.asarray(gains_db),
        "peak_dbfs": 20 * np.log10(np.abs(waveforms).max(axis=1) + 1e-12),
    }
    return pd.DataFrame(columns)


def computed_qualities(waveforms: ArrayLike) -> np.ndarray:
    """The seven qualities of :mod:`mer_lib.descriptors`, (clips, 7); NaN for a clip that has none (silence)."""
    rows = []
    for waveform in waveforms:
        try:
            rows.append(list(describe(waveform).values()))
        except ValueError:
            rows.append([np.nan] * len(MIDLEVEL))
    return np.array(rows)


def qualities_apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mean absolute difference of computed qualities (clips, 7), (clips,)."""
    return np.abs(first - second).mean(axis=1)


def distance_table(
    sets: Mapping[str, np.ndarray], recordings: np.ndarray, *, floors: int = 5, seed: int = 0
) -> pd.DataFrame:
    """Frechet audio distance of sets of sounds from recordings, with the floor and the ceiling that belong to it.

    Parameters
    ----------
    sets
        Name -> waveforms (clips, samples), all of as many clips: small sets lie farther from everything.
    recordings
        Features (clips, windows, 58) of real clips. A third is held out: sets of the same size drawn from it are the
        floor. The rest is the reference, to which the embedding is fitted as well.
    floors
        Sets drawn for the floor.
    seed
        Of what is held out and drawn, and of the noise.

    Returns
    -------
    pandas.DataFrame
        A row a set: set, clips, distance; first "recordings held out" (the floor), last "white noise" (the ceiling).
    """
    sizes = {len(waveforms) for waveforms in sets.values()}
    held = len(recordings) // 3
    if len(sizes) != 1 or max(sizes) > held:
        raise ValueError(f"sets of {sorted(sizes)} clips: one size, and at most {held}, a third of the recordings")
    (size,) = sizes
    random = np.random.default_rng(seed)
    order = random.permutation(len(recordings))
    reference, spare = recordings[order[held:]], recordings[order[:held]]
    embedding = Embedding.fit(reference)
    embedded = [("recordings held out", spare[random.permutation(held)[:size]]) for _ in range(floors)]
    embedded += [(name, features(waveforms)) for name, waveforms in sets.items()]
    samples = len(next(iter(sets.values()))[0])
    embedded.append(("white noise", features(random.normal(size=(size, samples)))))
    yardstick = embedding(reference)
    rows = [
        {"set": name, "clips": size, "distance": frechet_distance(embedding(values), yardstick)}
        for name, values in embedded
    ]
    return pd.DataFrame(rows)
