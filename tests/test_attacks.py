"""One table for every attack: budget, range, never below clean, the same twice, and no clip minds its neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.robust import PGD as CaptumPGD

from mer_lib.attacks import APGD, BIM, FGSM, PGD, Noise, Square, Transfer, checkpoints, worst_over
from mer_lib.bim import mse_loss
from mer_lib.losses import CorrelationLoss
from mer_lib.metrics import mean_correlation, snr_db
from mer_lib.models import build


class Regressor(torch.nn.Module):
    """A foreign network without anything of this study: (clips, 6, 8) or (clips, 48) -> (clips, 8)."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = torch.nn.Sequential(
                torch.nn.Flatten(), torch.nn.Linear(48, 30), torch.nn.Tanh(), torch.nn.Linear(30, 8)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Rowwise(Regressor):
    """The same function, clip by clip: matrix products of other batch sizes round differently, and attacks notice."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.layers(clip[None]) for clip in x])


class TransferFromAnother(Transfer):
    """Transfer in the table's form."""

    def __init__(self, **settings) -> None:
        super().__init__(method=PGD(**settings), source=Rowwise(seed=7))


# Every attack: how it is made from a budget, and what else it is told
FAMILY = {
    "BIM": (BIM, {"steps": 5}),
    "BIM, two restarts": (BIM, {"steps": 5, "restarts": 2}),
    "FGSM": (FGSM, {}),
    "PGD": (PGD, {"steps": 5, "restarts": 2}),
    "APGD": (APGD, {"steps": 12}),
    "APGD, restarts, bfloat16": (APGD, {"steps": 12, "restarts": 2, "precision": "bfloat16"}),
    "APGD on the correlation": (APGD, {"steps": 12, "loss": CorrelationLoss.of(torch.rand(9, 8))}),
    "Square": (Square, {"steps": 30}),
    "uniform noise": (Noise, {"kind": "uniform", "steps": 3}),
    "Gaussian noise": (Noise, {"kind": "gaussian", "steps": 3}),
    "random signs": (Noise, {"kind": "sign"}),
    "transfer": (TransferFromAnother, {"steps": 5}),
}
WHITE_BOX = ("BIM", "BIM, two restarts", "FGSM", "PGD", "APGD")


def toy(domain: str = "spectrogram", n: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (n, 6, 8) if domain == "spectrogram" else (n, 48)
    return torch.rand(shape, generator=generator) * 2 - 1, torch.rand(n, 8, generator=generator)


@pytest.fixture(params=FAMILY)
def make(request):
    attack, settings = FAMILY[request.param]
    return lambda **budget: attack(**{**settings, **budget})


@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("domain", ["spectrogram", "waveform"])
@pytest.mark.parametrize("epsilon", [0.0, 0.003, 0.4])
def test_budget_range_and_loss(make, domain, norm, epsilon):
    inputs, ratings = toy(domain)
    result = make(epsilon=epsilon, norm=norm, domain=domain).attack(Regressor(), inputs, ratings)
    change = (result.adversarial.double() - inputs.double()).flatten(1)
    assert ((change.abs().amax(dim=1) if norm == "inf" else change.norm(dim=1)) <= epsilon).all()
    if domain == "waveform":
        assert result.adversarial.abs().max() <= 1
    assert (result.attacked_loss >= result.clean_loss).all()
    assert result.adversarial.shape == result.delta.shape == inputs.shape and result.attacked.shape == (5, 8)
    assert result.loss_per_step.shape[1] == len(inputs)
    torch.testing.assert_close(result.delta, result.adversarial - inputs)


def test_what_is_returned_is_what_the_network_says(make):
    inputs, ratings = toy()
    model = Regressor()
    result = make(epsilon=0.3).attack(model, inputs, ratings)
    torch.testing.assert_close(result.attacked, model(result.adversarial).detach())
    torch.testing.assert_close(result.clean, model(inputs).detach())


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_the_same_seed_gives_the_same_and_no_clip_minds_its_neighbours(make, norm):
    inputs, ratings = toy(n=5)
    attack, batched = make(epsilon=0.3, norm=norm), make(epsilon=0.3, norm=norm, batch_size=2)
    together, again = (attack.attack(Rowwise(), inputs, ratings) for _ in range(2))
    assert torch.equal(together.adversarial, again.adversarial)
    backwards = batched.attack(Rowwise(), inputs.flip(0), ratings.flip(0))
    torch.testing.assert_close(backwards.adversarial.flip(0), together.adversarial, rtol=0, atol=1e-6)
    alone = attack.attack(Rowwise(), inputs[3:4], ratings[3:4])
    torch.testing.assert_close(alone.adversarial[0], together.adversarial[3], rtol=0, atol=1e-6)


def test_the_model_and_its_inputs_are_left_as_they_were(make):
    inputs, ratings = toy()
    model = Regressor().train()
    before, kept = {k: v.clone() for k, v in model.state_dict().items()}, inputs.clone()
    make(epsilon=0.3).attack(model, inputs, ratings)
    assert model.training and all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items()) and torch.equal(inputs, kept)


def test_every_attack_keeps_its_budget_on_the_studys_network_and_through_the_front_end(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build("A2M2E", 0.0625, mean=0.1, std=0.2).eval()
    generator = torch.Generator().manual_seed(1)
    waveform = torch.rand(2, 22050, generator=generator) * 2 - 1
    ratings = torch.rand(2, 8, generator=generator)
    attack = make(epsilon=1e-3, domain="waveform")
    if isinstance(attack, Transfer):
        attack = Transfer(method=attack.method, source=build("A2E", 0.0625, mean=0.1, std=0.2))
    result = attack.attack(network, waveform, ratings)
    assert (result.adversarial.double() - waveform.double()).abs().max() <= 1e-3
    assert (result.attacked_loss >= result.clean_loss).all() and result.adversarial.abs().max() <= 1


@pytest.mark.parametrize("kind", ["uniform", "gaussian", "sign"])
def test_noise_is_as_loud_as_it_is_asked_to_be(kind):
    inputs, ratings = toy("waveform")
    attack = Noise(kind=kind, norm="2", snr_db=20, domain="waveform")
    delta = attack._fit(torch.randn(5, 48), inputs * 0.5, attack._budget(inputs * 0.5))
    np.testing.assert_allclose(snr_db(inputs * 0.5, inputs * 0.5 + delta), 20, atol=0.01)
    assert (snr_db(inputs, attack.attack(Regressor(), inputs, ratings).adversarial) >= 20 - 1e-4).all()


@pytest.mark.parametrize(("kind", "mean"), [("uniform", 0.15), ("sign", 0.3), ("gaussian", 0.117)])
def test_noise_fills_its_budget(kind, mean):
    """Mean sizes under epsilon .3: half of it, all of it, and that of a Gaussian cut off at two standard deviations."""

    class Same(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    noise = Noise(epsilon=0.3, kind=kind, loss=lambda output, _: output.abs().mean(dim=1))
    delta = noise.attack(Same(), torch.zeros(2, 20000), torch.zeros(2, 1)).delta
    assert delta.abs().mean().item() == pytest.approx(mean, rel=0.03)
    assert abs(delta.mean().item()) < 0.02 * mean * 3


# --- each attack is what it is called -----------------------------------------------------------------------------


def test_fgsm_goes_once_to_the_edge():
    inputs, ratings = toy()
    model = Regressor()
    result = FGSM(epsilon=0.01).attack(model, inputs, ratings)
    x = inputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(mse_loss(model(x), ratings).sum(), x)
    torch.testing.assert_close(result.delta, 0.01 * gradient.sign(), rtol=0, atol=1e-6)
    assert result.gradients == len(inputs)


def test_pgd_starts_at_random_even_the_first_time():
    inputs, ratings = toy()
    start = PGD(epsilon=0.3, steps=0).attack(Regressor(), inputs, ratings).loss_per_step[0]
    assert not torch.allclose(start, mse_loss(Regressor()(inputs), ratings).detach())


def test_apgds_checkpoints_are_the_papers():
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]


def test_apgd_is_at_least_as_strong_as_pgd_with_any_of_several_steps():
    inputs, ratings = toy(n=20)
    model, epsilon = Regressor(), 0.5
    ours = APGD(epsilon=epsilon, steps=60).attack(model, inputs, ratings).attacked_loss.mean()
    for size in (0.02, 0.1, 0.5):
        assert (
            ours
            >= 0.995
            * BIM(epsilon=epsilon, steps=60, step_size=size).attack(model, inputs, ratings).attacked_loss.mean()
        )


def test_apgd_climbs_a_hill_it_first_steps_over():
    """loss = -|x - 0.1|, budget 1: the first step of 2 overshoots, only halving finds the top."""

    class Hill(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -(x - 0.1).abs()

    inputs = torch.zeros(1, 1)
    found = APGD(epsilon=1.0, steps=100, loss=lambda output, ratings: output[:, 0]).attack(Hill(), inputs, inputs)
    assert found.adversarial.item() == pytest.approx(0.1, abs=0.01)


def test_gradient_free_attacks_spend_no_gradients_and_yet_get_somewhere():
    inputs, ratings = toy(n=8)
    square = Square(epsilon=0.3, steps=150).attack(Regressor(), inputs, ratings)
    noise = Noise(epsilon=0.3, kind="sign").attack(Regressor(), inputs, ratings)
    white = BIM(epsilon=0.3, steps=20).attack(Regressor(), inputs, ratings)
    assert square.gradients == noise.gradients == 0
    rises = [(result.attacked_loss - result.clean_loss).mean().item() for result in (noise, square, white)]
    assert rises[0] < 0.7 * rises[1] and 0.4 * rises[2] < rises[1] <= rises[2]
    assert (square.loss_per_step.diff(dim=0) >= 0).all()


def test_a_transferred_attack_is_weaker_than_one_that_looks_inside():
    inputs, ratings = toy(n=10)
    model = Regressor()
    transferred = Transfer(method=BIM(epsilon=0.3, steps=20), source=Regressor(seed=3)).attack(model, inputs, ratings)
    assert (transferred.attacked_loss <= BIM(epsilon=0.3, steps=20).attack(model, inputs, ratings).attacked_loss).all()
    itself = Transfer(method=BIM(epsilon=0.3, steps=20), source=model).attack(model, inputs, ratings)
    torch.testing.assert_close(
        itself.attacked_loss, BIM(epsilon=0.3, steps=20).attack(model, inputs, ratings).attacked_loss
    )


def test_transfer_between_networks_of_other_scales_is_refused():
    source, model = build("A2E", 0.0625, mean=0.1, std=0.2), build("A2E", 0.0625, mean=0.3, std=0.2)
    with pytest.raises(ValueError, match="z-score"):
        Transfer(method=FGSM(epsilon=0.1), source=source).attack(model, torch.zeros(1, 313, 149), torch.zeros(1, 8))


def test_the_worst_of_several_attacks_is_chosen_clip_by_clip():
    inputs, ratings = toy(n=12)
    results = {
        "noise": Noise(epsilon=0.3).attack(Regressor(), inputs, ratings),
        "bim": BIM(epsilon=0.3, steps=2).attack(Regressor(), inputs, ratings),
        "correlation": APGD(epsilon=0.3, steps=9, loss=CorrelationLoss.of(ratings)).attack(
            Regressor(), inputs, ratings
        ),
    }
    worst, names = worst_over(results, ratings)
    each = {name: mse_loss(result.attacked, ratings) for name, result in results.items()}
    for clip, name in enumerate(names):
        assert worst.attacked_loss[clip] == max(losses[clip] for losses in each.values())
        assert torch.equal(worst.adversarial[clip], results[name].adversarial[clip])
    assert worst.gradients == sum(result.gradients for result in results.values())


def test_the_attack_aimed_at_the_correlation_lowers_it_more():
    inputs, _ = toy(n=40, seed=3)
    model = Regressor()
    ratings = model(inputs).detach() + 0.2 * torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    loss = CorrelationLoss.of(ratings, model(inputs).detach())
    aimed = APGD(epsilon=0.1, steps=20, loss=loss).attack(model, inputs, ratings)
    plain = APGD(epsilon=0.1, steps=20).attack(model, inputs, ratings)
    clean = mean_correlation(ratings, aimed.clean)
    assert mean_correlation(ratings, aimed.attacked) < mean_correlation(ratings, plain.attacked) < clean


def test_the_correlation_loss_by_hand_and_without_ratings():
    ratings = torch.tensor([[0.0, 0.5], [1.0, 0.5]])
    loss = CorrelationLoss.of(ratings)
    torch.testing.assert_close(loss(torch.tensor([[2.0, 9.0], [3.0, 9.0]]), ratings), torch.tensor([2.0, -3.0]))
    nothing = torch.full((2, 2), torch.nan)
    assert torch.equal(loss(torch.ones(2, 2), nothing), torch.zeros(2))


# --- agreement with independent implementations -------------------------------------------------------------------


def test_captums_pgd_reaches_the_same_loss():
    inputs, ratings = toy(n=8)
    model = Regressor().eval()
    ours = BIM(epsilon=0.2, steps=10, step_size=0.05).attack(model, inputs, ratings)
    theirs = CaptumPGD(model, loss_func=lambda output, target: ((output - target) ** 2).mean(dim=1)).perturb(
        inputs, radius=0.2, step_size=0.05, step_num=10, target=ratings, targeted=False
    )
    assert mse_loss(model(theirs), ratings).mean().item() == pytest.approx(
        ours.loss_per_step[-1].mean().item(), rel=0.01
    )


@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("network", ["foreign", "A2M2E"])
def test_foolboxs_pgd_reaches_the_same_loss(norm, network):
    foolbox = pytest.importorskip("foolbox", reason="foolbox, the second independent implementation, is not installed")
    import eagerpy

    if network == "foreign":
        model, (inputs, ratings) = Regressor().eval(), toy(n=8)
        answers = model
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build(network, 0.0625).eval()
        drawn = torch.Generator().manual_seed(0)
        inputs, ratings = torch.randn(3, 60, 149, generator=drawn), torch.rand(3, 8, generator=drawn)
        answers = torch.nn.Sequential(model, Emotions()).eval()
    kinds = {
        "inf": foolbox.attacks.LinfProjectedGradientDescentAttack,
        "2": foolbox.attacks.L2ProjectedGradientDescentAttack,
    }

    class OnRatings(kinds[norm]):
        def get_loss_fn(self, model, labels):
            return lambda x: eagerpy.astensor(mse_loss(model(x).raw, ratings).sum())

    epsilon = {"inf": 0.2, "2": 1.5}[norm]
    bounded = foolbox.PyTorchModel(answers, bounds=(-100, 100), device="cpu")
    attack = OnRatings(steps=10, abs_stepsize=epsilon / 4, random_start=False)
    labels = foolbox.criteria.Misclassification(torch.zeros(len(inputs), dtype=torch.long))
    theirs = attack.run(bounded, inputs, labels, epsilon=epsilon)
    ours = BIM(epsilon=epsilon, steps=10, step_size=epsilon / 4, norm=norm).attack(model, inputs, ratings)
    their_loss = mse_loss(answers(theirs), ratings).mean().item()
    assert ours.loss_per_step[-1].mean().item() == pytest.approx(their_loss, rel=0.01)
    assert (
        APGD(epsilon=epsilon, steps=20, norm=norm).attack(model, inputs, ratings).attacked_loss.mean()
        >= 0.99 * their_loss
    )


class Emotions(torch.nn.Module):
    """The emotions alone, for libraries that expect a tensor."""

    def forward(self, output):
        return output.emotions


@pytest.mark.parametrize(
    ("attack", "wrong", "named"),
    [
        (APGD, {"epsilon": 0.1, "steps": 3, "published_update": True, "step_size": 1.0}, "BIM's alone"),
        (APGD, {"epsilon": -1, "steps": 3}, "APGD: epsilon"),
        (FGSM, {"epsilon": 0.1, "steps": 2}, "one step"),
        (Noise, {"epsilon": 0.1, "kind": "pink"}, "kind"),
    ],
)
def test_wrong_settings_are_named(attack, wrong, named):
    with pytest.raises(ValueError, match=named):
        attack(**wrong)
