"""Names from data stay names: in players, pages, tables, captions, figures, and as names of files."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from nbconvert.filters import markdown2html
from stand_in import STUDY

from mer_lib import captions, plots
from mer_lib.dataset import load_corpus
from mer_lib.listening import abx_test, player
from mer_lib.places import file_stems, prepared_folder, prepared_name
from mer_lib.plots import number_map, save_figure
from tests.bad_case import own_folder
from workflow.page import write_page
from workflow.study import load_study

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</div><iframe src=javascript:alert(1)>",
    "[x](javascript:alert(1))",
    "$\\href{javascript:alert(1)}{x}$",
    "`x` *y* <b>",
)
SOUND = 0.1 * np.sin(np.arange(500) * 0.1)


class Elements(HTMLParser):
    """Tags and attributes of a page, as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def harmless(self, allowed: set[str], scripts: int = 0) -> bool:
        """Whether there are these tags alone, so many scripts, nothing that acts, and no address but data."""
        acts = [name for name, value in self.attributes if name.startswith("on") or value.startswith("javascript:")]
        return set(self.tags) - {"script"} <= allowed and self.tags.count("script") == scripts and not acts


def test_the_check_itself_sees_what_it_is_for():
    for name in HOSTILE[:4]:
        assert not Elements(f"<div title='{name}'>{name}</div>").harmless({"div"})
    for name in HOSTILE[1:2]:
        assert not Elements(markdown2html(f"*{name}*")).harmless({"p", "em"})
    assert Elements("<div title='&lt;b&gt;'>&lt;script&gt;</div>").harmless({"div"})


@pytest.mark.parametrize("name", HOSTILE)
def test_players_show_names_and_do_not_run_them(name):
    signals = {name: SOUND, f"{name} 2": SOUND}
    for page in (player(signals, title=name, difference=tuple(signals)), abx_test({name: (SOUND, SOUND)}, title=name)):
        elements = Elements(page.data)
        assert elements.harmless({"style", "div", "audio"}, scripts=1)
        assert dict(elements.attributes)["data-name-0"] == name
        assert not re.search(r"<(?!/?(style|div|audio|script)\b)[a-z]", page.data.partition("<script>")[0])


def test_the_page_of_a_study_shows_names_and_does_not_run_them(tmp_path, monkeypatch):
    monkeypatch.setenv("MER_DATA", str(tmp_path))
    corpus = tmp_path / "<img src=x onerror=alert(1)>"
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(STUDY | {"corpus": str(corpus)}))
    study = load_study(tmp_path / "tiny.yaml")
    figures = tmp_path / "figures" / "tiny"
    figures.mkdir(parents=True)
    for ending in ("png", "csv"):
        (figures / f'"><img src=x onerror=alert(1)>.{ending}').write_bytes(b"x")
    drawn = number_map(pd.DataFrame([[0.5]]), "Drawn", HOSTILE[0])
    save_figure(drawn, pd.DataFrame([[0.5]]), "tiny", "drawn")
    row = {"system": "A2E", "seed": 21, "attack": "bim", "ratings_kind": HOSTILE[0], "midlevel_kind": HOSTILE[1]}
    numbers = dict.fromkeys(("corr_clean", "corr_attacked", "mae_clean", "mae_attacked"), 0.5)
    pd.DataFrame([row | numbers]).to_csv(tmp_path / "results.csv", index=False)
    plan = SimpleNamespace(study=study, jobs={}, runs=[("A2E", 21)])
    text = write_page(plan, tmp_path).read_text("utf-8")
    plain = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "table", "thead", "tbody", "tr"}
    elements = Elements(text)
    assert elements.harmless(plain | {"th", "td", "ul", "li", "a", "figure", "figcaption", "img"})
    assert elements.tags.count("img") == 2 and html.escape(HOSTILE[0]) in text and html.escape(corpus.name) in text
    assert f"Drawn. {HOSTILE[0]}." in [value for name, value in elements.attributes if name == "alt"]


@pytest.mark.parametrize("name", HOSTILE)
def test_captions_are_plain_in_markdown_and_in_figures(name, tmp_path):
    about = {"corpus": name, "prepared": name, "study": name, "ratings_kind": "people", "midlevel_kind": "none"}
    made = {"system": "A2E", "seed": 1, "split": "published", "width": 1, "epochs_run": 2}
    info = {**about, **made, "clips": {"test": 4}, "excerpt_seconds": 10, "shortcut": {"strength": 0}}
    info["settings"] = {"learning_rate": 0.0005}
    row = {**about, **made, "clips": 4, "width": 1.0, "epochs": 2, "learning_rate": 0.0005}
    rows = [row | {"attack": "bim"}, row | {"attack": name}, row | {"attack": "bim", "seed": 2}]
    results = pd.DataFrame(rows)
    for caption in (captions.corpus_caption(info), captions.run_caption(info), captions.study_caption(results)):
        assert Elements(markdown2html(f"*{caption}*")).harmless({"p", "em"})
        assert "$" not in caption
    assert captions.plain("Études, vol. 2 (R&B)") == "Études, vol. 2 (R&B)"
    figure = plots.spectrograms({f"clip {name}": np.eye(313, 149)}, f"Clip {name}", captions.corpus_caption(info))
    if "$" in name:  # matplotlib reads mathematics when it draws
        figure.savefig(tmp_path / "figure.png", dpi=20)
    assert figure.axes[0].get_title("left") == f"clip {name}"


def test_tables_show_names_and_do_not_run_them(tmp_path):
    names = [f"{name.replace('/', '_')}.wav" for name in HOSTILE]
    corpus = load_corpus(own_folder(tmp_path / "mine", names, group=[*HOSTILE]))
    assert set(corpus.table["group"]) == set(HOSTILE)
    with pd.option_context("display.max_colwidth", None):
        table = corpus.table._repr_html_()
    assert Elements(table).harmless({"div", "style", "table", "thead", "tbody", "tr", "th", "td", "p"})
    assert html.escape(HOSTILE[0], quote=False) in table


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True))
def test_names_become_names_of_files_that_are_short_plain_and_different(names):
    stems = file_stems(names)
    assert len(set(stems)) == len(names)
    assert all(re.fullmatch(r"[\w-]+", stem) and len(stem.encode()) <= 120 for stem in stems)


@given(st.text(max_size=300))
def test_no_name_of_a_corpus_leads_out_of_the_prepared_folder(name):
    try:
        prepared = prepared_name(name, clips=60)
    except ValueError as error:
        assert "does not end in the name of a folder" in str(error)
        return
    folder = prepared_folder(prepared)
    assert Path(prepared).name == prepared and folder.parent == prepared_folder("x").parent
    assert len(prepared.encode("utf-8", "surrogateescape")) <= 200
