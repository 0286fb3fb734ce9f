"""What was made faster gives what it gave before: spectrograms, gradients, attacked predictions; and stays small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mer_lib.audio import SAMPLE_RATE, to_mono
from mer_lib.bim import BIM
from mer_lib.places import ROOT
from mer_lib.runs import load_pretrained
from mer_lib.spectrogram import FRAME_SIZE, LogSpectrogram, frame_starts, number_of_frames
from mer_lib.winograd import direct_only

REFERENCE = json.loads((Path(__file__).parent / "reference" / "attacked.json").read_text())
ATTACKS = {
    "spectrogram": {"epsilon": 0.1},
    "spectrogram, bfloat16 gradients": {"epsilon": 0.1, "precision": "bfloat16"},
    "spectrogram, l2": {"epsilon": 5.0, "norm": "2"},
    "waveform": {"epsilon": 0.003, "domain": "waveform"},
    "waveform, 30 dB": {"snr_db": 30, "norm": "2", "domain": "waveform"},
}
RATINGS = torch.tensor(np.random.default_rng(1).uniform(0.1, 0.8, (3, 8)), dtype=torch.float32)


class PlainLogSpectrogram(LogSpectrogram):
    """The front end written down without anything that makes it fast: autograd finds the gradient by itself."""

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        starts = torch.from_numpy(frame_starts(number_of_frames(waveform.shape[1])))
        padded = torch.nn.functional.pad(waveform, (0, FRAME_SIZE))
        frames = padded[:, starts[:, None] + torch.arange(FRAME_SIZE)]
        spectra = torch.fft.rfft(frames * self.transform.window)[..., : FRAME_SIZE // 2]
        return torch.log10(1 + spectra.abs() @ self.filters)


def chords() -> torch.Tensor:
    """Three clips of plucked chords over a little noise, (3, 220500)."""
    seconds, random, clips = np.arange(220500) / 22050, np.random.default_rng(0), []
    for pulse in (2, 3, 4):
        tones = [np.sin(2 * np.pi * 110 * 2 ** (step / 12) * seconds) for step in random.integers(0, 36, 5)]
        clip = sum(tones) * np.exp(-3 * (seconds * pulse % 1)) + 0.02 * random.normal(size=len(seconds))
        clips.append(0.9 * clip / np.abs(clip).max())
    return torch.tensor(np.array(clips), dtype=torch.float32)


def attacked(system: str, attack: str) -> torch.Tensor:
    """What a network says to the attacked chords, (3, 8)."""
    model, waveforms = load_pretrained(system).model, chords()
    with torch.no_grad():
        inputs = waveforms if attack.startswith("waveform") else model.standardise(model.front_end(waveforms))
    return BIM(steps=10, **ATTACKS[attack]).attack(model, inputs, RATINGS).attacked


def arithmetic() -> list[str]:
    """What decides about the last bits: torch, the vector units it uses, and the processor."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().partition("\n\n")[0].splitlines() if known.is_file() else []
    about = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    processor = " ".join(about.get(name, "?") for name in ("vendor_id", "cpu family", "model"))
    return [torch.__version__.split("+")[0], torch.backends.cpu.get_cpu_capability(), processor]


def reference(system: str, attack: str) -> torch.Tensor:
    """What the same network said before anything was made faster (`commit` in the file)."""
    if load_pretrained(system).info["weights_sha256"] != REFERENCE["weights_sha256"][system]:
        pytest.skip(f"{system} in data/pretrained has other weights than when the reference was written")
    return torch.tensor(REFERENCE["attacked"][f"{system}, {attack}"])


@pytest.mark.parametrize("system", ["A2E", "A2M2E"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_attacked_predictions_are_those_from_before(system, attack):
    """With direct convolutions; what their cheaper forms change is the next test's."""
    before = reference(system, attack)
    # Signs of gradients near 0 depend on roundings: another processor moves predictions by up to .001. So does, with
    # l2 steps on waveforms, the number of clips in a batch: no more than that can be asked there. The front end's
    # gradient is summed in another order than before, which moved one waveform prediction by .00003.
    same = arithmetic() == REFERENCE["arithmetic"] and attack != "waveform, 30 dB"
    tolerance = (1e-4 if attack == "waveform" else 1e-6) if same else 3e-3
    with direct_only():
        torch.testing.assert_close(attacked(system, attack), before, rtol=0, atol=tolerance)


@pytest.mark.parametrize("system", ["A2E", "A2M2E"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_cheaper_gradients_find_the_same(system, attack):
    """Sums in another order: in bfloat16 a clip's predictions move by up to .0005, the published mean error hardly."""
    before, now = reference(system, attack), attacked(system, attack)
    torch.testing.assert_close(now, before, rtol=0, atol=3e-3)
    errors = [(RATINGS - said).square().mean().item() for said in (now, before)]
    assert errors[0] == pytest.approx(errors[1], rel=3e-4 if arithmetic() == REFERENCE["arithmetic"] else 0.01)


@pytest.mark.parametrize("samples", [1500, 30000])
def test_the_front_end_is_the_plain_one_to_second_order(samples):
    fast, plain = LogSpectrogram().double(), PlainLogSpectrogram().double()
    for front_end in (fast, plain):
        front_end.transform.window = front_end.transform.window.double()
    generator = torch.Generator().manual_seed(0)
    signal = 0.1 * torch.randn(2, samples, dtype=torch.float64, generator=generator)
    signal[1, : samples // 2] = 0  # frames of silence, whose magnitudes have no gradient
    direction = torch.randn(2, samples, dtype=torch.float64, generator=generator)
    found = []
    for front_end in (fast, plain):
        leaf = signal.clone().requires_grad_()
        values = front_end(leaf)
        weights = torch.sin(torch.arange(values.numel(), dtype=torch.float64)).view_as(values)
        (gradient,) = torch.autograd.grad((values * weights).sum(), leaf, create_graph=True)
        (second,) = torch.autograd.grad((gradient * direction)[:1].sum(), leaf)
        found.append((values, gradient, second))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def test_spectrograms_did_not_change_by_a_rounding():
    """Corpora that are prepared already, and networks trained on them, stay comparable to the last decimal."""
    waveforms = chords()
    fast, plain = LogSpectrogram()(waveforms), PlainLogSpectrogram()(waveforms)
    torch.testing.assert_close(fast, plain, rtol=0, atol=5e-7)
    if arithmetic() == REFERENCE["arithmetic"]:
        assert torch.equal(fast, plain)


@pytest.mark.parametrize("channels", [1, 2, 3, 7, 8, 9])
def test_channels_are_averaged_as_numpy_does(channels):
    samples = np.random.default_rng(channels).normal(size=(10_001, channels)).astype(np.float32)
    assert np.array_equal(to_mono("any.wav", samples, SAMPLE_RATE), samples.mean(axis=1))


GROWTH = """
import resource, sys, torch
from pathlib import Path
from mer_lib.bim import BIM
from mer_lib.models import build
def most():
    # On Linux getrusage's peak is inherited from whoever started this process; that of the status file is not
    if Path("/proc/self/status").is_file():
        return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
model, inputs = build("A2E", 0.125), torch.zeros(1, 313, 149)
def peak(clips):
    result = BIM(epsilon=0.1, steps=1, batch_size=4).attack(model, inputs.expand(clips, -1, -1), torch.zeros(clips, 8))
    assert len(result.adversarial) == clips
    return most()
few = peak(8)
print(peak(104) - few)
"""


@pytest.mark.skipif(os.name == "nt", reason="reads the peak memory from getrusage, which Windows lacks")
def test_memory_is_bounded_by_the_batch():
    """Thirteen times the clips add the room of their results, which were asked for, and next to nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    results = 96 * 2 * 313 * 149 * 4  # adversarial and delta of 96 clips more
    assert int(done.stdout) < 1.15 * results + 8e6
