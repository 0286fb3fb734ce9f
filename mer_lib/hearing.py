"""What an attack sounds like and what the network says to these very sounds.

Notebook: 06_attack, 07_listen
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mer_lib.bim import BIM, AttackResult, frozen
from mer_lib.dataset import EMOTIONS, MIDLEVEL
from mer_lib.listening import Example, decode_flac, find_examples, flac_bytes, headroom_db
from mer_lib.models import Network, Prediction
from mer_lib.preparation import Prepared
from mer_lib.runs import Run

# An answer that differs by more than this from the logged one is not the answer to the same sound.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Answer:
    """What the network says to a decoded example.

    Attributes
    ----------
    emotions
        Index the emotions; columns rated, clean, attacked.
    midlevel
        The same for the bottleneck (without "rated" where it was told nothing), or None.
    verdict
        Whether the answers are those that were logged when the attack was made.
    """

    emotions: pd.DataFrame
    midlevel: pd.DataFrame | None
    verdict: str


def examples_to_hear(run: Run, prepared: Prepared, clips: int = 2) -> tuple[list[Example], str]:
    """Listening examples of a run: those that notebook 06 kept, else some that are made now.

    Returns
    -------
    list of Example, str
        The second says in a sentence where they come from.
    """
    if examples := find_examples(run.folder):
        return examples, f"{len(examples)} examples kept by notebook 06."
    rows = prepared.split(run.info["split"])["test"][:clips]
    bim = BIM(epsilon=0.001, steps=10, domain="waveform")
    waveforms = torch.from_numpy(np.array(prepared.waveforms[rows]))
    result = bim.attack(run.model, waveforms, torch.from_numpy(prepared.emotions[rows]))
    name = "a waveform attack with epsilon 0.001"
    examples = [
        Example(name, str(prepared.table["id"].iloc[row]), clean.numpy(), attacked.numpy())
        for row, clean, attacked in zip(rows, waveforms, result.adversarial, strict=True)
    ]
    return (
        examples,
        f"No examples were kept for this network: {len(examples)} test clips were attacked now, in 10 steps.",
    )


def hearing_gain_db(difference: np.ndarray, target_dbfs: float = -20.0) -> float:
    """Gain in whole dB that brings a quiet difference's peak to a level at which it can be heard, at least 0."""
    return max(0.0, headroom_db(difference) + target_dbfs)


def _answers(model: Network, waveform: np.ndarray) -> Prediction:
    with frozen(model), torch.no_grad():
        return model.from_waveform(torch.from_numpy(np.array(waveform))[None])


def _logged(run: Run, example: Example) -> pd.DataFrame | None:
    path = run.folder / "attacks" / example.attack / "predictions.csv"
    if not path.is_file():
        return None
    table = pd.read_csv(path, dtype={"clip": str})
    table = table[table["clip"] == example.clip].set_index("emotion")
    return table.reindex(list(EMOTIONS))[["clean", "attacked"]] if len(table) else None


def heard_again(run: Run, prepared: Prepared, example: Example) -> Answer:
    """Run the network on the samples that the player plays: encoded as 24-bit FLAC and decoded again.

    Parameters
    ----------
    run, prepared
        The network that was attacked, and its corpus, for the ratings.
    example
        A clip before and after.
    """
    played = decode_flac(flac_bytes(np.stack([example.clean, example.attacked], axis=1)))
    heard = {name: _answers(run.model, played[:, side]) for side, name in enumerate(("clean", "attacked"))}
    emotions = pd.DataFrame({name: output.emotions[0].numpy() for name, output in heard.items()}, index=list(EMOTIONS))
    logged = _logged(run, example)
    if logged is None:
        verdict = "no logged predictions to compare with."
    else:
        gap = float((emotions - logged).abs().max(axis=None))
        same = "the same answers as logged" if gap <= TOLERANCE else "NOT THE LOGGED ANSWERS"
        verdict = f"{same} (largest deviation {gap:.1e}, allowed {TOLERANCE:g})."
    row = np.flatnonzero(prepared.table["id"].astype(str) == example.clip)
    if len(row):
        emotions.insert(0, "rated", prepared.emotions[row[0]])
    midlevel = None
    if run.model.system.bottleneck:
        meaning = run.model.system.midlevel_weight > 0
        names = list(MIDLEVEL) if meaning else [f"neuron {i + 1}" for i in range(len(MIDLEVEL))]
        midlevel = pd.DataFrame({name: output.midlevel[0].numpy() for name, output in heard.items()}, index=names)
        if meaning and len(row):
            midlevel.insert(0, "rated", prepared.midlevel[row[0]])
    return Answer(emotions, midlevel, verdict)


def before_and_after(model: Network, inputs: Tensor, result: AttackResult, domain: str) -> dict[str, np.ndarray]:
    """Z-scored spectrograms (frames, 149) of the first clip of an attack: clean, attacked and their difference."""
    pair = [inputs[:1], result.adversarial[:1]]
    if domain == "waveform":
        with torch.no_grad():
            pair = [model.standardise(model.front_end(waveform)) for waveform in pair]
    clean, attacked = (spectrogram[0].numpy() for spectrogram in pair)
    return {"clean": clean, "attacked": attacked, "difference": attacked - clean}
