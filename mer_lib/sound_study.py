"""Inverted and generated clips as sounds: pictures that are rendered, and waveforms that were sought as such.

Two ways lead to something that can be heard. A picture is found and then rendered, which loses what no sound can have;
or the waveform itself is sought through the front end, which loses nothing and is the harder search. Both are shown,
with what the inverted network says to the *sound*.

Notebook: 12_invert_and_generate
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mer_lib.generation import Generation
from mer_lib.inversion import Inversion, layers_of, outline_correlation, relative_distance, represent, white_noise
from mer_lib.inversion_study import ANOTHER, NOISE, Inverted, Networks, distance_of_two_clips
from mer_lib.models import Network
from mer_lib.sound_scores import computed_qualities, distance_table, qualities_apart, round_trip, sounds_of

INVERTED = "inverted"
RENDERED, DIRECT, ORIGINAL = "picture, rendered", "waveform", "original, rendered"


@dataclass(frozen=True)
class Heard:
    """Sounds and what they are worth.

    Attributes
    ----------
    rows
        One a network, draw and clip: system, seed, layer, draw, clip, way, of_two_clips (distance of the *sound's*
        representation from the original's, in units of that of two different clips), outline, qualities_apart (mean
        absolute difference of the seven computed qualities from the recording's), picture_error, answer_error, gain_db.
        System "original, rendered": the recording's own picture, which shows what rendering alone does; "another clip":
        a recording of something else.
    sounds
        (system, seed, draw) -> waveforms (clips, samples) within full scale.
    gains
        The same keys -> (clips,) gain in dB that kept them from clipping.
    """

    rows: pd.DataFrame
    sounds: dict[tuple, np.ndarray]
    gains: dict[tuple, np.ndarray]


def _scored(
    model: Network, layer: str, unit: float, originals: Tensor, waveforms: np.ndarray, gains_db: np.ndarray
) -> dict[str, np.ndarray]:
    """Distance and outline of sounds, at the level they were made at."""
    level = torch.as_tensor(waveforms * 10 ** (-np.asarray(gains_db)[:, None] / 20), dtype=torch.float32)
    with torch.inference_mode():
        analysed = model.front_end(level)
        both = [represent(model, model.standardise(values), layer) for values in (analysed, originals)]
    distance = (relative_distance(*both) / unit).numpy()
    return {"of_two_clips": distance, "outline": outline_correlation(analysed, originals).numpy()}


def hear_inverted(
    inverted: Inverted, networks: Networks, originals: Tensor, recordings: np.ndarray, pool: Tensor,
    clips: Sequence[str], layer: str,
) -> Heard:  # fmt: skip
    """Render what was found from noise for one layer, and score the sounds.

    Parameters
    ----------
    inverted
        As :func:`mer_lib.inversion_study.invert_all` gave it.
    networks
        Those that were inverted.
    originals, recordings
        Log spectrograms (clips, 313, 149) and waveforms (clips, samples) of the clips that were to be found.
    pool
        Log spectrograms of other clips: the unit of distance.
    clips
        Names of the originals.
    layer
        Networks without it are left out.
    """
    own = computed_qualities(recordings)
    rows, sounds, gains = [], {}, {}
    for (system, seed, of_layer, start, draw), pictures in inverted.found.items():
        if of_layer != layer or start != NOISE:
            continue
        model, key = networks[system, seed], (system, seed, draw)
        sounds[key], gains[key] = sounds_of(pictures, seed=draw)
        unit = distance_of_two_clips(model, model.standardise(pool), layer)
        columns = {
            **_scored(model, layer, unit, originals, sounds[key], gains[key]),
            "qualities_apart": qualities_apart(computed_qualities(sounds[key]), own),
            **round_trip(model, pictures, sounds[key], gains[key]),
        }
        about = {"system": system, "seed": seed, "layer": layer, "draw": draw, "clip": list(clips), "way": RENDERED}
        rows.append(pd.DataFrame({**about, **columns}))
    rows += _references(networks, originals, own, clips, layer)
    return Heard(pd.concat(rows, ignore_index=True), sounds, gains)


def _references(
    networks: Networks, originals: Tensor, own: np.ndarray, clips: Sequence[str], layer: str
) -> list[pd.DataFrame]:
    """The recordings' own pictures rendered, and every recording beside the next one."""
    (_, seed), model = next(iter(networks.items()))
    waveforms, gains_db = sounds_of(originals)
    about = {"seed": seed, "layer": layer, "draw": 0, "clip": list(clips)}
    rendered = {
        "system": ORIGINAL, "way": RENDERED, "qualities_apart": qualities_apart(computed_qualities(waveforms), own),
        **round_trip(model, originals, waveforms, gains_db),
    }  # fmt: skip
    tables = [pd.DataFrame({**about, **rendered})]
    if len(own) > 1:
        others = np.mean([qualities_apart(np.roll(own, shift, axis=0), own) for shift in range(1, len(own))], axis=0)
        tables.append(pd.DataFrame({**about, "system": ANOTHER, "way": "recording", "qualities_apart": others}))
    return tables


def invert_waveforms(
    networks: Networks, originals: Tensor, recordings: np.ndarray, pool: Tensor, clips: Sequence[str],
    method: Inversion, layer: str, draws: int = 1,
) -> Heard:  # fmt: skip
    """Seek waveforms with the representation of clips, from quiet white noise, and score them as sounds.

    Parameters as of :func:`hear_inverted`; ``method`` holds the settings of the search.
    """
    own = computed_qualities(recordings)
    rows, sounds, gains = [], {}, {}
    for (system, seed), model in networks.items():
        if layer not in layers_of(model):
            continue
        search = replace(method, layer=layer, domain="waveform", step_size=None)
        start = torch.cat([white_noise(len(originals), seed=draw) for draw in range(draws)])
        result = search.invert(model, model.standardise(originals).repeat(draws, 1, 1), start)
        unit = distance_of_two_clips(model, model.standardise(pool), layer)
        for draw, found in enumerate(result.found.split(len(originals))):
            key = (system, seed, draw)
            sounds[key], gains[key] = found.numpy(), np.zeros(len(found))
            columns = {
                **_scored(model, layer, unit, originals, sounds[key], gains[key]),
                "qualities_apart": qualities_apart(computed_qualities(sounds[key]), own),
                "gain_db": 0.0,
            }
            about = {"system": system, "seed": seed, "layer": layer, "draw": draw, "clip": list(clips), "way": DIRECT}
            rows.append(pd.DataFrame({**about, **columns}))
    return Heard(pd.concat(rows, ignore_index=True), sounds, gains)


def generate_waveforms(
    networks: Networks, starts: dict[tuple, np.ndarray], method: Generation, output: str
) -> dict[tuple, np.ndarray]:
    """Let every network raise an output in the waveform, from rendered starts.

    Parameters
    ----------
    starts
        (output, draw) -> waveforms (samples, 220500).
    method
        Settings of the search; its budget is a share of the start's l2 norm.

    Returns
    -------
    dict
        (system, seed, output, draw) -> waveforms, within full scale.
    """
    made = {}
    for (system, seed), model in networks.items():
        for name, draw in starts:
            if name == output:
                search = replace(method, output=output, domain="waveform")
                found = search.generate(model, torch.as_tensor(starts[name, draw])).found
                made[system, seed, output, draw] = found.numpy()
    return made


def distances_from_recordings(
    inverted: dict[tuple, np.ndarray], generated: dict[tuple, np.ndarray], starts: dict[tuple, np.ndarray],
    recordings: np.ndarray, output: str,
) -> pd.DataFrame:  # fmt: skip
    """Frechet audio distance of what was inverted and generated, a set a network, seed and draw.

    Parameters
    ----------
    inverted
        (system, seed, draw) -> waveforms, as in :class:`Heard`; as many clips as a generated set has are taken.
    generated, starts
        (system, seed, output, draw) and (output, draw) -> waveforms.
    recordings
        Features (clips, windows, 58) of real clips, see :func:`mer_lib.sound_scores.distance_table`.
    output
        Whose generated clips are taken.

    Returns
    -------
    pandas.DataFrame
        set, clips, distance, system, seed, made ("inverted" or the output), draw; with floor and ceiling a draw.
    """
    tables = []
    for draw in [draw for name, draw in starts if name == output]:
        size = len(starts[output, draw])
        sets: dict[tuple, np.ndarray] = {("starts", np.nan, output): starts[output, draw]}
        for (system, seed, of_draw), sounds in inverted.items():
            if of_draw == draw and len(sounds) >= size:
                sets[system, seed, INVERTED] = sounds[:size]
        for (system, seed, name, of_draw), sounds in generated.items():
            if (name, of_draw) == (output, draw):
                sets[system, seed, output] = sounds
        found = distance_table(
            {f"{index}": sounds for index, sounds in enumerate(sets.values())}, recordings, seed=draw
        )
        about = {f"{index}": key for index, key in enumerate(sets)}
        keys = [about.get(name, (name, np.nan, "")) for name in found["set"]]
        columns = {name: [key[place] for key in keys] for place, name in enumerate(("system", "seed", "made"))}
        tables.append(found.assign(**columns, draw=draw))
    table = pd.concat(tables, ignore_index=True)
    named = np.where(table["made"] == "", table["system"], table["system"] + ", " + table["made"])
    return table.assign(set=named)
