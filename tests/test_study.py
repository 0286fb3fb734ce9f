"""A study's YAML file is plain, complete and right, or everything that is wrong with it is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from stand_in import STUDY

from mer_lib.attacks import from_settings
from workflow.jobs import TRAINING_NOTEBOOKS
from workflow.study import SCHEMA, STUDIES, Study, StudyError, load_study

ATTACK = STUDY["attacks"][0]
BY_EAR = {"name": "bim-30db", "domain": "waveform", "snr_db": 30, "norm": "2", "steps": 3}


def read(tmp_path: Path, text: str) -> Study:
    path = tmp_path / "tiny.yaml"
    path.write_text(text, "utf-8")
    return load_study(path)


def changed(**changes: object) -> str:
    return yaml.safe_dump(STUDY | changes, sort_keys=False)


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_committed_study_is_right(path):
    assert load_study(path).name == path.stem


def test_the_promised_studies_are_there():
    promised = {"smoke", "demo", "companions", "soundtracks", "soundtracks-early", "soundtracks-grouped", "paper"}
    assert {path.stem for path in STUDIES.glob("*.yaml")} == promised


def test_the_readme_explains_every_key_and_study():
    readme = (STUDIES.parent / "README.md").read_text("utf-8")
    attack = SCHEMA["properties"]["attacks"]["items"]["properties"]
    named = [*SCHEMA["properties"], *attack, *(path.stem for path in STUDIES.glob("*.yaml"))]
    assert [name for name in named if f"`{name}`" not in readme] == []


def test_the_paper_study_is_the_published_one():
    study = load_study(STUDIES / "paper.yaml")
    seeds = [6, 21, 42, 796, 950, 2025, 2324, 2451, 3100, 7192]
    assert study["systems"] == dict.fromkeys(("A2E", "A2B2E", "A2M2E", "aA2E", "aA2B2E"), seeds)
    assert (study["width"], study["epochs"], study["patience"], study["clips"]) == (1.0, 199, 50, None)
    assert (study["split"], study["normalisation"]) == ("published", "all")


def test_the_workflow_knows_the_systems_of_the_library():
    from mer_lib.models import SYSTEMS

    named = SCHEMA["properties"]["systems"]["propertyNames"]["enum"]
    assert list(SYSTEMS) == named == list(TRAINING_NOTEBOOKS)


def test_defaults_are_filled_in(tmp_path):
    study = read(tmp_path, changed())
    assert study["patience"] == 50
    assert study["adversarial"] == {"every": 5, "epsilon": 0.1, "steps": 50}
    assert read(tmp_path, changed(clips=None))["clips"] is None


def test_a_budget_may_be_given_by_ear(tmp_path):
    study = read(tmp_path, changed(attacks=[ATTACK, BY_EAR]))
    attack = from_settings(study["attacks"][1])
    assert (attack.snr_db, attack.epsilon) == (30, None)


@pytest.mark.parametrize("method", SCHEMA["properties"]["attacks"]["items"]["properties"]["method"]["enum"])
def test_every_method_that_a_study_may_name_is_an_attack(tmp_path, method):
    study = read(tmp_path, changed(attacks=[ATTACK | {"method": method}]))
    assert type(from_settings(study["attacks"][0], "bfloat16")).__name__ == method
    assert from_settings(study["attacks"][0], "bfloat16").precision == "bfloat16"


def test_an_attack_without_a_method_is_bim(tmp_path):
    assert type(from_settings(read(tmp_path, changed(attacks=[ATTACK]))["attacks"][0])).__name__ == "BIM"
    with pytest.raises(ValueError, match="unknown attack 'DeepFool': one of BIM, FGSM, PGD"):
        from_settings(ATTACK | {"method": "DeepFool"})


WRONG = {
    "unknown key": (changed(epoch=3), ["unknown key 'epoch'", "do you mean 'epochs'", "allowed: adversarial"]),
    "missing keys": ("study: tiny\n", ["missing 'corpus'", "missing 'systems'", "missing 'analyses'"]),
    "text for a number": (changed(epochs="many"), ["epochs: 'many' is text", "a whole number"]),
    "1e-3 is text to YAML": (changed().replace("0.125", "1e-3"), ["width: '1e-3' is text to YAML (write 0.001)"]),
    "fraction of an epoch": (changed(epochs=2.5), ["epochs: 2.5 is a number, a whole number is wanted"]),
    "12.0 epochs": (changed(epochs=12.0), ["epochs: 12.0 is a number"]),
    "true is no number": (changed(width=True), ["width: True is true or false"]),
    "not a number": (changed(width=float("nan")), ["width: nan"]),
    "infinite width": (changed(width=float("inf")), ["width: inf"]),
    "negative epochs": (changed(epochs=-1), ["epochs: -1 is less than the minimum"]),
    "no epochs": (changed(epochs=0), ["epochs: 0"]),
    "too few clips": (changed(clips=3), ["clips: 3"]),
    "unknown system": (changed(systems={"A2X": [1]}), ["unknown system 'A2X'", "allowed: A2E, A2B2E, A2M2E, aA2E"]),
    "no system": (changed(systems={}), ["systems: "]),
    "systems as a list": (changed(systems=["A2E"]), ["systems: ['A2E'] is a list, a mapping"]),
    "seed alone": (changed(systems={"A2E": 21}), ["systems.A2E: 21 is a whole number, a list"]),
    "seeds twice": (changed(systems={"A2E": [21, 21]}), ["systems.A2E: [21, 21] names something twice"]),
    "no seeds": (changed(systems={"A2E": []}), ["systems.A2E"]),
    "text seed": (changed(systems={"A2E": ["21"]}), ["systems.A2E[1]: '21' is text"]),
    "negative seed": (changed(systems={"A2E": [-1]}), ["systems.A2E[1]: -1"]),
    "unknown domain": (changed(attacks=[ATTACK | {"domain": "time"}]), ["attacks[1].domain", "spectrogram, waveform"]),
    "no attack": (changed(attacks=[]), ["attacks: "]),
    "two attacks of one name": (changed(attacks=[ATTACK, dict(ATTACK)]), ["attacks: two are named 'bim'"]),
    "attack without budget": (changed(attacks=[{"name": "bim"}]), ["missing 'epsilon'", "missing 'steps'"]),
    "attack with a stray key": (changed(attacks=[ATTACK | {"eps": 1}]), ["unknown key 'eps'", "do you mean"]),
    "attack name climbs out": (changed(attacks=[ATTACK | {"name": "../../x"}]), ["attacks[1].name: '../../x'"]),
    "negative budget": (changed(attacks=[ATTACK | {"epsilon": -0.1}]), ["attacks[1].epsilon: -0.1"]),
    "two budgets": (changed(attacks=[BY_EAR | {"epsilon": 0.1}]), ["attacks[1]: 'epsilon' and 'snr_db'"]),
    "an SNR of spectrograms": (changed(attacks=[BY_EAR | {"domain": "spectrogram"}]), ["attacks[1]: 'snr_db' needs"]),
    "an SNR per sample": (changed(attacks=[BY_EAR | {"norm": "inf"}]), ["attacks[1]: 'snr_db' needs domain: waveform"]),
    "unknown method": (changed(attacks=[ATTACK | {"method": "bim"}]), ["attacks[1].method: 'bim' is none of BIM, PGD"]),
    "published APGD": (
        changed(attacks=[ATTACK | {"method": "APGD", "published_update": True, "step_size": 0.002}]),
        ["attacks[1]: 'published_update' is BIM's alone"],
    ),
    "published without a step": (
        changed(attacks=[ATTACK | {"published_update": True}]),
        ["attacks[1]: 'published_update' needs a step_size"],
    ),
    "published step on waveforms": (
        changed(attacks=[ATTACK | {"domain": "waveform", "published_update": True, "step_size": 0.002}]),
        ["attacks[1]: 'published_update' is for spectrograms"],
    ),
    "text for an SNR": (changed(attacks=[BY_EAR | {"snr_db": "30 dB"}]), ["attacks[1].snr_db: '30 dB' is text"]),
    "study name climbs out": (changed(study="../tiny"), ["study: '../tiny' does not match"]),
    "another name than its file": (changed(study="other"), ["study: 'other' is not the name of its file, 'tiny'"]),
    "unknown split": (changed(split="random"), ["split: 'random' is none of published, grouped"]),
    "unknown precision": (changed(precision="float16"), ["precision: 'float16' is none of float32, bfloat16, auto"]),
    "unknown normalisation": (changed(normalisation=None), ["normalisation: None is none of train, all"]),
    "half an adversarial budget": (changed(adversarial={"every": 5}), ["adversarial: missing 'epsilon'", "'steps'"]),
    "no results": (changed(analyses=[{"notebook": "07_listen"}]), ["08_robustness is missing"]),
    "analysis twice": (
        changed(analyses=[*STUDY["analyses"], {"notebook": "07_listen"}]),
        ["analyses: two are named '07_listen'", "'name'"],
    ),
    "notebook climbs out": (changed(analyses=[{"notebook": "../x"}]), ["analyses[1].notebook: '../x'"]),
    "key twice": ("study: tiny\nstudy: tiny\n", ["the key 'study' stands here twice"]),
    "an alias": ("study: &a tiny\ncorpus: *a\n", ["anchors and aliases are not used"]),
    "a Python object": ("study: !!python/object/apply:os.system ['true']\n", ["could not determine a constructor"]),
    "a list": ("- study\n", ["the file: ['study'] is a list, a mapping"]),
    "nothing": ("", ["the file: None is empty, a mapping"]),
    "broken YAML": ("study: [tiny\n", ["cannot be read as YAML"]),
    "nested to the sky": ("study: " + "[" * 5000 + "]" * 5000, ["cannot be read as YAML"]),
    "a file of another kind": ("x: " + "a" * 200_000, ["larger than 100 kB"]),
    "a date for a name": (changed().replace(": tiny", ": 2026-11-22"), ["study: ", "is a date, text is wanted"]),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(tmp_path, text, said):
    with pytest.raises(StudyError) as error:
        read(tmp_path, text)
    for part in said:
        assert part in str(error.value)


def test_everything_wrong_is_said_at_once(tmp_path):
    with pytest.raises(StudyError) as error:
        read(tmp_path, changed(epochs="x", width=-1, systems={"B": [1]}, colour="red", split="none"))
    assert "has 5 problem(s)" in str(error.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_bytes(b"study: \xff\xfe")
    with pytest.raises(StudyError, match="UTF-8"):
        load_study(path)


def test_a_byte_order_mark_is_read_over(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(changed(), "utf-8-sig")
    assert load_study(path).name == "tiny"


def test_a_missing_study_names_those_that_are_there(tmp_path):
    with pytest.raises(StudyError, match="companions, demo"):
        load_study(tmp_path / "none.yaml")


@given(key=st.sampled_from(sorted(SCHEMA["properties"])), value=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
))  # fmt: skip
def test_no_value_breaks_the_reader(tmp_path_factory, key, value):
    """Whatever stands at a key: it is taken as right, or refused with a StudyError."""
    try:
        read(tmp_path_factory.mktemp("study"), changed(**{key: value}))
    except StudyError as error:
        assert "tiny.yaml" in str(error)


@given(text=st.text(max_size=200))
def test_no_text_breaks_the_reader(tmp_path_factory, text):
    with pytest.raises(StudyError):
        read(tmp_path_factory.mktemp("study"), text)
