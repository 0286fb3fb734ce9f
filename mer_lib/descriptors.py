"""The seven mid-level qualities computed from audio, for corpora without annotations.

What comes out is *computed*, and is called so wherever it is used: seven fixed formulas, each after an idea from the
literature, with no weight fitted to anything. Among textbook formulas for one idea, those that follow the composed
values of the Études best were taken. A measure becomes a value in [0, 1] through a logistic curve whose centre and
width are round numbers, chosen so that film music (Soundtracks) and the Études both spread over the interval.
``data/etudes/README.md`` holds the correlations with the composed values.

They are narrow. Melodiousness, for one, hears a leading line by its vibrato and glides, and so misses a melody on the
piano; on recordings with percussion or speech all of them know less than on the Études.

Notebook: 01_prepare_data
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pandas as pd
from scipy.special import expit
from tqdm.auto import tqdm

from mer_lib.audio import SAMPLE_RATE
from mer_lib.dataset import MIDLEVEL
from mer_lib.measures import measures, measures_or_reason

FEWEST_CLIPS_PER_PROCESS = 16  # below that, starting a process costs more than it saves

# Centre and width of the logistic curve of every measure, in the units of mer_lib.measures.
SCALES = {
    "moving_line": (0.09, 0.05),
    "gaps": (0.15, 0.12),
    "decay": (1.6, 0.5),
    "log_onset_rate": (1.15, 0.4),
    "pulse_centroid": (6.2, 0.45),
    "pulse_clarity": (0.20, 0.10),
    "clash": (0.43, 0.08),
    "tritones": (0.062, 0.015),
    "related_roots": (0.70, 0.15),
    "minor_triads": (0.0, 0.25),
}


def describe(waveform: np.ndarray, sample_rate: int = SAMPLE_RATE) -> dict[str, float]:
    """Compute the seven qualities of one clip.

    Parameters
    ----------
    waveform
        (samples,), mono, any level: a gain changes nothing. About 10 s; at least 2 s.
    sample_rate
        In Hz; other rates than 22 050 are resampled.

    Returns
    -------
    dict
        One value in [0, 1] per name of ``MIDLEVEL``. Articulation rises towards staccato and minorness towards minor,
        as in Aljanaki & Soleymani (2018).

    Raises
    ------
    ValueError
        If the clip is not mono, too short, silent or not finite.

    Notebook: 01_prepare_data
    """
    return _values(measures(waveform, sample_rate))


def describe_corpus(waveforms: np.ndarray, processes: int = 2, progress: bool = True) -> pd.DataFrame:
    """Compute the seven qualities of many clips.

    Parameters
    ----------
    waveforms
        (clips, samples) at 22 050 Hz; a memory map is read clip by clip.
    processes
        Worker processes at most; few clips are described in this one.
    progress
        Show a bar.

    Returns
    -------
    DataFrame
        (clips, 7), columns ``MIDLEVEL``, values in [0, 1].

    Raises
    ------
    ValueError
        Naming every row that cannot be described, and why.

    Notebook: 01_prepare_data
    """
    workers = max(1, min(processes, len(waveforms) // FEWEST_CLIPS_PER_PROCESS))
    rows = list(
        tqdm(
            _measured(waveforms, workers),
            total=len(waveforms),
            desc="computed mid-level",
            disable=not progress,
            unit="clip",
        )
    )
    problems = [f"row {row}: {value}" for row, value in enumerate(rows) if isinstance(value, str)]
    if problems:
        raise ValueError(
            f"{len(problems)} of {len(rows)} clips cannot be described. Leave them out or repair them. "
            + "; ".join(problems)
        )
    return pd.DataFrame([_values(row) for row in rows], columns=list(MIDLEVEL))


def _values(raw: dict[str, float]) -> dict[str, float]:
    """Turn the ten measures into the seven qualities; two measures of one quality count alike."""
    share = {name: expit((raw[name] - centre) / width) for name, (centre, width) in SCALES.items()}
    values = {
        "melodiousness": share["moving_line"],
        "articulation": (share["gaps"] + share["decay"]) / 2,
        "rhythmic_complexity": (share["log_onset_rate"] + share["pulse_centroid"]) / 2,
        "rhythmic_stability": share["pulse_clarity"],
        "dissonance": (share["clash"] + share["tritones"]) / 2,
        "tonal_stability": share["related_roots"],
        "minorness": share["minor_triads"],
    }
    return {name: float(values[name]) for name in MIDLEVEL}


def _measured(waveforms: np.ndarray, workers: int) -> Iterator[dict[str, float] | str]:
    if workers == 1:
        yield from map(measures_or_reason, waveforms)
        return
    # spawn: forking a process in which torch has started threads can hang. The workers import mer_lib.measures
    # alone, which needs no torch and so starts within a second.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(measures_or_reason, (np.asarray(waveform) for waveform in waveforms), chunksize=4)
