"""Bad audio, each file alone in a corpus of one's own: refused by name, or read as stated."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mer_lib.audio import EXCERPT_SAMPLES, SAMPLE_RATE
from mer_lib.dataset import CorpusError, load_corpus
from mer_lib.preparation import Prepared, prepare
from tests.bad_case import Case, checked, own_folder
from tests.small import tone, write_corpus

SECONDS = 0.5
Writer = Callable[[Path], object]


def prepared(folder: Path) -> Callable[[], Prepared]:
    """The reading of a case: check the tables, decode, prepare beside the corpus."""
    return lambda: prepare(load_corpus(folder / "mine"), folder / "out", workers=1, progress=False)


def audio(write: Writer, name: str = "a.wav", look: Callable[[Prepared], object] | None = None) -> Callable:
    """A corpus whose only clip is what ``write`` writes; ``look`` says what of the prepared corpus is compared."""

    def make(folder: Path) -> Callable[[], object]:
        own_folder(folder / "mine", [name])
        (folder / "mine" / name).unlink(missing_ok=True)
        write(folder / "mine" / name)
        read = prepared(folder)
        return read if look is None else lambda: look(read())

    return make


def sound(samples: np.ndarray | None = None, rate: int = SAMPLE_RATE, cut: float = 1.0, **kind: str) -> Writer:
    """Write samples (a tone by default), and of the file only its first part."""

    def write(path: Path) -> None:
        soundfile.write(path, tone(seconds=SECONDS) if samples is None else samples, rate, **kind)
        path.write_bytes(path.read_bytes()[: int(cut * path.stat().st_size)])

    return write


def patched(start: int, value: bytes, ending: str) -> Writer:
    """A right file with some bytes of its header changed."""

    def write(path: Path) -> None:
        soundfile.write(path, tone(seconds=SECONDS), SAMPLE_RATE, format=ending)
        data = bytearray(path.read_bytes())
        data[start : start + len(value)] = value
        path.write_bytes(bytes(data))

    return write


def several(folder: Path) -> Callable[[], object]:
    """Four clips, three of them bad in three ways."""
    mine = own_folder(folder / "mine", ["right.wav", "silent.wav", "text.wav", "short.wav"])
    soundfile.write(mine / "silent.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    (mine / "text.wav").write_text("no audio")
    soundfile.write(mine / "short.wav", np.ones(3), SAMPLE_RATE)
    return prepared(folder)


def folder_in_set1(folder: Path) -> Callable[[], object]:
    """A directory named like a clip, in the layout of Soundtracks."""
    write_corpus(folder / "soundtracks", clips=10, seconds=0.1)
    (folder / "soundtracks" / "Set1" / "003.wav").unlink()
    (folder / "soundtracks" / "Set1" / "003.mp3").mkdir()
    return lambda: load_corpus("soundtracks", folder)


def peak_and_notes(corpus: Prepared) -> tuple[float, list[str]]:
    return float(np.abs(corpus.waveforms[0]).max()), corpus.info["notes"]


def is_the_tone(corpus: Prepared) -> bool:
    """Whether the clip is half a second of the tone of 440 Hz, scaled to a peak of 1, and silence after it."""
    wave = corpus.waveforms[0]
    middle = slice(2000, int(SECONDS * SAMPLE_RATE) - 2000)
    near = [float(np.abs(wave[middle] - 2 * tone(seconds=SECONDS + 1)[shift:][middle]).max()) for shift in range(60)]
    return (
        wave.shape == (EXCERPT_SAMPLES,) and min(near) < 0.06 and not wave[int((SECONDS + 0.1) * SAMPLE_RATE) :].any()
    )


def six_channels() -> np.ndarray:
    """Noise in five channels, and in the sixth what makes their average the tone."""
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, (len(tone(seconds=SECONDS)), 5))
    return np.column_stack([noise, 6 * tone(seconds=SECONDS, level=0.05) - noise.sum(axis=1)])


def at_192_khz() -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(SECONDS * 192000)) / 192000)


NOISE = np.random.default_rng(0).bytes(20_000)
CLIPPED = np.clip(4 * tone(seconds=SECONDS), -1, 1)
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + NOISE[:500]
SHORT = "shorter than 10 s and padded with zeros: a.wav (0.50 s)"


def refused(name: str, write: Writer, *says: str, file: str = "a.wav") -> Case:
    """A case that ends with one error that names the file, in the library and on the command line."""
    return Case(name, audio(write, file), CorpusError, (file, "1 unusable file(s)", *says), command=checked)


def wrong(name: str, write: Writer, *says: str) -> Case:
    """The same for what is seen before anything is decoded."""
    return Case(name, audio(write), CorpusError, ("a.wav", "1 problem(s)", *says), command=checked)


BAD_ONES = ("silent.wav", "text.wav", "short.wav: only 3 sample")
AUDIO = [
    refused("a truncated WAV", sound(cut=0.5), "cut off", "50%", "get it again"),
    refused("a truncated AIFF", sound(cut=0.5, format="AIFF"), "cut off", "50%"),
    refused("a truncated MP3", sound(cut=0.5, format="MP3"), "cut off", file="a.mp3"),
    refused("a truncated FLAC", sound(cut=0.5, format="FLAC"), "damaged or cut off"),
    refused("a truncated Ogg", sound(cut=0.5, format="OGG"), "cut off"),
    refused("an empty file", lambda path: path.write_bytes(b""), "cannot be decoded"),
    refused("a header without samples", sound(np.zeros(0)), "holds no samples"),
    refused("text named .mp3", lambda path: path.write_text("la la la " * 99), "no audio", file="a.mp3"),
    refused("a picture named .wav", lambda path: path.write_bytes(PNG), "no audio"),
    refused("noise named .mp3", lambda path: path.write_bytes(b"\xff\xfb\x90\0" + NOISE), "no audio", file="a.mp3"),
    refused("a silent file", sound(np.zeros(SAMPLE_RATE)), "silent"),
    refused("all but silent", sound(tone(level=5e-5), subtype="FLOAT"), "silent (peak 5.0e-05"),
    refused("one sample", sound(np.array([0.5])), "only 1 sample(s) of sound"),
    refused("one sample at 192 kHz", sound(np.array([0.5]), 192000), "too short"),
    refused("not a number", sound(np.array([0.1, np.nan] * 5000), subtype="FLOAT"), "holds NaN"),
    refused("infinity", sound(np.array([0.1, np.inf] * 5000), subtype="FLOAT"), "infinite"),
    refused("beyond single precision", sound(np.array([0.1, 1e300] * 5000), subtype="DOUBLE"), "infinite"),
    refused("a rate of 1 Hz", patched(24, struct.pack("<I", 1), "WAV"), "sample rate of 1 Hz"),
    refused("a rate of 4 GHz", patched(24, b"\xff\xff\xff\x7f", "WAV"), "sample rate of 2147483647 Hz"),
    refused("a rate of 0", patched(24, struct.pack("<I", 0), "WAV"), "cannot be decoded"),
    refused("2 ** 36 samples in the header", patched(22, b"\xff" * 4, "FLAC"), "more than fit 1 GiB"),
    Case("several bad files", several, CorpusError, ("3 unusable", *BAD_ONES), command=checked),
    wrong("a folder named .wav", Path.mkdir, "folders in the column 'file'"),
    wrong("a pipe named .wav", os.mkfifo, "ratings without audio"),
    wrong("a broken link", lambda path: path.symlink_to("gone.wav"), "ratings without audio"),
    wrong("no file", lambda path: None, "ratings without audio"),
    Case("a folder named .mp3 in Set1", folder_in_set1, CorpusError, ("names say audio", "003.mp3")),
    # Stated repairs
    Case("an MP3 named .wav is read as MP3", audio(sound(format="MP3"), look=is_the_tone), gives=True),
    Case("a WAV named .mp3 is read as WAV", audio(sound(format="WAV"), "a.mp3", look=is_the_tone), gives=True),
    Case("8 bits", audio(sound(subtype="PCM_U8"), look=is_the_tone), gives=True),
    Case("6 channels are averaged", audio(sound(six_channels()), look=is_the_tone), gives=True),
    Case("192 kHz is resampled", audio(sound(at_192_khz(), 192000), look=is_the_tone), gives=True),
    Case(
        "a clipped file is taken, with a note",
        audio(sound(CLIPPED), look=peak_and_notes),
        gives=(1.0, [SHORT, "clipped, by the share of samples cut off at full scale: a.wav (59%)"]),
    ),
    Case(
        "beyond full scale is scaled",
        audio(sound(8 * tone(seconds=SECONDS), subtype="FLOAT"), look=peak_and_notes),
        gives=(pytest.approx(1.0), [SHORT]),
    ),
]
