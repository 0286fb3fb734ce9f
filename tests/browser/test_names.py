"""Names from data in a real browser: nothing runs in the page, and no formula stands in the answers that it gives."""

import csv

import pandas as pd
from test_player import CHROMIUM, answer_all, browser, page, playwright, pytestmark, signals  # noqa: F401

from mer_lib.listening import abx_result, abx_test, player

RUNS = "<img src=x onerror=\"document.title='run'\">"
FORMULA = '=HYPERLINK("http://x","y")'


def test_a_name_runs_in_no_player(page, signals):  # noqa: F811
    tab = page(player({RUNS: signals[0], FORMULA: signals[1]}, title=RUNS, difference=(RUNS, FORMULA)))
    tab.wait_for_timeout(200)
    assert tab.title() != "run" and tab.locator("img").count() == 0
    assert RUNS in tab.locator(".mer-player").inner_text()


def test_a_name_is_no_formula_in_the_answers_of_a_blind_test(page, signals):  # noqa: F811
    tab = page(abx_test(dict.fromkeys((FORMULA, "+1", "-1", "@x", RUNS, "plain"), signals), trials=6))
    answers = answer_all(tab, 6, 0)["csv"]
    clips = sorted(row["clip"] for row in csv.DictReader(answers.splitlines()))
    assert clips == sorted(["'" + FORMULA, "'+1", "'-1", "'@x", RUNS, "plain"])
    assert abx_result(pd.DataFrame(csv.DictReader(answers.splitlines())))["correct"] == 6
    assert tab.title() != "run" and tab.locator("img").count() == 0
