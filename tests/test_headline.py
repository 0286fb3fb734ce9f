"""The README's tables say what the committed results say, seed by seed."""

import pandas as pd
import pytest

from mer_lib.places import ROOT
from workflow import headline

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_is_up_to_date():
    assert headline.with_tables(README) == README, "python workflow/headline.py writes its tables anew"


def test_a_wrong_figure_does_not_stay():
    block = next(mark for mark in headline.BLOCK.finditer(README) if mark["name"] == "soundtracks")
    wrong = README[: block.start()] + block[0].replace("| A2E | .73", "| A2E | .99") + README[block.end() :]
    assert wrong != README and headline.with_tables(wrong) == README


def test_marks_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="soundtracks-budgets"):
        headline.with_tables(README.replace("<!-- table: soundtracks-budgets -->", ""))


@pytest.mark.parametrize("system", ["A2E", "A2M2E"])
def test_rises_are_those_of_the_clips(system):
    """Recomputed from every clip's answers, as the runs keep them."""
    results = headline.results_of("soundtracks")
    seeds = results.loc[results["system"] == system, "seed"].unique()
    rises = []
    for seed in seeds:
        run = ROOT / "figures" / "soundtracks" / "runs" / system / f"seed-{seed}"
        clips = pd.read_csv(run / "attacks" / "bim-spec-0.1" / "predictions.csv")
        rises.append(((clips["attacked"] - clips["rating"]).abs() - (clips["clean"] - clips["rating"]).abs()).mean())
    column = headline.Column("", "soundtracks", "mae_change", "bim-spec-0.1", 4)
    assert headline.cell(column, system) == headline.told(rises, 4)


@pytest.mark.parametrize(
    "values, text",
    [([], "–"), ([0.738], ".74"), ([-0.001], ".00"), ([-0.049, 1.02], "-.05, 1.02"), ([0.7, 0.72, 0.74], ".72 ± .02")],
)
def test_few_seeds_are_shown_one_by_one(values, text):
    assert headline.told(values, 2) == text


def test_a_seed_without_an_attack_is_counted(monkeypatch):
    rows = pd.DataFrame(
        {"system": "A2E", "seed": [1, 1, 2, 3], "attack": ["a", "b", "b", "b"], "mae_change": [0.1, 0.2, 0.3, 0.4]}
    )
    monkeypatch.setattr(headline, "results_of", lambda study: rows)
    assert headline.cell(headline.Column("", "", "mae_change", "a", 1), "A2E") == ".1 (1 of 3 seeds)"
    assert headline.cell(headline.Column("", "", "mae_change", "b", 1), "A2E") == ".3 ± .1"
    assert headline.cell(headline.Column("", "", headline.SEEDS, digits=0), "A2E") == "1, 2, 3"


def test_pairs_say_what_the_file_says_with_its_ends():
    text = headline.table("soundtracks-pairs")
    known = pd.read_csv(ROOT / "figures" / "soundtracks" / "level-ground-differences.csv")
    known = known[known["attack"] == "bim-spec-0.1"].set_index(["first", "second", "measure"])
    row = known.loc["A2E", "A2M2E", "error under attack"]
    words = [headline.written(row[name], 3) for name in ("difference", "low", "high")]
    (line,) = [line for line in text.splitlines() if line.startswith("| A2E - A2M2E |")]
    assert f"| {words[0]} [{words[1]}, {words[2]}] |" in line
    assert "aA2B2E" not in headline.table("companions-pairs"), "only the systems that are asked for"


def test_networks_of_two_studies_stand_beside_each_other():
    """The table reads results.csv, the pairs every clip's answers: both say the same."""
    rises = {}
    for name, study, system in headline.EQUAL.rows:
        rows = headline.results_of(study)
        rows = rows[(rows["system"] == system) & (rows["attack"] == headline.EQUAL.attack)]
        rises[name] = rows.set_index("seed")["mae_change"]
        assert headline.told(list(rises[name]), 3) in headline.table("soundtracks-equal")
    first, second = list(rises)[:2]
    line = headline.table("soundtracks-equal-pairs").splitlines()[2]
    apart = headline.written((rises[first] - rises[second]).mean(), 3)
    assert line.startswith(f"| {first} - {second} | {len(rises[first])} | {apart} [")
