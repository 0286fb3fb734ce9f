"""The players in a real browser: sound runs, switching keeps its place, a blind test counts right.

Needs the package playwright and a Chromium (Debian: chromium; or MER_CHROMIUM=/path/to/chromium); skipped without, with
the reason shown.
"""

import os
import shutil

import numpy as np
import pandas as pd
import pytest

from mer_lib.listening import abx_p_value, abx_result, abx_test, player

playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
CHROMIUM = os.environ.get("MER_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt-get install chromium, or set MER_CHROMIUM"),
]
RATE = 22050
TROUBLESOME = 'attacked <b>&"'


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def signals():
    time = np.arange(4 * RATE) / RATE
    clean = 0.5 * np.sin(2 * np.pi * 330 * time)
    return clean, clean + 0.01 * np.sign(np.sin(2 * np.pi * 7000 * time))


@pytest.fixture
def page(browser, tmp_path):
    """A page opened from disk; a test fails on any error in its console."""
    tab, errors = browser.new_page(), []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("dialog", lambda dialog: (errors.append("dialog"), dialog.dismiss()))
    tab.route("http*://**", lambda route: (errors.append(f"asked for {route.request.url}"), route.abort()))

    def show(*parts):
        (tmp_path / "page.html").write_text(
            "<!doctype html><meta charset=utf-8>" + "".join(p.data for p in parts), "utf-8"
        )
        tab.goto((tmp_path / "page.html").as_uri())
        tab.wait_for_function(f"document.querySelectorAll('[data-ready]').length === {len(parts)}", timeout=20_000)
        return tab

    yield show
    tab.close()
    assert not errors, errors


def deck(tab, expression, number=0):
    return tab.evaluate(f"document.querySelectorAll('.mer-player')[{number}].merDeck.{expression}")


def switch(tab, chosen):
    """Choose a signal of the first player: by how much its position jumped, and whether its sources simply ran on."""
    return tab.evaluate(
        """chosen => { const d = document.querySelector('.mer-player').merDeck, before = [...d.sources];
        const place = d.position(), clock = d.context.currentTime;
        d.choose(chosen);
        const same = d.sources.length === before.length && d.sources.every((s, i) => s.source === before[i].source);
        return [d.position() - place - (d.context.currentTime - clock), same]; }""",
        chosen,
    )


def answer_all(tab, trials, wrong):
    """Take the blind test, with so many wrong answers."""
    tab.get_by_role("button", name="start the blind test").click()
    for trial in range(trials):
        x = tab.evaluate("document.querySelector('.mer-abx').merAbx.x")
        said = x if trial >= wrong else {"A": "B", "B": "A"}[x]
        tab.get_by_role("button", name=f"X is {said}").click()
    return tab.evaluate("(({right, p, csv}) => ({right, p, csv}))(document.querySelector('.mer-abx').merAbx)")


def test_it_plays_and_switching_keeps_the_position(page, signals):
    clean, attacked = signals
    tab = page(
        player({"clean": clean, TROUBLESOME: attacked}, difference=(TROUBLESOME, "clean"), gains_db={"difference": 20})
    )
    assert deck(tab, "rate") == RATE and deck(tab, "duration") == pytest.approx(4.0)
    tab.locator(".mer-player").focus()
    tab.keyboard.press(" ")
    tab.wait_for_function("document.querySelector('.mer-player').merDeck.position() > 0.3")
    assert deck(tab, "context.state") == "running" and deck(tab, "context.sampleRate") == RATE
    for key, chosen in (("2", 1), ("3", 2), ("1", 0)):
        jump, same = switch(tab, chosen)
        assert abs(jump) < 0.02 and same and deck(tab, "chosen") == chosen and deck(tab, "playing")
        tab.keyboard.press(key)
        assert deck(tab, "chosen") == chosen
    tab.wait_for_timeout(60)  # the cross-fade
    levels = tab.evaluate("document.querySelector('.mer-player').merDeck.sources.map(s => s.volume.gain.value)")
    assert levels == pytest.approx([1, 0, 0], abs=1e-3), "one signal is heard, at its own level"


def test_the_difference_is_the_exact_difference_and_its_gain_is_shown(page, signals):
    clean, attacked = signals
    tab = page(
        player({"clean": clean, "attacked": attacked}, difference=("attacked", "clean"), gains_db={"difference": 20})
    )
    got = np.array(deck(tab, "signals[2].data.slice(0, 2000).join()").split(","), dtype=float)
    np.testing.assert_allclose(got, (attacked - clean)[:2000], atol=2.0**-22)
    assert tab.locator("button", has_text="difference (+20 dB)").count() == 1
    deck(tab, "setGain(2, 90)")
    assert deck(tab, "signals[2].gainDb") in (39, 40), "it stops where the signal, with its peak of 0.01, would clip"
    assert "more would clip" in tab.locator(".mer-player").inner_text()


def test_a_loop_stays_within_its_region(page, signals):
    tab = page(player({"clean": signals[0]}))
    box = tab.locator(".mer-views").bounding_box()
    tab.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 60)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 60)
    tab.mouse.up()
    low, high = deck(tab, "loop")
    assert 0.2 < high - low < 0.6
    tab.get_by_role("button", name="play").click()
    for _ in range(6):
        tab.wait_for_timeout(170)
        assert low - 0.01 <= deck(tab, "position()") <= high + 0.01
    tab.get_by_role("button", name="clear loop").click()
    assert deck(tab, "loop") is None and deck(tab, "playing")


def test_only_one_of_several_players_sounds(page, signals):
    tab = page(player({"one": signals[0]}), player({"two": signals[1]}), abx_test({"clip": signals}))
    for number in (0, 1):
        tab.locator(".mer-player").nth(number).locator("button").first.click()
        tab.wait_for_function(f"document.querySelectorAll('.mer-player')[{number}].merDeck.playing")
        assert [deck(tab, "playing", i) for i in (0, 1)] == [number == 0, number == 1]
    stopped_at = deck(tab, "position()", 0)
    tab.locator(".mer-player").nth(0).focus()
    tab.keyboard.press("ArrowRight")
    assert deck(tab, "position()", 0) - stopped_at == pytest.approx(1.0, abs=1e-6), "a second on, from where it stopped"
    assert deck(tab, "playing", 1), "keys reach one player"


def test_names_from_data_are_shown_and_not_run(page, signals):
    tab = page(player({"<img src=x onerror=alert(1)>": signals[0]}, title="<script>alert(2)</script>"))
    text = tab.locator(".mer-player").inner_text()
    assert "<img src=x onerror=alert(1)>" in text and "<script>alert(2)</script>" in text


@pytest.mark.parametrize("wrong", [0, 1, 4])
def test_a_blind_test_counts_right_answers_exactly(page, signals, wrong):
    tab = page(abx_test({'clip "1"': signals, "clip 2": signals[::-1]}, trials=8))
    result = answer_all(tab, 8, wrong)
    assert result["right"] == 8 - wrong and result["p"] == pytest.approx(abx_p_value(8 - wrong, 8), rel=1e-12)
    assert f"{8 - wrong} of 8 right" in tab.locator(".mer-result").inner_text()
    with tab.expect_download() as download:
        tab.get_by_text("download the answers").click()
    answers = pd.read_csv(download.value.path())
    assert abx_result(answers) == {"correct": 8 - wrong, "trials": 8, "p_value": pytest.approx(result["p"])}
    assert sorted(answers["clip"].unique()) == ['clip "1"', "clip 2"]


def test_x_is_drawn_anew_and_is_the_signal_it_stands_for(page, signals):
    tab = page(abx_test({"clip": signals}, trials=40))
    tab.get_by_role("button", name="start the blind test").click()
    drawn = []
    for _ in range(40):
        same = tab.evaluate(
            """() => { const { deck, x } = document.querySelector('.mer-abx').merAbx, [a, b, s] = deck.signals;
            return [x, s.buffer === (x === "A" ? a : b).buffer]; }"""
        )
        drawn.append(same[0])
        assert same[1]
        tab.get_by_role("button", name="X is A").click()
    assert 8 <= drawn.count("A") <= 32, "a fair coin stays in this range with probability .9999"


def test_it_plays_in_an_executed_notebook_exported_to_html(browser, tmp_path, signals):
    from nbconvert import HTMLExporter
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    pages = [
        player({"clean": signals[0], "attacked": signals[1]}, difference=("attacked", "clean")),
        abx_test({"c": signals}),
    ]
    outputs = [new_output("execute_result", {"text/html": page.data, "text/plain": "HTML"}) for page in pages]
    notebook = new_notebook(cells=[new_code_cell("player(...)", outputs=[output]) for output in outputs])
    path = tmp_path / "07_listen.html"
    path.write_text(HTMLExporter(template_name="lab").from_notebook_node(notebook)[0], "utf-8")
    tab, errors = browser.new_page(), []
    tab.on("pageerror", lambda error: errors.append(str(error)))

    def console(message):
        # The page that nbconvert makes asks the web for scripts of its own, which this test does not answer
        if message.type == "error" and not message.location.get("url", "").startswith("http"):
            errors.append(message.text)

    tab.on("console", console)
    tab.route("http*://**", lambda route: route.abort())
    tab.goto(path.as_uri())
    tab.wait_for_function("document.querySelectorAll('[data-ready]').length === 2", timeout=20_000)
    tab.locator(".mer-player").first.focus()
    tab.keyboard.press(" ")
    tab.wait_for_function("document.querySelector('.mer-player').merDeck.position() > 0.3")
    assert deck(tab, "context.state") == "running"
    for chosen in (1, 2, 0):
        jump, same = switch(tab, chosen)
        assert abs(jump) < 0.02 and same and deck(tab, "chosen") == chosen and deck(tab, "playing")
    result = answer_all(tab, 10, 1)
    assert result["right"] == 9 and result["p"] == pytest.approx(11 / 1024, rel=1e-12)
    assert "p = 0.011" in tab.locator(".mer-result").inner_text()
    tab.close()
    assert not [error for error in errors if "require" not in error and "MathJax" not in error], errors
