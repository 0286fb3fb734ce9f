"""Read a study's YAML file and say everything that is wrong with it at once.

The keys, their types and their defaults stand in ``study.schema.json`` beside this file. Only plain YAML is read:
no tags, no anchors, no duplicate keys, at most 100 kB.
"""

from __future__ import annotations

import copy
import difflib
import json
import math
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

SCHEMA: dict[str, Any] = json.loads(Path(__file__).with_name("study.schema.json").read_text("utf-8"))
STUDIES = Path(__file__).resolve().parent / "studies"
RESULTS_NOTEBOOK = "08_robustness"
LARGEST_FILE = 100_000  # bytes


class StudyError(ValueError):
    """A study's YAML file cannot be used; the message names every problem."""


@dataclass(frozen=True)
class Study:
    """One study as its YAML file says it, defaults filled in.

    Attributes
    ----------
    path
        The file it was read from.
    settings
        The keys of ``study.schema.json``.
    """

    path: Path
    settings: dict[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.settings[key]

    @property
    def name(self) -> str:
        """Name of the study, of its file and of its folder."""
        return self.settings["study"]


def find_study(name_or_path: str) -> Path:
    """Path of a study given by name (``demo``) or by file (``my/own.yaml``)."""
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        return path
    return STUDIES / f"{name_or_path}.yaml"


def load_study(path: Path, *, name: str | None = None) -> Study:
    """Read and check one study.

    Parameters
    ----------
    path
        The YAML file.
    name
        The name that it must carry; by default that of the file.

    Raises
    ------
    StudyError
        Naming every problem of the file.
    """
    problems: list[str] = []
    settings = _read_yaml(path)
    validator = _Validator(SCHEMA)
    for error in sorted(validator.iter_errors(settings), key=lambda error: [str(p) for p in error.absolute_path]):
        problems.append(_explain(error))
    if isinstance(settings, dict):
        problems += _cross_checks(settings, name or path.stem)
    if problems:
        raise StudyError(f"{path} has {len(problems)} problem(s):\n" + "\n".join(f"  - {p}" for p in problems))
    filled = {key: copy.deepcopy(rule["default"]) for key, rule in SCHEMA["properties"].items() if "default" in rule}
    return Study(path=path, settings=filled | settings)


def _read_yaml(path: Path) -> Any:
    try:
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in STUDIES.glob("*.yaml")))
            raise StudyError(f"There is no study {path}. The studies here: {known}; or give a path to a .yaml file.")
        if path.stat().st_size > LARGEST_FILE:
            raise StudyError(f"{path} is larger than {LARGEST_FILE // 1000} kB: that is no study.")
        return yaml.load(path.read_text("utf-8-sig"), Loader=_PlainLoader)
    except UnicodeDecodeError as error:
        raise StudyError(f"{path} is not UTF-8 text: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        if isinstance(error, StudyError):
            raise
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise StudyError(f"{path} cannot be read as YAML: {reason}") from error


class _PlainLoader(yaml.SafeLoader):
    """The safe loader, without aliases (which can blow up) and without silently dropped duplicate keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "anchors and aliases are not used in studies", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen if isinstance(key.value, str) else False:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands here twice", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def _is_integer(_: object, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(_: object, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    # 12.0 is no number of epochs, and NaN or infinity no budget, though JSON Schema lets them pass.
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_integer, "number": _is_number}
    ),
)


def _explain(error: jsonschema.ValidationError) -> str:
    """One problem in words that name the place, what stands there and what may stand there."""
    where = _place(error.absolute_path)
    value = _shorten(error.instance)
    if error.validator == "additionalProperties" and isinstance(error.schema.get("properties"), dict):
        allowed = sorted(error.schema["properties"])
        unknown = [str(key) for key in error.instance if key not in error.schema["properties"]]
        hints = [f"{key!r}{_similar(key, allowed)}" for key in unknown]
        return f"{where}: unknown key {', '.join(hints)}; allowed: {', '.join(allowed)}"
    if "propertyNames" in error.absolute_schema_path:
        allowed = [str(name) for name in error.schema["enum"]]
        return f"{where}: unknown system {value}{_similar(str(error.instance), allowed)}; allowed: {', '.join(allowed)}"
    if error.validator == "enum":
        return f"{where}: {value} is none of {', '.join(map(str, error.validator_value))}"
    if error.validator == "type":
        wanted = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        return f"{where}: {value} is {_kind(error.instance)}, {' or '.join(_NAMES[w] for w in wanted)} is wanted"
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return f"{where}: missing {error.message.split(' ')[0]} (needed here: {', '.join(missing)})"
    if error.validator == "uniqueItems":
        return f"{where}: {value} names something twice"
    return f"{where}: {_shorten(error.message, 200)}"


_NAMES = {
    "integer": "a whole number",
    "number": "a finite number",
    "string": "text",
    "array": "a list",
    "object": "a mapping (key: value)",
    "boolean": "true or false",
    "null": "null",
}


def _kind(value: Any) -> str:
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return "text"
        return f"text to YAML (write {number!r})" if math.isfinite(number) and "e" not in repr(number) else "text"
    names = {bool: "true or false", int: "a whole number", float: "a number", list: "a list", dict: "a mapping"}
    return "empty" if value is None else names.get(type(value), f"a {type(value).__name__}")


def _place(path: Any) -> str:
    place = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path)
    return place.lstrip(".") or "the file"


def _similar(key: str, allowed: list[str]) -> str:
    close = difflib.get_close_matches(key, allowed, n=1)
    return f" (do you mean {close[0]!r}?)" if close else ""


def _shorten(value: Any, length: int = 60) -> str:
    text = value if isinstance(value, str) and length > 60 else repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."


def _cross_checks(settings: dict[str, Any], name: str) -> Iterator[str]:
    """What a schema cannot say; each check holds its peace where the schema has already complained."""
    if isinstance(settings.get("study"), str) and settings["study"] != name:
        yield f"study: {settings['study']!r} is not the name of its file, {name!r}"
    if isinstance(settings.get("corpus"), str) and settings["corpus"]:
        yield from _corpus_problems(settings["corpus"])
    attacks = [a for a in _listed(settings, "attacks") if isinstance(a, dict)]
    for duplicate in _duplicates(a.get("name") for a in attacks):
        yield f"attacks: two are named {duplicate!r}"
    for number, attack in enumerate(_listed(settings, "attacks"), start=1):
        if isinstance(attack, dict):
            yield from (f"attacks[{number}]: {problem}" for problem in _budget_problems(attack))
    analyses = [a for a in _listed(settings, "analyses") if isinstance(a, dict)]
    for duplicate in _duplicates(a.get("name", a.get("notebook")) for a in analyses):
        yield f"analyses: two are named {duplicate!r}; give one another name with the key 'name'"
    if analyses and RESULTS_NOTEBOOK not in [a.get("notebook") for a in analyses]:
        yield f"analyses: {RESULTS_NOTEBOOK} is missing, and it writes results.csv"


def _corpus_problems(corpus: str) -> Iterator[str]:
    """What makes a path unfit to name the folder of prepared arrays, and Snakemake's files."""
    if any(unicodedata.category(character) == "Cc" for character in corpus):
        yield f"corpus: {_shorten(repr(corpus))} holds control characters: rename the folder"
    elif Path(corpus).name in ("", ".."):
        yield f"corpus: {_shorten(corpus)} does not end in the name of a folder"
    if set(corpus) & set("{}"):
        yield f"corpus: {_shorten(corpus)} holds braces, which Snakemake takes for wildcards: rename the folder"


def _budget_problems(attack: dict[str, Any]) -> Iterator[str]:
    if attack.get("published_update") is True:
        if attack.get("method", "BIM") != "BIM":
            yield "'published_update' is BIM's alone"
        if "step_size" not in attack or attack.get("restarts", 1) != 1:
            yield "'published_update' needs a step_size and one start"
        if attack.get("domain", "spectrogram") != "spectrogram":
            yield "'published_update' is for spectrograms: nothing would keep a waveform within full scale"
    if "snr_db" not in attack:
        if "epsilon" not in attack:
            yield "missing 'epsilon' (or 'snr_db', for an attack on waveforms with norm \"2\")"
        return
    if "epsilon" in attack:
        yield "'epsilon' and 'snr_db' are both budgets: give one of them"
    if attack.get("domain", "waveform") != "waveform" or attack.get("norm") != "2":
        yield "'snr_db' needs domain: waveform and norm: \"2\""


def _listed(settings: dict[str, Any], key: str) -> list[Any]:
    value = settings.get(key)
    return value if isinstance(value, list) else []


def _duplicates(names: Iterator[Any]) -> list[str]:
    known = [name for name in names if isinstance(name, str)]
    return sorted({name for name in known if known.count(name) > 1})
