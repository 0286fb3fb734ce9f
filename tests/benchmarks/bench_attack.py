"""The attack against the published procedure, the libraries, the processor's peak and the other domain."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import pytest
import torch

from mer_lib.bim import BIM, AttackResult, mse_loss
from mer_lib.models import Network
from mer_lib.runs import load_pretrained
from mer_lib.winograd import direct_only
from tests.benchmarks.contenders import LIBRARIES, installed, published
from tests.benchmarks.measuring import Duel, Size, convolution_peak, faster, gflop, matmul_peak, widened
from tests.benchmarks.report import Report, Row

EPSILON = 0.1
SHORT = {torch.float32: "f32", torch.bfloat16: "bf16"}


def bim(steps: int, **keywords: object) -> BIM:
    """The attack as the study uses it."""
    return BIM(**{"epsilon": EPSILON, "steps": steps, "step_size": 2.5 * EPSILON / 50, **keywords})


def rate(clips: int, steps: int, seconds: list[float]) -> str:
    """Clip-steps a second."""
    return f"{clips * steps / median(seconds):.3g}"


def rise(result: AttackResult, ratings: torch.Tensor) -> float:
    """Mean rise of the mean absolute error."""
    before, after = (said.sub(ratings).abs().mean() for said in (result.clean, result.attacked))
    return (after - before).item()


def counted(attack: BIM, network: Network, clip: torch.Tensor, rated: torch.Tensor) -> tuple[float, float]:
    """GFLOP of attacking one clip: as direct convolutions, which is what all are measured by, and as it is done."""
    with direct_only():
        direct = gflop(lambda: attack.attack(network, clip, rated))
    return direct, gflop(lambda: attack.attack(network, clip, rated))


def of_the_peak(seconds: list[float], peaks: list[float], work: float, size: Size, dtype: torch.dtype) -> Row:
    """The row that compares the attack's GFLOP a second with those of matrix products measured beside it."""
    reached, alone = [work / taken for taken in seconds], convolution_peak(dtype, size.quick) / 1e9
    return Row(
        order=4,
        work=f"BIM, FLOP/s in {SHORT[dtype]}",
        against="the processor's matrix product",
        ratios=[ours * 1e9 / peak for ours, peak in zip(reached, peaks, strict=True)],
        target={torch.float32: 0.8, torch.bfloat16: 0.65}[dtype],
        sizes=str(size),
        measured=f"{median(reached):.0f} of {median(peaks) / 1e9:.0f} GFLOP/s, scoring in f32 included, counted as "
        "direct convolutions",
        limit=f"The trunk's largest convolution alone, computed directly, reaches {alone:.0f} GFLOP/s: the attack "
        f"makes {median(reached) / alone:.0%} of that. Winograd's form of the wide layers needs a quarter of the "
        "products, but must write its tiles to memory; narrow convolutions, pooling and ReLU stay as they are",
    )


def test_bim_in_float32(
    duel: Duel, size: Size, report: Report, network: Network, clips: dict, spectrograms: torch.Tensor
) -> None:
    ratings, steps, short, count = clips["ratings"], size.steps, size.other_steps, len(clips["ratings"])
    arguments = (network, spectrograms, ratings, EPSILON, bim(1).step_size)
    present = installed(report.missing)
    libraries: dict[str, Callable] = {name: LIBRARIES[name].make(*arguments) for name in present}
    ours, theirs = bim(short).attack(network, spectrograms, ratings), published(*arguments)
    for name, attack in libraries.items():  # the same work: as strong, within the budget
        attacked = attack(short).detach()
        with torch.no_grad():
            reached = mse_loss(network(attacked), ratings).mean()
        assert (attacked - spectrograms).abs().max() <= EPSILON * 1.001, name
        torch.testing.assert_close(reached, ours.loss_per_step[-1].mean(), rtol=0.03, atol=1e-4, msg=name)
    theirs(1)
    peaks: list[float] = []
    taken = duel(
        lambda: report.remembered.update(full=bim(steps).attack(network, spectrograms, ratings)),
        {
            "published": lambda: theirs(short),
            **{name: lambda attack=attack: attack(short) for name, attack in libraries.items()},
            "peak": lambda: peaks.append(matmul_peak(torch.float32, size.quick)),
        },
        size.rounds,
    )
    work, done = (count * each for each in counted(bim(steps), network, spectrograms[:1], ratings[:1]))
    one_step = gflop(lambda: published(network, spectrograms[:1], ratings[:1], *arguments[3:])(1))
    common = {"work": "BIM, f32", "sizes": f"{size}, {steps} steps, of the other {short} a round"}
    own_rate = rate(count, steps, taken["ours"])
    report.rows.append(
        Row(
            **common,
            order=1,
            against="published procedure, one clip at a time",
            ratios=faster(taken, "published", steps / short),
            target=1.8,
            measured=f"{own_rate} against {rate(count, short, taken['published'])} clip-steps/s",
            limit=f"A published step takes {one_step:.3g} GFLOP a clip, ours {work / count / steps:.3g} as direct "
            f"convolutions and {done / count / steps:.3g} as it is done, scoring included: by arithmetic "
            f"{one_step * count * steps / done:.2f}. Winograd's transforms wait for memory",
        )
    )
    fastest = min(present, key=lambda name: median(taken[name]), default=None)
    own_peak = convolution_peak(torch.float32, size.quick) / 1e9
    for name, release in present.items():
        speed = one_step * 2 / 3 * count * short / median(taken[name])  # without gradients of weights
        report.rows.append(
            Row(
                **common,
                order=3,
                against=f"{name} {release}" + (", the fastest library" if name == fastest else ""),
                ratios=faster(taken, name, steps / short),
                target=1.2 if name == fastest else None,
                measured=f"{own_rate} against {rate(count, short, taken[name])} clip-steps/s",
                limit=f"It makes {speed:.0f} GFLOP/s of those that an input gradient needs, and a convolution alone "
                f"{own_peak:.0f}: an attack of convolutions alone would be {own_peak / speed:.2f} times as fast",
            )
        )
    report.rows.append(of_the_peak(taken["ours"], peaks, work, size, torch.float32))


def test_bim_with_bfloat16_gradients(
    duel: Duel, size: Size, report: Report, network: Network, clips: dict, spectrograms: torch.Tensor
) -> None:
    ratings, steps, short, count = clips["ratings"], size.steps, size.other_steps, len(clips["ratings"])
    theirs = published(network, spectrograms, ratings, EPSILON, bim(1).step_size)
    half = bim(steps, precision="bfloat16")
    theirs(1)
    bim(1, precision="bfloat16").attack(network, spectrograms, ratings)
    found, peaks = [], []
    taken = duel(
        lambda: found.append(half.attack(network, spectrograms, ratings)),
        {
            "published": lambda: theirs(short),
            "peak": lambda: peaks.append(matmul_peak(torch.bfloat16, size.quick)),
        },
        size.rounds,
    )
    full = report.remembered.get("full") or bim(steps).attack(network, spectrograms, ratings)
    rises = [rise(result, ratings) for result in (found[-1], full)]
    apart = abs(rises[0] / rises[1] - 1)
    work, done = (count * each for each in counted(half, network, spectrograms[:1], ratings[:1]))
    gain = median(peaks) / matmul_peak(torch.float32, size.quick)
    report.rows.append(
        Row(
            order=2,
            work="BIM, bf16 gradients judged in f32",
            against="published procedure, one clip at a time",
            ratios=faster(taken, "published", steps / short),
            target=7,
            holds=apart <= 0.01,
            sizes=f"{size}, {steps} steps, of the published procedure {short} a round",
            measured=f"{rate(count, steps, taken['ours'])} against {rate(count, short, taken['published'])} "
            f"clip-steps/s; MAE rises by {rises[0]:.4f}, with f32 gradients {rises[1]:.4f} ({100 * apart:.1f} % apart)",
            limit=f"A bf16 matrix product is {gain:.2f} times as fast as one in f32 here, and without gradients of "
            f"weights two thirds of the arithmetic remain: {1.5 * gain:.1f} where both sides use the units alike. "
            f"Winograd's form leaves {done / work:.0%} of the arithmetic, and its transforms wait for memory",
        )
    )
    report.rows.append(of_the_peak(taken["ours"], peaks, work, size, torch.bfloat16))
    if not size.quick:
        assert apart <= 0.01


@pytest.mark.parametrize(("width", "target"), [(1.0, 0.8), (0.25, 0.6)])
def test_the_waveform_domain(duel: Duel, size: Size, report: Report, clips: dict, width: float, target: float) -> None:
    if size.quick and width == 1.0:
        pytest.skip("full width is left out of the quick sizes")
    small = load_pretrained("A2E").model
    model = widened(small, width) if width != small.width else small
    waveforms, ratings = clips["waveforms"], clips["ratings"]
    with torch.no_grad():
        inputs = model.standardise(model.front_end(waveforms))
    steps = size.wave_steps
    wave = bim(steps, domain="waveform", epsilon=0.001, step_size=None)
    bim(1).attack(model, inputs, ratings)
    bim(1, domain="waveform").attack(model, waveforms, ratings)
    taken = duel(
        lambda: wave.attack(model, waveforms, ratings),
        {"spectrogram": lambda: bim(steps).attack(model, inputs, ratings)},
        size.rounds,
    )
    rates = [rate(len(ratings), steps, taken[name]) for name in ("ours", "spectrogram")]
    more = [ours - theirs for ours, theirs in zip(taken["ours"], taken["spectrogram"], strict=True)]
    report.rows.append(
        Row(
            order=5,
            work=f"BIM on waveforms, width {width:g}",
            against="BIM on spectrograms",
            ratios=faster(taken, "spectrogram"),
            target=target,
            measured=f"{rates[0]} against {rates[1]} clip-steps/s",
            sizes=f"width {width:g}, {len(ratings)} clips, {steps} steps",
            limit=f"Front end, its gradient and scoring add {1e3 * median(more) / steps:.0f} ms to a step of "
            f"{len(ratings)} clips",
        )
    )
