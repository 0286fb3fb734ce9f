"""Attacks on explanations: maps are captum's, budgets and predictions hold, and what is kept is the worst found."""

import numpy as np
import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mer_lib import lens
from mer_lib.attribution_attacks import AIMS, ALL_AIMS, AttributionAttack
from mer_lib.attribution_maps import METHODS, Explained, attribution_maps, silence, smooth_stand_in
from mer_lib.audio import decode, peak_normalise
from mer_lib.places import ROOT
from mer_lib.runs import load_pretrained
from mer_lib.spectrogram import LogSpectrogram

SAMPLES = 3000
TEST_CLIPS = ("146.ogg", "310.ogg")


class Regressor(nn.Module):
    """A foreign network: maps (clips, 14, 9), or waveforms (clips, 3000) through a front end of its own."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 126, 8))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.layers(maps.unsqueeze(1))

    def front_end(self, waveforms: torch.Tensor) -> torch.Tensor:
        return 3 * waveforms[:, : 126 * 20].unflatten(1, (14, 9, 20)).mean(dim=3)

    def standardise(self, maps: torch.Tensor) -> torch.Tensor:
        return maps


def toy(seed: int, domain: str = "spectrogram", clips: int = 3) -> tuple[torch.Tensor, Explained]:
    generator = torch.Generator().manual_seed(seed)
    shape = (clips, SAMPLES) if domain == "waveform" else (clips, 14, 9)
    emotion, sign = torch.randint(0, 8, (clips,), generator=generator), torch.ones(clips)
    sign[::2] = -1
    return torch.rand(shape, generator=generator) * 2 - 1, Explained(emotion, sign)


def quick(aim: str, **changes: object) -> AttributionAttack:
    return AttributionAttack(**{"aim": aim, "epsilon": 0.1, "steps": 4, "k": 12, "window": 1, **changes})


@pytest.fixture(scope="module")
def music() -> torch.Tensor:
    """The first 10 s of two test clips of the Études, (2, 220500)."""
    clips = [decode(ROOT / "data" / "etudes" / "Set1" / name)[:220500] for name in TEST_CLIPS]
    return torch.from_numpy(np.array([peak_normalise(clip) for clip in clips], dtype=np.float32))


@pytest.fixture(scope="module")
def black_box(music):
    """The pretrained A2E with z-scored spectrograms of these clips, and what is explained."""
    model = load_pretrained("A2E").model
    with torch.no_grad():
        inputs = model.standardise(LogSpectrogram()(music))
        emotions = model(inputs).emotions
    return model, inputs, Explained.of(emotions, torch.full((8,), 0.5))


def test_what_is_explained_departs_most_and_its_sign_is_the_departures():
    emotions = torch.tensor([[0.5, 0.9, 0.4], [0.1, 0.5, 0.6], [torch.nan, 0.5, 0.4]])
    found = Explained.of(emotions, torch.tensor([0.5, 0.6, 0.5]))
    assert found.emotion.tolist() == [1, 0, 1] and found.sign.tolist() == [1, -1, -1]
    given_one = Explained.of(emotions, torch.tensor([0.5, 0.6, 0.5]), emotion=2)
    assert given_one.emotion.tolist() == [2, 2, 2] and given_one.sign.tolist() == [-1, 1, -1]


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
def test_maps_equal_captums(black_box):
    model, inputs, explained = black_box
    for chosen in (explained, Explained(torch.tensor([3, 6]), torch.tensor([1.0, -1.0]))):
        sign, target = chosen.sign[:, None, None], chosen.emotion
        quiet = torch.full_like(inputs, float(silence(model)))
        assert torch.allclose(quiet, model.standardise(torch.zeros_like(inputs)))
        wanted = {
            "gradient": Saliency(lambda x: model(x).emotions).attribute(inputs, target=target, abs=False),
            "integrated gradients": IntegratedGradients(lambda x: model(x).emotions).attribute(
                inputs, quiet, target=target, n_steps=3, method="riemann_middle"
            ),
        }
        # The same from silence: the network, entered above it
        shifted = InputXGradient(lambda x, quiet=quiet: model(x + quiet).emotions)
        wanted["gradient x input"] = shifted.attribute(inputs - quiet, target=target)
        for method in METHODS:
            emotions, maps = attribution_maps(model, inputs, chosen, method, steps=3)
            torch.testing.assert_close(maps, sign * wanted[method].detach(), rtol=1e-3, atol=2e-6)
            torch.testing.assert_close(emotions, model(inputs).emotions.detach())
            assert not maps.requires_grad and maps.std() > 0


def test_integrated_gradients_sum_to_the_difference_from_silence():
    model, (inputs, explained) = Regressor(), toy(2)
    _, maps = attribution_maps(model, inputs, explained, "integrated gradients", steps=200)
    answers = (model(inputs) - model(torch.zeros_like(inputs)))[torch.arange(3), explained.emotion]
    torch.testing.assert_close(maps.sum(dim=(1, 2)), explained.sign * answers.detach(), rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_the_stand_ins_maps_have_a_true_slope(method):
    model = smooth_stand_in(Regressor(), beta=5.0).double()
    inputs, explained = toy(1, clips=1)
    inputs = inputs[:, :5, :4].double()
    model.layers[3] = nn.Linear(6 * 20, 8).double()
    torch.autograd.gradcheck(
        lambda x: attribution_maps(model, x, explained, method, 2, True)[1],
        inputs.requires_grad_(),
    )


def test_a_relu_network_shows_no_slope_of_its_gradient_and_its_stand_in_does(black_box):
    model, inputs, explained = black_box
    slopes = {}
    for name, net in (("ReLU", model), ("softplus", smooth_stand_in(model, 20.0))):
        clips = inputs.clone().requires_grad_()
        _, maps = attribution_maps(net, clips, explained, "gradient", create_graph=True)
        (slope,) = torch.autograd.grad(maps[:, 100:200].sum(), clips, allow_unused=True)
        slopes[name] = 0.0 if slope is None else slope.abs().max().item()
    assert slopes["ReLU"] == 0 and slopes["softplus"] > 0


def test_the_stand_in_comes_near_the_network_as_beta_grows(black_box):
    model, inputs, explained = black_box
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    emotions, maps = attribution_maps(model, inputs, explained, "gradient x input")
    apart, alike = [], []
    for beta in (5.0, 20.0, 200.0):
        stand_in = smooth_stand_in(model, beta)
        assert not any(isinstance(layer, nn.ReLU) for layer in stand_in.modules())
        said, smooth = attribution_maps(stand_in, inputs, explained, "gradient x input")
        apart.append((said - emotions).abs().max().item())
        alike.append(float(np.mean(lens.spearman(smooth.numpy(), maps.numpy()))))
    assert apart[0] > apart[1] > apart[2] and apart[2] < 1e-3
    assert alike[0] < alike[1] < alike[2] and alike[2] > 0.9
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@given(
    aim=st.sampled_from(ALL_AIMS),
    domain=st.sampled_from(["spectrogram", "waveform"]),
    method=st.sampled_from(METHODS),
    epsilon=st.floats(1e-6, 2.0),
    tolerance=st.sampled_from([0.0, 1e-3, 0.05, 5.0]),
    steps=st.integers(1, 4),
    seed=st.integers(0, 50),
)
@settings(max_examples=60)
def test_the_budget_and_the_predictions_hold_and_the_kept_iterate_is_the_worst(
    aim, domain, method, epsilon, tolerance, steps, seed
):
    model, (inputs, explained) = Regressor(), toy(seed, domain)
    attack = quick(aim, domain=domain, method=method, epsilon=epsilon, tolerance=tolerance, steps=steps, ig_steps=2)
    result = attack.attack(model, inputs, explained)
    assert ((result.adversarial.double() - inputs.double()).abs() <= epsilon).all()
    if domain == "waveform":
        assert result.adversarial.abs().max() <= 1
    torch.testing.assert_close(result.delta, result.adversarial - inputs)
    heard = model.front_end(result.adversarial) if domain == "waveform" else result.adversarial
    emotions, maps = attribution_maps(model, heard, explained, method, 2)
    torch.testing.assert_close(result.attacked, emotions)
    torch.testing.assert_close(result.after, maps)
    assert (result.moved <= tolerance).all()
    torch.testing.assert_close(result.moved, (result.attacked - result.clean).abs().amax(dim=1))
    scores = result.score_per_step.numpy()
    assert scores.shape == (steps + 1, 3) and np.isfinite(scores[0]).all()
    np.testing.assert_array_equal(np.nanmin(scores, axis=0), scores[result.kept, np.arange(3)])
    judge = {"random sign": "top-k", "LENS, published": "LENS"}.get(aim, aim)
    a, b = result.before.numpy(), result.after.numpy()
    if judge != "mass centre":
        found = lens.top_k(a, b, 12) if judge == "top-k" else lens.recall(a, b, 12, 1)
        np.testing.assert_allclose(found, scores[result.kept, np.arange(3)], rtol=1e-6)


def test_where_no_prediction_may_move_the_clip_stays_clean():
    inputs, explained = toy(0)
    result = quick("top-k", tolerance=0.0).attack(Regressor(), inputs, explained)
    assert torch.equal(result.adversarial, inputs) and (result.kept == 0).all()
    assert result.score_per_step[1:].isnan().all() and (result.score_per_step[0] == 1).all()


@pytest.mark.parametrize("aim", ALL_AIMS)
def test_the_same_seed_gives_the_same_and_no_clip_depends_on_its_neighbours(aim):
    inputs, explained = toy(4)
    whole = quick(aim, seed=5).attack(Regressor(), inputs, explained)
    again = quick(aim, seed=5).attack(Regressor(), inputs, explained)
    assert torch.equal(whole.adversarial, again.adversarial)
    alone = quick(aim, seed=5, batch_size=1).attack(Regressor(), inputs, explained)
    torch.testing.assert_close(alone.after, whole.after)
    other = quick(aim, seed=6).attack(Regressor(), inputs, explained)
    assert not torch.equal(whole.adversarial, other.adversarial)


def test_the_model_is_left_as_it_was(black_box):
    model, inputs, explained = black_box
    model.train()
    wanted = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    quick("top-k", steps=1, k=1000).attack(model, inputs, explained)
    assert model.training and {n: p.requires_grad for n, p in model.named_parameters()} == wanted
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    model.eval()


def test_a_trained_networks_explanation_moves_far_more_than_by_random_signs(black_box):
    """Each aim is the worst in what it aims at, all far below random signs, while the predictions stay."""
    model, inputs, explained = black_box
    score = {}
    for aim in ALL_AIMS:
        attack = AttributionAttack(aim=aim, epsilon=0.03, steps=5, tolerance=0.05)
        result = attack.attack(model, inputs, explained)
        a, b = result.before.numpy(), result.after.numpy()
        centre = np.linalg.norm((lens.mass_centre(a) - lens.mass_centre(b)) / a.shape[1:], axis=1)
        found = (lens.top_k(a, b, 1000), lens.recall(a, b, 1000, (3, 2)), -centre)
        score[aim] = dict(zip(("top-k", "LENS", "mass centre"), map(np.mean, found), strict=True))
        assert result.moved.max() <= 0.05
    for aim in AIMS[1:]:
        assert score[aim][aim] < score["random sign"][aim] - (0.02 if aim == "mass centre" else 0.1), score
    assert score["LENS"]["LENS"] < score["LENS, published"]["LENS"] - 0.03, "raising cells outside is what counts"


def test_a_waveform_is_attacked_through_the_front_end(black_box, music):
    model, inputs, explained = black_box
    attack = AttributionAttack(aim="top-k", epsilon=5e-4, steps=3, domain="waveform")
    result = attack.attack(model, music, explained)
    assert result.adversarial.shape == music.shape and result.before.shape == inputs.shape
    assert (lens.top_k(result.before.numpy(), result.after.numpy(), 1000) < 0.97).all()
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        attack.attack(model, 5 * music, explained)


@pytest.mark.parametrize(
    "wrong",
    [
        {"aim": "top"}, {"domain": "mel"}, {"method": "shap"}, {"judge": "kendall"}, {"epsilon": -1.0}, {"steps": 0},
        {"tolerance": -0.1}, {"beta": 0.0}, {"step_size": 0.0}, {"precision": "float16"}, {"k": 0},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="AttributionAttack"):
        quick(**{"aim": "top-k", **wrong})


def test_inputs_and_what_is_explained_belong_together():
    inputs, explained = toy(0)
    for some, chosen in ((inputs.double(), explained), (inputs, explained[:2]), (inputs * torch.nan, explained)):
        with pytest.raises(ValueError, match="finite float32"):
            quick("top-k").attack(Regressor(), some, chosen)
