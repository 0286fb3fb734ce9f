"""The sanity check breaks what it says, nothing else, and can tell an attribution from a picture of the input."""

import pytest
import torch

from mer_lib import explanations, sanity_checks
from mer_lib.explanations import Attribution, silence
from mer_lib.models import build, folded
from mer_lib.runs import load_pretrained
from mer_lib.sanity_checks import layer_names, randomisation_test, shuffled, slopes, verdict


@pytest.fixture(scope="module")
def model():
    return load_pretrained("A2M2E").model


@pytest.fixture(scope="module")
def clips(model):
    generator = torch.Generator().manual_seed(0)
    return model.standardise(1.2 * torch.rand(2, 40, 149, generator=generator) ** 3)


@pytest.fixture(scope="module")
def cascade(model, clips):
    return randomisation_test(model, clips, "happy", steps=4)


def test_layers_are_named_from_the_answer_down(model):
    assert layer_names(model) == ["last layer", "bottleneck", *(f"conv {i}" for i in range(9, 0, -1))]
    assert "bottleneck" not in layer_names(build("A2E", 0.05))


def test_a_shuffled_layer_keeps_its_weights_and_loses_their_places_and_others_keep_both(model):
    before, after = folded(model), shuffled(model, ["conv 3", "last layer"], seed=4)
    changed = set()
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        assert torch.equal(old.flatten().sort().values, new.flatten().sort().values)
        if not torch.equal(old, new):
            changed.add(name)
    convolution = [n for n, m in before.named_modules() if isinstance(m, torch.nn.Conv2d)][2]
    assert changed == {f"{convolution}.weight", f"{convolution}.bias", "emotion_head.weight", "emotion_head.bias"}
    again, other = shuffled(model, ["conv 3"], seed=4), shuffled(model, ["conv 3"], seed=5)
    weight = f"{convolution}.weight"
    assert torch.equal(again.get_parameter(weight), after.get_parameter(weight))
    assert not torch.equal(other.get_parameter(weight), after.get_parameter(weight))
    with pytest.raises(ValueError, match="no layer conv 11"):
        shuffled(model, ["conv 11"])


def test_slopes_are_gradients_where_the_network_is_linear(model):
    """A map that is weight times (clip - baseline) has these weights as slopes, whatever the clip."""
    generator = torch.Generator().manual_seed(1)
    weights, clip = torch.randn(2, 30, 149, generator=generator), torch.rand(2, 30, 149, generator=generator)
    clip[0, 3, 5] = 0.0
    baseline = torch.zeros(1, 30, 149)
    found = slopes(weights * clip, clip, baseline)
    assert found[0, 3, 5] == 0
    found[0, 3, 5] = weights[0, 3, 5]
    assert torch.allclose(found.float(), weights, atol=1e-4)


def test_the_intact_network_is_like_itself_and_the_broken_one_is_not(cascade):
    first = cascade[(cascade["layer"] == "intact") & (cascade["measure"] != "like the input")]
    assert (first["similarity"] > 1 - 1e-9).all()
    last = cascade[cascade["layer"] == "conv 1"].groupby("measure")["similarity"].mean()
    assert abs(last["attributions"]) < 0.2 and abs(last["slopes"]) < 0.2
    assert "passed" in verdict(cascade)


def test_magnitudes_go_on_looking_like_the_spectrogram(cascade):
    last = cascade[cascade["layer"] == "conv 1"].groupby("measure")["similarity"].mean()
    assert last["magnitudes"] > 0.3 and last["like the input"] > 0.3


def test_an_attribution_that_only_shows_the_input_fails(model, clips, monkeypatch):
    def picture(network, inputs, target, *_, **__):
        answers = torch.zeros(len(inputs))
        return Attribution("picture", target, inputs - silence(network, inputs), answers, answers)

    monkeypatch.setattr(sanity_checks, "attribute", picture)
    table = randomisation_test(model, clips, "happy", seeds=(0, 1))
    assert (table.loc[table["measure"] == "attributions", "similarity"] > 1 - 1e-9).all()
    assert "FAILED" in verdict(table) and set(table["seed"]) == {0, 1}


def test_one_layer_alone_is_shuffled_without_cascade(model, clips, monkeypatch):
    seen = []
    monkeypatch.setattr(sanity_checks, "shuffled", lambda network, layers, seed: seen.append(layers) or network)
    answers = torch.zeros(1)
    fake = Attribution("m", "t", clips[:1], answers, answers)
    monkeypatch.setattr(sanity_checks, "attribute", lambda *_, **__: fake)
    randomisation_test(model, clips[:1], "happy", cascade=False)
    assert seen == [[], *[[name] for name in layer_names(model)]]
    seen.clear()
    randomisation_test(model, clips[:1], "happy")
    assert seen[2] == ["last layer", "bottleneck"] and seen[-1] == layer_names(model)
    assert explanations.outputs_of(model)[8] == "melodiousness"
