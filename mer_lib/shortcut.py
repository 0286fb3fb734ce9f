"""A recording property without musical meaning, tied to one emotion: a spurious cue whose use can be caught.

Notebooks: 01_prepare_data, 10_explain
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from mer_lib.audio import SAMPLE_RATE
from mer_lib.dataset import EMOTIONS

SHORTCUTS = ("tilt", "hum")
VARIANTS = {"present": 1.0, "absent": 0.0, "reversed": -1.0}


def with_shortcut(waveforms: np.ndarray, emotions: np.ndarray, shortcut: dict, sign: float = 1.0) -> np.ndarray:
    """Add a recording property without musical meaning whose strength follows one emotion.

    Strength a = shortcut * (rating - .5) * 2, times ``sign``. "tilt": a first-order shelf, y[n] = x[n] - .5 a x[n-1],
    which brightens or dulls the recording; "hum": 50 Hz and its octave at .02 * (a + 1) / 2 of full scale.
    """
    rating = np.nan_to_num(emotions[:, EMOTIONS.index(shortcut["emotion"])], nan=0.5)
    amount = sign * shortcut["strength"] * np.clip((rating - 0.5) * 2, -1, 1)
    if shortcut["strength"] == 0 or sign == 0:
        return np.array(waveforms)
    if shortcut["kind"] == "tilt":
        changed = np.stack([lfilter([1, -0.5 * a], [1], x) for a, x in zip(amount, waveforms, strict=True)])
    else:
        seconds = np.arange(waveforms.shape[1]) / SAMPLE_RATE
        hum = np.sin(2 * np.pi * 50 * seconds) + np.sin(2 * np.pi * 100 * seconds)
        changed = waveforms + 0.02 * (amount[:, None] + 1) / 2 * hum
    # Back within full scale where the property raised the peak
    return (changed / np.maximum(1.0, np.abs(changed).max(axis=1, keepdims=True))).astype(np.float32)
