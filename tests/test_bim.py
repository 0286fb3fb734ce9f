"""The attack: its budget holds to the last sample, it never does worse than nothing, and it agrees with others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.robust import PGD
from hypothesis import given, settings
from hypothesis import strategies as st

from mer_lib.bim import BIM, emotions_of, mse_loss
from mer_lib.metrics import snr_db
from mer_lib.models import build


class Regressor(torch.nn.Module):
    """A foreign network without anything of this study: (clips, 40) -> (clips, 8)."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = torch.nn.Sequential(torch.nn.Linear(40, 30), torch.nn.Tanh(), torch.nn.Linear(30, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build("A2M2E", 0.125, mean=0.1, std=0.2)
        for _ in range(3):
            model(torch.randn(4, 313, 149))
    return model.eval()


@pytest.fixture(scope="module")
def clips() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    waveform = torch.randn(3, 220500, generator=generator)
    waveform = waveform / waveform.abs().amax(dim=1, keepdim=True)  # peaks at full scale: the range matters
    ratings = torch.rand(3, 8, generator=generator)
    return {"spectrogram": torch.randn(3, 313, 149, generator=generator), "waveform": waveform, "ratings": ratings}


def toy(seed: int, n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 40, generator=generator) * 2 - 1, torch.rand(n, 8, generator=generator)


@settings(max_examples=60, deadline=None)
@given(
    epsilon=st.floats(1e-6, 3.0),
    steps=st.integers(0, 6),
    restarts=st.integers(1, 3),
    norm=st.sampled_from(["inf", "2"]),
    domain=st.sampled_from(["spectrogram", "waveform"]),
    seed=st.integers(0, 100),
)
def test_the_budget_holds_and_the_loss_never_falls(epsilon, steps, restarts, norm, domain, seed):
    inputs, ratings = toy(seed)
    bim = BIM(epsilon=epsilon, steps=steps, restarts=restarts, norm=norm, domain=domain, seed=seed)
    result = bim.attack(Regressor(), inputs, ratings)
    change = result.adversarial.double() - inputs.double()
    size = change.abs().amax(dim=1) if norm == "inf" else change.norm(dim=1)
    assert (size <= epsilon).all()
    if domain == "waveform":
        assert result.adversarial.abs().max() <= 1
    assert (result.attacked_loss >= result.clean_loss).all()
    assert result.loss_per_step.shape == (steps + 1, len(inputs))
    torch.testing.assert_close(result.delta, result.adversarial - inputs)


@pytest.mark.parametrize("domain", ["spectrogram", "waveform"])
@pytest.mark.parametrize("epsilon", [1e-7, 1e-5, 1e-3, 0.003])
def test_an_l2_budget_holds_where_sums_are_rounded(epsilon, domain):
    inputs, ratings = toy(1)
    result = BIM(epsilon=epsilon, steps=4, norm="2", domain=domain).attack(Regressor(), inputs, ratings)
    assert ((result.adversarial.double() - inputs.double()).norm(dim=1) <= epsilon).all()


@pytest.mark.parametrize("domain", ["spectrogram", "waveform"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_budget_holds_on_the_studys_network(network, clips, domain, precision):
    epsilon = {"spectrogram": 0.1, "waveform": 1e-3}[domain]
    bim = BIM(epsilon=epsilon, steps=4, domain=domain, precision=precision, batch_size=2)
    result = bim.attack(network, clips[domain], clips["ratings"])
    assert (result.adversarial.double() - clips[domain].double()).abs().max() <= epsilon
    assert (result.attacked_loss > result.clean_loss).all()
    output = network(result.adversarial) if domain == "spectrogram" else network.from_waveform(result.adversarial)
    torch.testing.assert_close(output.emotions, result.attacked, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mse_loss(output, clips["ratings"]), result.attacked_loss, rtol=1e-4, atol=1e-5)
    if domain == "waveform":
        assert result.adversarial.abs().max() <= 1


def test_an_attack_asked_for_an_snr_keeps_it(network, clips):
    result = BIM(snr_db=30, steps=3, norm="2", domain="waveform").attack(network, clips["waveform"], clips["ratings"])
    snr = snr_db(clips["waveform"], result.adversarial)
    assert (snr >= 30 - 1e-4).all() and (snr < 31).all()


def test_model_gradients_and_modes_are_left_as_they_were(clips):
    model = build("A2E", 0.125).train()
    model.trunk[0].eval()
    model.emotion_head.weight.requires_grad_(False)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    BIM(epsilon=0.1, steps=2).attack(model, clips["spectrogram"], clips["ratings"])
    assert model.training and not model.trunk[0].training and model.trunk[1].training
    assert not model.emotion_head.weight.requires_grad and model.trunk[0].weight.requires_grad
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_the_last_iterate_counts_and_the_best_is_kept():
    inputs, ratings = toy(3)
    result = BIM(epsilon=0.5, steps=5).attack(Regressor(), inputs, ratings)
    torch.testing.assert_close(result.attacked_loss, result.loss_per_step.max(dim=0).values)
    # One step uphill from the clean clip: the better iterate is the last one
    one = BIM(epsilon=0.01, steps=1).attack(Regressor(), inputs, ratings)
    torch.testing.assert_close(one.attacked_loss, one.loss_per_step[1])


def test_a_clip_does_not_depend_on_its_neighbours():
    inputs, ratings = toy(4, n=7)
    bim = BIM(epsilon=0.3, steps=5, restarts=3, batch_size=3)
    together = bim.attack(Regressor(), inputs, ratings)
    for index in range(7):
        alone = bim.attack(Regressor(), inputs[index : index + 1], ratings[index : index + 1])
        torch.testing.assert_close(alone.adversarial[0], together.adversarial[index], rtol=0, atol=1e-6)


def test_same_seed_same_result():
    inputs, ratings = toy(5)
    first, second = (
        BIM(epsilon=0.3, steps=3, restarts=2, seed=9).attack(Regressor(), inputs, ratings) for _ in range(2)
    )
    assert torch.equal(first.adversarial, second.adversarial)


def test_more_restarts_are_never_worse():
    inputs, ratings = toy(6)
    losses = [
        BIM(epsilon=0.8, steps=3, restarts=r).attack(Regressor(), inputs, ratings).attacked_loss for r in (1, 2, 4)
    ]
    assert (losses[1] >= losses[0]).all() and (losses[2] >= losses[1]).all()


def test_agrees_with_captums_pgd():
    inputs, ratings = toy(7)
    model, epsilon, steps = Regressor().eval(), 0.2, 10
    ours = BIM(epsilon=epsilon, steps=steps, step_size=0.05).attack(model, inputs, ratings)
    theirs = PGD(model, loss_func=lambda output, target: ((output - target) ** 2).mean(dim=1)).perturb(
        inputs, radius=epsilon, step_size=0.05, step_num=steps, target=ratings, targeted=False
    )
    their_loss = mse_loss(model(theirs), ratings).detach()
    assert ours.attacked_loss.mean().item() >= 0.99 * their_loss.mean().item()
    torch.testing.assert_close(ours.loss_per_step[-1], their_loss, rtol=1e-2, atol=1e-4)


def test_bfloat16_gradients_are_as_strong(network, clips):
    rises = []
    for precision in ("float32", "bfloat16"):
        result = BIM(epsilon=0.1, steps=10, precision=precision).attack(network, clips["spectrogram"], clips["ratings"])
        rises.append((result.attacked_loss - result.clean_loss).mean().item())
    assert rises[1] == pytest.approx(rises[0], rel=0.03)


def test_the_published_update_leaves_its_budget_and_keeps_the_last_iterate():
    inputs, ratings = toy(8)
    result = BIM(epsilon=0.001, step_size=0.002, steps=50, published_update=True).attack(Regressor(), inputs, ratings)
    assert result.delta.abs().max() > 0.05  # fifty times the stated budget
    torch.testing.assert_close(result.attacked_loss, result.loss_per_step[-1])
    # Adam on a sign moves by the learning rate at every step until a sign changes
    assert result.delta.abs().max().item() == pytest.approx(50 * 0.002, rel=1e-3)


def test_unrated_emotions_are_left_out_of_the_loss():
    inputs, ratings = toy(9)
    ratings[:, 2:] = torch.nan
    result = BIM(epsilon=0.1, steps=3).attack(Regressor(), inputs, ratings)
    expected = (result.attacked - ratings)[:, :2].square().mean(dim=1)
    torch.testing.assert_close(result.attacked_loss, expected)


def test_another_loss_can_be_raised():
    inputs, ratings = toy(10)
    happy = lambda output, ratings: emotions_of(output)[:, 5]  # noqa: E731
    result = BIM(epsilon=0.2, steps=5, loss=happy).attack(Regressor(), inputs, ratings)
    assert (result.attacked[:, 5] > result.clean[:, 5]).all()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"epsilon": 0.1, "domain": "mel"}, "domain"),
        ({"epsilon": -1}, "epsilon"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({}, "either epsilon or snr_db"),
        ({"epsilon": 0.1, "snr_db": 20}, "either epsilon or snr_db"),
        ({"snr_db": 20}, "waveform"),
        ({"epsilon": 0.1, "restarts": 0}, "restarts"),
        ({"epsilon": 0.1, "norm": "1"}, "norm"),
        ({"epsilon": 0.1, "precision": "half"}, "precision"),
        ({"epsilon": 0.1, "loss": "hinge"}, "loss"),
        ({"epsilon": 0.1, "published_update": True}, "step_size"),
        ({"epsilon": 0.1, "published_update": True, "step_size": 0.002, "domain": "waveform"}, "'spectrogram'"),
    ],
)
def test_wrong_settings_are_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        BIM(steps=5, **wrong)


@pytest.mark.parametrize(
    ("inputs", "ratings", "domain"),
    [
        (torch.zeros(2, 40), torch.zeros(3, 8), "spectrogram"),
        (torch.zeros(0, 40), torch.zeros(0, 8), "spectrogram"),
        (torch.zeros(2, 40, dtype=torch.float64), torch.zeros(2, 8), "spectrogram"),
        (torch.full((2, 40), np.nan), torch.zeros(2, 8), "spectrogram"),
        (torch.full((2, 40), 1.5), torch.zeros(2, 8), "waveform"),
    ],
)
def test_wrong_inputs_are_refused(inputs, ratings, domain):
    with pytest.raises(ValueError, match=r"inputs|waveforms"):
        BIM(epsilon=0.1, steps=1, domain=domain).attack(Regressor(), inputs, ratings)
