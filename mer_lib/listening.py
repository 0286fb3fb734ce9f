"""The static listening player: several signals that start together and are switched in place.

One piece of HTML with plain JavaScript and Web Audio: no server, no widget, no script from the web, so it
plays in JupyterLab, in an executed notebook exported to HTML and in a page opened from disk. The signals
lie in the page as 24-bit FLAC, because 16 bits or a lossy codec would change or remove a perturbation that
is smaller than their own error; what plays is decoded from these bytes, and :func:`decode_flac` gives the
same samples to the network.

Notebook: 07_listen
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from IPython.display import HTML

from mer_lib.audio import SAMPLE_RATE, AudioError
from mer_lib.checks import shown

SCRIPTS = ("player_pictures.js", "player.js")
ABX_COLUMNS = ("trial", "clip", "x", "answer", "correct")


def flac_bytes(signals: np.ndarray, sample_rate: int = SAMPLE_RATE) -> bytes:
    """Encode one or two signals losslessly as 24-bit FLAC.

    Parameters
    ----------
    signals
        Samples (samples,) or (samples, 2), full scale 1. Two signals that differ little, as before and after an attack,
        take little more than one: FLAC codes the second channel as the difference.
    sample_rate
        Hz.

    Raises
    ------
    AudioError
        If the samples are not finite or beyond full scale (they would be clipped without a word), or of another shape.
    """
    signals = np.asarray(signals, dtype=np.float64)
    if len(signals) == 0 or signals.ndim > 2 or (signals.ndim == 2 and signals.shape[1] != 2):
        raise AudioError(f"samples (samples,) or (samples, 2) are needed, not an array of shape {signals.shape}")
    if not np.isfinite(signals).all():
        raise AudioError("the signal holds NaN or infinite samples")
    if (peak := float(np.abs(signals).max())) > 1.0 + 1e-6:
        raise AudioError(f"the signal's peak is {peak:.4f}: beyond full scale it would be clipped; scale it first")
    buffer = io.BytesIO()
    soundfile.write(
        buffer, np.clip(signals, -1.0, 1.0), sample_rate, format="FLAC", subtype="PCM_24", compression_level=1.0
    )
    return buffer.getvalue()


def decode_flac(data: bytes) -> np.ndarray:
    """Decode what :func:`flac_bytes` made: the very samples that the player plays, float32 in the same shape."""
    return soundfile.read(io.BytesIO(data), dtype="float32")[0]


def _page(body: str, scripts: Sequence[str]) -> HTML:
    """Put style and scripts around a player's markup; each output stands alone wherever it is copied to."""
    here = Path(__file__).parent
    code = "\n".join((here / name).read_text(encoding="utf-8") for name in scripts)
    version = hashlib.sha256(code.encode()).hexdigest()[:12]
    style = (here / "player.css").read_text(encoding="utf-8")
    return HTML(f"<style>{style}</style>\n{body}\n<script>{code.replace('@VERSION@', version)}</script>")


def _audio(signals: Mapping[str, np.ndarray], sample_rate: int, gains: Mapping[str, float]) -> str:
    """One or two signals as a plain audio element: data for the player, and what is left where scripts do not run."""
    stacked = np.stack([np.asarray(signal) for signal in signals.values()], axis=1)
    encoded = base64.b64encode(flac_bytes(stacked if len(signals) > 1 else stacked[:, 0], sample_rate)).decode("ascii")
    attributes = "".join(
        f' data-name-{channel}="{escape(name)}"'
        + (f' data-gain-{channel}="{float(gains[name]):g}"' if name in gains else "")
        for channel, name in enumerate(signals)
    )
    sides = " (left) and ".join(map(escape, signals)) + (" (right)" if len(signals) > 1 else "")
    source = f"data:audio/flac;base64,{encoded}"
    return f'<div>{sides}<audio controls preload="none"{attributes} src="{source}"></audio></div>'


def player(
    signals: Mapping[str, np.ndarray],
    sample_rate: int = SAMPLE_RATE,
    *,
    title: str = "",
    difference: tuple[str, str] | None = None,
    gains_db: Mapping[str, float] | None = None,
) -> HTML:
    """Players side by side in one: all signals run together, a key or a click chooses the one that is heard.

    Parameters
    ----------
    signals
        Name -> samples (samples,), full scale 1, all of one length. Nothing is normalised.
    sample_rate
        Hz.
    title
        Line above the player.
    difference
        ``("attacked", "clean")`` adds a signal named "difference", attacked minus clean, subtracted in the
        page from the decoded samples; its spectrogram stands below all the time.
    gains_db
        Name -> gain in dB to begin with. The gain is shown on the button, can be changed by a slider, and
        stops where the signal would clip. Signals without an entry are played as they are (the difference
        has a slider in any case).

    Returns
    -------
    IPython.display.HTML
        For 10 s at 22 050 Hz about 0.7 MB; clean and attacked together 1.2 to 1.4 MB, and the difference costs nothing.

    Raises
    ------
    AudioError
        If a signal cannot be encoded, or the lengths differ.
    KeyError
        If ``difference`` or ``gains_db`` name a signal that is not there.

    Notebook: 00_start_here, 01_prepare_data, 07_listen
    """
    gains = dict(gains_db or {})
    names = list(signals)
    known = [*names, "difference"] if difference else names
    if missing := [name for name in [*(difference or ()), *gains] if name not in known]:
        raise KeyError(f"no such signal: {', '.join(missing)}; there are: {', '.join(known)}")
    if difference and "difference" in names:
        raise KeyError('a signal is named "difference" already: leave it out, or leave out difference=')
    lengths = {name: len(np.atleast_1d(signal)) for name, signal in signals.items()}
    if len(set(lengths.values())) != 1:
        raise AudioError(f"signals that are switched in place must have one length, not {lengths}")
    attributes = f' data-rate="{int(sample_rate)}"'
    if difference:
        minuend, subtrahend = (names.index(name) for name in difference)
        attributes += (
            f' data-difference="difference" data-minuend="{minuend}" data-subtrahend="{subtrahend}"'
            f' data-difference-gain="{float(gains.pop("difference", 0.0)):g}"'
        )
    pairs = [dict(list(signals.items())[i : i + 2]) for i in range(0, len(signals), 2)]
    sounds = "".join(_audio(pair, sample_rate, gains) for pair in pairs)
    # JupyterLab's shortcuts (x cuts a cell) must not see the player's keys
    return _page(
        f'<div class="mer-player" tabindex="0" role="group" aria-label="listening player {escape(title)}" '
        f'data-lm-suppress-shortcuts="true"{attributes}><div class="mer-title">{escape(title)}</div>'
        f'<div class="mer-plain">{sounds}</div></div>',
        SCRIPTS,
    )


def level_table(signals: Mapping[str, np.ndarray], reference: str | None = None) -> pd.DataFrame:
    """Level, clipping and signal-to-noise ratio of signals, in the numbers that listening alone does not
    give.

    Parameters
    ----------
    signals
        Name -> samples (samples,), full scale 1.
    reference
        The clean signal's name: the others, except one named "difference", get the SNR of their deviation from it.

    Returns
    -------
    pandas.DataFrame
        Per signal: peak and rms in dBFS (dB below full scale), samples at full scale (clipped), and SNR in
        dB.

    Notebook: 07_listen
    """
    rows = {}
    for name, signal in signals.items():
        signal = np.asarray(signal, dtype=np.float64)
        rows[name] = {
            "peak (dBFS)": 20 * np.log10(np.abs(signal).max() + 1e-12) + 0.0,
            "rms (dBFS)": 10 * np.log10(np.mean(signal**2) + 1e-24),
            # 24 bits: the last code below 1 and everything above it
            "samples at full scale": int((np.abs(signal) >= 1 - 2**-23).sum()),
        }
        if reference is not None and name not in (reference, "difference"):
            clean = np.asarray(signals[reference], dtype=np.float64)
            power = np.sum((signal - clean) ** 2)
            rows[name]["SNR (dB)"] = 10 * np.log10(np.sum(clean**2) / power) if power > 0 else np.inf
    return pd.DataFrame.from_dict(rows, orient="index")


def headroom_db(waveform: np.ndarray) -> float:
    """Gain in whole dB that a signal takes before it clips."""
    return float(math.floor(-20 * math.log10(float(np.abs(waveform).max()) + 1e-12)))


def abx_test(
    clips: Mapping[str, tuple[np.ndarray, np.ndarray]],
    sample_rate: int = SAMPLE_RATE,
    *,
    trials: int = 10,
    title: str = "Blind test",
) -> HTML:
    """A blind test in the page: X is A (clean) or B (attacked), in random order, over one clip or several.

    The answers stay in the page; at its end it shows the exact p-value and offers the answers as CSV, for
    :func:`abx_result`.

    Parameters
    ----------
    clips
        Name -> (clean, attacked), samples (samples,) each, of one length per clip.
    sample_rate
        Hz.
    trials
        Number of trials; the clips take turns.
    title
        Line above the test.

    Notebook: 07_listen
    """
    if not clips or trials < 1:
        raise ValueError(f"a blind test needs a clip and a trial: {len(clips)} clips, {trials} trials")
    if uneven := [name for name, (clean, attacked) in clips.items() if len(clean) != len(attacked)]:
        raise AudioError(f"clean and attacked differ in length: {', '.join(uneven)}")
    sounds = "".join(
        _audio({name: clean, f"{name}, attacked": attacked}, sample_rate, {})
        for name, (clean, attacked) in clips.items()
    )
    return _page(
        f'<div class="mer-player mer-abx" tabindex="0" role="group" aria-label="{escape(title)}" '
        f'data-rate="{int(sample_rate)}" data-trials="{int(trials)}" data-lm-suppress-shortcuts="true">'
        f'<div class="mer-title">{escape(title)}</div>'
        f'<div class="mer-plain">{sounds}</div></div>',
        (*SCRIPTS, "abx.js"),
    )


def abx_p_value(correct: int, trials: int) -> float:
    """Exact one-sided binomial p-value of an ABX test: the chance of at least this many right answers by
    guessing.

    Parameters
    ----------
    correct, trials
        Right answers and all answers, whole numbers with 0 <= correct <= trials.

    Raises
    ------
    ValueError
        For counts that cannot be.
    """
    if not 0 <= correct <= trials:
        raise ValueError(f"{correct} of {trials} answers cannot be right")
    return sum(math.comb(trials, k) for k in range(correct, trials + 1)) / 2**trials


def abx_result(answers: str | Path | pd.DataFrame) -> dict[str, float]:
    """Right answers, trials and p-value of a blind test, from the CSV that the page gave.

    Raises
    ------
    ValueError
        If the file cannot be read, columns are missing, or rows hold something else than the page writes (A or B, 0 or
        1, "correct" as x and answer say); names all of them.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of cells that would be left out
            table = answers if isinstance(answers, pd.DataFrame) else pd.read_csv(answers, index_col=False)
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise ValueError(f"{answers}: no answers of a blind test ({error})") from error
    if missing := [column for column in ABX_COLUMNS if column not in table]:
        raise ValueError(f"no answers of a blind test: columns {', '.join(missing)} are missing")
    correct = pd.to_numeric(table["correct"], errors="coerce")
    known = table["x"].isin(["A", "B"]) & table["answer"].isin(["A", "B"]) & correct.isin([0, 1])
    wrong = {
        "x or answer is not A or B, or correct not 0 or 1": ~known,
        "column 'correct' contradicts 'x' and 'answer'": known & ((table["x"] == table["answer"]) != (correct == 1)),
    }
    problems = [
        f"trials {', '.join(map(shown, table['trial'][rows]))}: {words}" for words, rows in wrong.items() if rows.any()
    ]
    if problems:
        raise ValueError("; ".join(problems))
    right, trials = int(correct.sum()), len(table)
    return {"correct": right, "trials": trials, "p_value": abx_p_value(right, trials)}
