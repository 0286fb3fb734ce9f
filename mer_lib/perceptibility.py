"""How audible a perturbation is: a model of simultaneous masking beside the plain ratios, and one published measure.

Noise under a loud chord is not noise in a rest. The noise-to-mask ratio (Brandenburg and Sporer 1992; "Total NMR" of
ITU-R BS.1387) sets the noise in every critical band and frame against what the music masks there: above 0 dB some of
it can be heard, according to the model. The model is Johnston's (1988):

- power in half-Bark bands (Zwicker and Terhardt 1980) of Hann frames of 46 ms;
- spread along the basilar membrane with the function of Schroeder, Atal and Hall (1979), normalised to gain 1;
- lowered by 14.5 dB + 1 dB a Bark where the frame is tonal and by 5.5 dB where it is noise (by its spectral flatness);
- never below the threshold in quiet (Terhardt 1979).

**Assumption.** Files do not say how loud they are played. A sine at full scale is taken to sound at 96 dB SPL, as in
ISO 11172-3: loud, so that quiet noise counts.

**Limits.** There is no temporal masking, and a frame of 46 ms does not resolve onsets: noise just before a drum's
stroke is audible and counts here as masked. A frame is tonal or noisy as a whole.

Notebook: 07_listen, 08_robustness
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache

import numpy as np
import pandas as pd
import soxr
from numpy.typing import ArrayLike
from torch import Tensor

from mer_lib.audio import SAMPLE_RATE
from mer_lib.metrics import segmental_snr_db, snr_db

FRAME, HOP = 1024, 512
BARK_STEP = 0.5
FULL_SCALE_DB_SPL = 96.0
FLATTEST_TONAL_DB = -60.0  # Johnston: a frame with this spectral flatness is all tone


def bark(hertz: ArrayLike) -> np.ndarray:
    """Critical-band rate in Bark (Zwicker and Terhardt 1980)."""
    hertz = np.asarray(hertz, dtype=np.float64)
    return 13 * np.arctan(0.00076 * hertz) + 3.5 * np.arctan((hertz / 7500) ** 2)


def threshold_in_quiet_db(hertz: ArrayLike) -> np.ndarray:
    """Level in dB SPL below which a tone is not heard in silence (Terhardt 1979); from 20 Hz up."""
    khz = np.maximum(np.asarray(hertz, dtype=np.float64), 20.0) / 1000
    return 3.64 * khz**-0.8 - 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4


def spreading_db(distance: ArrayLike) -> np.ndarray:
    """Excitation, in dB, at so many Bark above a masker (below it: negative): 25 dB/Bark down, 10 dB/Bark up."""
    shifted = np.asarray(distance, dtype=np.float64) + 0.474
    return 15.81 + 7.5 * shifted - 17.5 * np.sqrt(1 + shifted**2)


@lru_cache(maxsize=1)
def _bands() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Membership (bins, bands), the bands' centres in Bark, spreading (from, to), power of the threshold in quiet."""
    hertz = np.fft.rfftfreq(FRAME, 1 / SAMPLE_RATE)
    number = (bark(hertz) / BARK_STEP).astype(int)
    number[0] = number[1]  # the mean value is no sound of its own
    # Low half-Bark bands hold two bins each; one without any bin is left out
    kept, member = np.unique(number, return_inverse=True)
    membership = np.eye(len(kept))[member]
    centres = (kept + 0.5) * BARK_STEP
    spread = 10 ** (spreading_db(centres[None, :] - centres[:, None]) / 10)
    quiet = np.array([threshold_in_quiet_db(hertz[member == band]).min() for band in range(len(kept))])
    return membership, centres, spread / spread.sum(axis=0), 10 ** (quiet / 10)


def _bin_powers(waveform: np.ndarray, full_scale_db_spl: float) -> np.ndarray:
    """(frames, bins): a sine at full scale has the power 10^(full_scale_db_spl / 10) over its bins."""
    window = np.hanning(FRAME + 1)[:-1]
    padded = np.pad(waveform, (0, max(0, FRAME - len(waveform))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP] * window
    return np.abs(np.fft.rfft(frames, axis=1)) ** 2 * (4 / (FRAME * np.sum(window**2)) * 10 ** (full_scale_db_spl / 10))


def masking_threshold(
    waveform: ArrayLike, full_scale_db_spl: float = FULL_SCALE_DB_SPL
) -> tuple[np.ndarray, np.ndarray]:
    """What a recording masks: the power (frames, bands) up to which noise is not heard beside it.

    Parameters
    ----------
    waveform
        (samples,), full scale 1, 22 050 Hz.
    full_scale_db_spl
        The playback level that is assumed.

    Returns
    -------
    threshold, centres
        Powers re 20 micropascal (frames of 46 ms every 23 ms), and the bands' centres in Bark.
    """
    membership, centres, spread, quiet = _bands()
    bins = _bin_powers(np.asarray(waveform, dtype=np.float64), full_scale_db_spl)
    audible = np.maximum(bins[:, 1:], 1e-10)
    flatness_db = 10 * (np.log10(audible).mean(axis=1) - np.log10(audible.mean(axis=1)))
    tonality = np.minimum(flatness_db / FLATTEST_TONAL_DB, 1.0)[:, None]
    offset_db = tonality * (14.5 + centres) + (1 - tonality) * 5.5
    return np.maximum((bins @ membership @ spread) * 10 ** (-offset_db / 10), quiet), centres


def noise_to_mask(
    clean: ArrayLike, attacked: ArrayLike, full_scale_db_spl: float = FULL_SCALE_DB_SPL
) -> tuple[float, float]:
    """Noise-to-mask ratio of one clip.

    Parameters
    ----------
    clean, attacked
        (samples,), full scale 1, 22 050 Hz.
    full_scale_db_spl
        The playback level that is assumed.

    Returns
    -------
    nmr_db, heard_frames
        Ten times the logarithm of the mean ratio of noise to mask over bands and frames (minus infinity where nothing
        was changed), and the share of frames in which some band's noise is above its mask by 1.5 dB or more (the
        "relative disturbed frames" of ITU-R BS.1387).

    Notebook: 07_listen
    """
    clean, attacked = (np.asarray(signal, dtype=np.float64) for signal in (clean, attacked))
    if clean.shape != attacked.shape or clean.ndim != 1 or clean.size == 0:
        raise ValueError(f"clean {clean.shape} and attacked {attacked.shape}: expected (samples,) twice")
    threshold, _ = masking_threshold(clean, full_scale_db_spl)
    ratio = _bin_powers(attacked - clean, full_scale_db_spl) @ _bands()[0] / threshold
    with np.errstate(divide="ignore"):
        nmr = 10 * np.log10(ratio.mean())
    return float(nmr), float((ratio.max(axis=1) >= 10**0.15).mean())


def zimtohrli_mos(clean: ArrayLike, attacked: ArrayLike) -> float:
    """Mean opinion score (1 to 5, 5: no difference) that Zimtohrli predicts; NaN where it is not installed.

    Zimtohrli (Alakuijala et al. 2025, arXiv 2509.26133) models the ear near just noticeable differences; the extra
    ``perceptual`` installs it (``pip install -e ".[perceptual]"``). It was made for coded speech and music, not for
    perturbations that a network chose, and is weak on synthetic tones: a second opinion, no verdict.

    Notebook: 07_listen
    """
    if importlib.util.find_spec("zimtohrli") is None:
        return float("nan")
    from zimtohrli import mos_from_signals

    signals = (soxr.resample(np.asarray(signal, dtype=np.float32), SAMPLE_RATE, 48000) for signal in (clean, attacked))
    return float(mos_from_signals(*signals))


def perceptibility(clean: ArrayLike | Tensor, attacked: ArrayLike | Tensor) -> pd.DataFrame:
    """Every measure of how far attacked clips are from clean ones, without the opinion of Zimtohrli (a second a clip).

    Parameters
    ----------
    clean, attacked
        (clips, samples).

    Returns
    -------
    pandas.DataFrame
        A row a clip: snr_db, segmental_snr_db, nmr_db, heard_frames (0 to 1).

    Notebook: 07_listen, 08_robustness
    """
    nmr = [noise_to_mask(*pair) for pair in zip(np.asarray(clean), np.asarray(attacked), strict=True)]
    table = {"snr_db": snr_db(clean, attacked), "segmental_snr_db": segmental_snr_db(clean, attacked)}
    return pd.DataFrame({**table, "nmr_db": [pair[0] for pair in nmr], "heard_frames": [pair[1] for pair in nmr]})
