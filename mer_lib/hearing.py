"""What an attack sounds like and what the network says to these very sounds.

Notebook: 06_attack, 07_listen
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mer_lib.audio import decode
from mer_lib.bim import BIM, AttackResult, frozen
from mer_lib.dataset import EMOTIONS, MIDLEVEL
from mer_lib.evaluation import attack_inputs
from mer_lib.listening import decode_flac, flac_bytes, headroom_db
from mer_lib.models import Network, Prediction
from mer_lib.perceptibility import perceptibility, zimtohrli_mos
from mer_lib.places import file_stems
from mer_lib.preparation import Prepared
from mer_lib.rendering import render_attack
from mer_lib.runs import Run

# An answer that differs by more than this from the logged one is not the answer to the same sound.
TOLERANCE = 1e-3
# What is attacked where no examples were kept: quickly, and strongly enough to see something
MADE_NOW = {
    "waveform": BIM(epsilon=0.001, steps=10, domain="waveform"),
    "spectrogram": BIM(epsilon=0.1, steps=10, domain="spectrogram"),
}


@dataclass(frozen=True, eq=False)
class Example:
    """A clip before and after an attack.

    Attributes
    ----------
    attack, clip
        Their names.
    clean, attacked
        (samples,), full scale 1.
    rendered
        A spectrogram was attacked: ``attacked`` is a sound near it (:mod:`mer_lib.rendering`), not the attack itself.
    on_spectrogram
        Of such an attack, what the network said to the attacked spectrogram (8,); None where it stands in the log.
    """

    attack: str
    clip: str
    clean: np.ndarray
    attacked: np.ndarray
    rendered: bool = False
    on_spectrogram: np.ndarray | None = None

    @property
    def name(self) -> str:
        """What the second signal is called."""
        return "rendered" if self.rendered else "attacked"

    @property
    def signals(self) -> dict[str, np.ndarray]:
        """Both signals by name, for the player."""
        return {"clean": self.clean, self.name: self.attacked}


@dataclass(frozen=True)
class Answer:
    """What the network says to a decoded example.

    Attributes
    ----------
    emotions
        Index the emotions; columns rated, clean, attacked. Of a rendering: rated, clean, attacked (said to the attacked
        spectrogram), rendered (said to the sound).
    midlevel
        Clean, and attacked or rendered, for the bottleneck (and "rated", where it was told), or None.
    verdict
        Whether the answers are those that were logged when the attack was made.
    rendering
        Of a rendering, how far it is from the attack, in a sentence; else None.
    """

    emotions: pd.DataFrame
    midlevel: pd.DataFrame | None
    verdict: str
    rendering: str | None = None


def find_examples(run_folder: str | Path) -> list[Example]:
    """Listening examples of a run's attacks: those on waveforms first, each in the order of the names.

    Notebook: 07_listen
    """
    found = []
    for path in sorted(Path(run_folder).glob("attacks/*/examples/*-clean.flac")):
        clip = path.name.removesuffix("-clean.flac")
        for name in ("attacked", "rendered"):
            if (other := path.with_name(f"{clip}-{name}.flac")).is_file():
                signals = decode(path), decode(other)
                found.append(Example(path.parent.parent.name, clip, *signals, rendered=name == "rendered"))
    return sorted(found, key=lambda example: example.rendered)


def attack_to_hear(run: Run, prepared: Prepared, bim: BIM, clips: int, name: str) -> list[Example]:
    """Attack some test clips now; attacked spectrograms are rendered.

    Notebook: 07_listen
    """
    rows = prepared.split(run.info["split"])["test"][:clips]
    inputs, ratings = attack_inputs(run, prepared, bim.domain, rows), torch.from_numpy(prepared.emotions[rows])
    result = bim.attack(run.model, inputs, ratings)
    clean, rendered = attack_inputs(run, prepared, "waveform", rows), bim.domain == "spectrogram"
    heard = render_attack(run.model, clean, result.adversarial) if rendered else result.adversarial
    names = prepared.table["id"].iloc[rows].astype(str)
    said = result.attacked.numpy() if rendered else [None] * len(rows)
    return [
        Example(name, clip, before.numpy(), after.numpy(), rendered, answers)
        for clip, before, after, answers in zip(names, clean, heard, said, strict=True)
    ]


def examples_to_hear(run: Run, prepared: Prepared, clips: int = 2) -> tuple[list[Example], str]:
    """Listening examples of a run in both domains: those that notebook 06 kept, else some that are made now.

    Returns
    -------
    list of Example, str
        Attacks on waveforms first, then renderings. The second says in a sentence where they come from.
    """
    ids = prepared.table["id"].astype(str).tolist()  # files bear names made from these
    of_stem = {file_stems([name])[0]: name for name in reversed(ids)} | dict(zip(file_stems(ids), ids, strict=True))
    examples = [replace(one, clip=of_stem.get(one.clip, one.clip)) for one in find_examples(run.folder)]
    said = f"{len(examples)} examples kept by notebook 06." if examples else ""
    for domain, bim in MADE_NOW.items():
        if not any(example.rendered == (domain == "spectrogram") for example in examples):
            name = f"a {domain} attack with epsilon {bim.epsilon:g}"
            examples = examples + attack_to_hear(run, prepared, bim, clips, name)
            said += (
                f" No examples of attacks on {domain}s were kept for this network: {clips} test clips were attacked"
                f" now, in {bim.steps} steps."
            )
    return sorted(examples, key=lambda example: example.rendered), said.strip()


def how_audible(examples: Sequence[Example]) -> pd.DataFrame:
    """Every measure of :mod:`mer_lib.perceptibility` for examples; the last column is NaN without Zimtohrli.

    Notebook: 07_listen
    """
    rows = [
        {
            "clip": example.clip,
            "attack": example.attack,
            **perceptibility(example.clean[None], example.attacked[None]).iloc[0],
            "zimtohrli_mos": zimtohrli_mos(example.clean, example.attacked),
        }
        for example in examples
    ]
    return pd.DataFrame(rows).set_index(["clip", "attack"])


def hearing_gain_db(difference: np.ndarray, target_dbfs: float = -20.0) -> float:
    """Gain in whole dB that brings a quiet difference's peak to a level at which it can be heard, at least 0."""
    return max(0.0, headroom_db(difference) + target_dbfs)


def _answers(model: Network, waveform: np.ndarray) -> Prediction:
    with frozen(model), torch.no_grad():
        return model.from_waveform(torch.from_numpy(np.array(waveform))[None])


def _logged(run: Run, example: Example) -> pd.DataFrame | None:
    file = "rendered.csv" if example.rendered else "predictions.csv"
    path = run.folder / "attacks" / example.attack / file
    if not path.is_file():
        return None
    table = pd.read_csv(path, dtype={"clip": str})
    table = table[table["clip"] == example.clip].set_index("emotion")
    return table.reindex(list(EMOTIONS)) if len(table) else None


def _rendering(emotions: pd.DataFrame) -> str:
    """How far a rendering is from the attack that it renders, in the network's answers."""
    attacked, rendered = (emotions[name] - emotions["clean"] for name in ("attacked", "rendered"))
    return (
        f"The attacked spectrogram moves the answers by {attacked.abs().mean():.3f} on average, the sound by "
        f"{rendered.abs().mean():.3f}; reconstruction error {(rendered - attacked).abs().mean():.3f}."
    )


def heard_again(run: Run, prepared: Prepared, example: Example) -> Answer:
    """Run the network on the samples that the player plays: encoded as 24-bit FLAC and decoded again.

    Parameters
    ----------
    run, prepared
        The network that was attacked, and its corpus, for the ratings.
    example
        A clip before and after.
    """
    played = decode_flac(flac_bytes(np.stack(list(example.signals.values()), axis=1)))
    heard = {name: _answers(run.model, played[:, side]) for side, name in enumerate(example.signals)}
    emotions = pd.DataFrame({name: output.emotions[0].numpy() for name, output in heard.items()}, index=list(EMOTIONS))
    logged = _logged(run, example)
    if logged is None:
        verdict = "no logged predictions to compare with."
    else:
        gap = float((emotions - logged[list(emotions)]).abs().max(axis=None))
        same = "the same answers as logged" if gap <= TOLERANCE else "NOT THE LOGGED ANSWERS"
        verdict = f"{same} (largest deviation {gap:.1e}, allowed {TOLERANCE:g})."
    rendering = None
    on_spectrogram = example.on_spectrogram if logged is None else logged.get("attacked")
    if example.rendered and on_spectrogram is not None:
        emotions.insert(1, "attacked", on_spectrogram)
        rendering = _rendering(emotions)
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
    return Answer(emotions, midlevel, verdict, rendering)


def before_and_after(model: Network, inputs: Tensor, result: AttackResult, domain: str) -> dict[str, np.ndarray]:
    """Z-scored spectrograms (frames, 149) of the first clip of an attack: clean, attacked and their difference."""
    pair = [inputs[:1], result.adversarial[:1]]
    if domain == "waveform":
        with torch.no_grad():
            pair = [model.standardise(model.front_end(waveform)) for waveform in pair]
    clean, attacked = (spectrogram[0].numpy() for spectrogram in pair)
    return {"clean": clean, "attacked": attacked, "difference": attacked - clean}
