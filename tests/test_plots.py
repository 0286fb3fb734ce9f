"""Figures draw what they are given, in one colour a system; tables and the reading are computed, never written down."""

from itertools import pairwise

import matplotlib.colors
import nbformat
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import select_figure_formats
from matplotlib.figure import Figure
from PIL import Image

from mer_lib import (
    attack_plots,
    captions,
    corpus_plots,
    credibility_plots,
    lens_plots,
    perceptibility_plots,
    plots,
    robustness_plots,
    tables,
)
from mer_lib.comparisons import clip_rises
from mer_lib.dataset import EMOTIONS, MIDLEVEL
from mer_lib.models import SYSTEMS
from workflow.notebook_page import export_html

ATTACKS = {"bim-spec-0.1": ("spectrogram", 0.1), "bim-wave-0.001": ("waveform", 0.001)}


def results_frame(seeds=2, systems=tuple(SYSTEMS), attacks=ATTACKS, rng_seed=0):
    """Rows as results.collect_results gives them."""
    rng = np.random.default_rng(rng_seed)
    rows = []
    for system in systems:
        for seed in range(seeds):
            clean = 0.10 + 0.005 * rng.standard_normal()
            for name, (domain, epsilon) in attacks.items():
                rise = (0.12 if not system.startswith("a") else 0.05) * (1 + 0.1 * rng.standard_normal())
                rows.append(
                    {
                        "study": "made-up", "corpus": "etudes", "split": "published", "system": system, "seed": seed,
                        "width": 0.25, "epochs": 12, "attack": name, "domain": domain, "epsilon": epsilon, "steps": 10,
                        "clips": 36, "corr_clean": 0.7, "mae_clean": clean, "corr_attacked": 0.7 - 8 * rise,
                        "mae_attacked": clean + rise, "spread_clean": 0.13,
                        "snr_db_median": np.nan if domain == "spectrogram" else 41.0, "train_seconds": 60.0 + seed,
                        "train_gradients": 3000 * (4 if system.startswith("a") else 1), "attack_seconds": 5.0,
                        "learning_rate": 0.002, "normalisation": "train", "midlevel_kind": "composed",
                        "ratings_kind": "simulated listeners",
                        "adversarial_epsilon": 0.1, "commit": "abc", "fingerprint": "def",
                        "method": "BIM", "published_update": False, "linf_max": epsilon,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def predictions_frame(systems=tuple(SYSTEMS), clips=12):
    rng = np.random.default_rng(1)
    index = pd.MultiIndex.from_product(
        [["made-up"], systems, [21], ATTACKS, range(clips), EMOTIONS],
        names=["study", "system", "seed", "attack", "clip", "emotion"],
    )
    frame = index.to_frame(index=False)
    frame["rating"] = rng.uniform(0.1, 0.8, len(frame))
    frame["clean"] = frame["rating"] + 0.08 * rng.standard_normal(len(frame))
    frame["attacked"] = frame["clean"] + 0.2 * rng.standard_normal(len(frame))
    return frame.assign(linf=0.1, l2=3.0, snr_db=40.0)


def sounds_frame(systems=tuple(SYSTEMS), clips=12):
    """Rows as results.sounds_of gives them; one clip of each attack was not changed at all."""
    rng = np.random.default_rng(3)
    index = pd.MultiIndex.from_product([systems, [21], ATTACKS, range(clips)], names="system seed attack clip".split())
    frame = index.to_frame(index=False)
    snr = np.where(frame["clip"] == 0, np.inf, rng.uniform(15, 60, len(frame)))
    return frame.assign(
        domain=frame["attack"].map(lambda name: ATTACKS[name][0]), snr_db=snr, nmr_db=20 - snr,
        mae_change=np.where(frame["clip"] == 0, 0, 0.2 - snr / 300),
    )  # fmt: skip


@pytest.fixture
def corpus_table():
    rng = np.random.default_rng(2)
    return pd.DataFrame(rng.uniform(0.1, 0.8, (60, 15)), columns=[*EMOTIONS, *MIDLEVEL])


def history_frame():
    epochs = np.arange(1, 13)
    return pd.DataFrame(
        {
            "epoch": epochs, "train_loss": 0.05 / epochs, "attacked_loss": np.where(epochs % 5 == 0, 0.04, np.nan),
            "valid_correlation": 0.7 - 0.6 / epochs, "valid_midlevel_correlation": 0.6 - 0.6 / epochs,
            "valid_mae": 0.1 + 0.05 / epochs, "valid_score": 0.7 - 0.6 / epochs, "best": epochs <= 10,
        }
    )  # fmt: skip


def all_figures(corpus_table):
    """Every figure of the study, drawn from made-up numbers."""
    rng = np.random.default_rng(4)
    results, predictions = tables.with_changes(results_frame()), predictions_frame()
    ratings = rng.uniform(0.1, 0.8, (36, 8))
    spectrogram = rng.uniform(0, 2, (313, 149)) * np.linspace(1, 0, 149)
    qualities = corpus_table[list(MIDLEVEL)]
    clip = pd.DataFrame({"rated": ratings[0], "clean": ratings[1], "attacked": ratings[2]}, index=EMOTIONS)
    caption = captions.study_caption(results_frame())
    groups = pd.DataFrame({"group also in training": [36, 0], "group unseen": [0, 30]}, index=["published", "grouped"])
    yield "distributions", corpus_plots.distributions(corpus_table, EMOTIONS, "Ratings", "rating", caption)
    yield "agreement", corpus_plots.descriptor_agreement(qualities, qualities * 0.5 + 0.2, "Computed", caption)
    yield "overlap", corpus_plots.group_overlap(groups, "Who shares a group", caption)
    yield (
        "correlation",
        plots.number_map(
            corpus_table.corr().loc[list(MIDLEVEL), list(EMOTIONS)], "Correlations", caption, "mid-level", "emotions"
        ),
    )
    yield (
        "spectrograms",
        plots.spectrograms({"clean": spectrogram, "difference": spectrogram - spectrogram.mean()}, "One clip", caption),
    )
    yield "learning", plots.learning_curves(history_frame(), "Learning", caption)
    yield "predicted", plots.predicted_against_rated(ratings, ratings * 0.8 + 0.05, EMOTIONS, "Test clips", caption)
    yield "clip", plots.clip_ratings(clip, "One clip", caption)
    curves = {name: np.cumsum(rng.uniform(0, 0.01, (11, 8)), axis=0) for name in ATTACKS}
    yield "loss", attack_plots.loss_per_step(curves, "Loss", caption)
    sweep = {f"s{e}": ("spectrogram", e) for e in (0.01, 0.03, 0.1)} | {f"w{e}": ("waveform", e) for e in (0.001, 0.01)}
    one = results_frame(seeds=1, systems=("A2E",), attacks=sweep)
    yield "sweep", attack_plots.epsilon_sweep(one, "Budget", caption)
    yield "audibility", perceptibility_plots.audibility(sounds_frame(), "Audible", caption)
    columns = {"mae_change": "rise of MAE", "corr_change": "change of correlation"}
    yield "changes", robustness_plots.changes(results, columns, "Figure 3", caption)
    many = tables.with_changes(results_frame(seeds=6))
    yield "changes-boxes", robustness_plots.changes(many, columns, "Figure 3 with boxes", caption)
    one_attack = predictions[predictions["attack"] == "bim-spec-0.1"]
    yield "figure-4", robustness_plots.true_against_predicted(one_attack, "Figure 4", caption)
    yield "clip-changes", robustness_plots.clip_changes(clip_rises(predictions), "Change of each clip", caption)
    yield "cost", robustness_plots.cost(results.drop_duplicates(["system", "seed"]), "Cost", caption)


def test_every_figure_has_a_title_a_caption_and_named_axes(corpus_table):
    for name, figure in all_figures(corpus_table):
        assert isinstance(figure, Figure)
        assert figure._suptitle.get_text() and figure._supxlabel.get_text(), name
        shown = [axis for axis in figure.axes if axis.get_visible() and axis.get_label() != "<colorbar>"]
        assert any(axis.get_xlabel() or axis.get_xticklabels() for axis in shown), name
        assert any(axis.get_ylabel() or axis.get_yticklabels() for axis in shown), name


def test_figures_leave_the_style_and_pyplot_as_they_were():
    import matplotlib.pyplot as plt

    before, open_before = dict(plt.rcParams), plt.get_fignums()
    plots.learning_curves(history_frame(), "t", "c")
    assert dict(plt.rcParams) == before and plt.get_fignums() == open_before


def test_every_system_has_one_colour_and_one_marker_of_its_own():
    assert list(plots.PALETTE) == list(SYSTEMS) == list(plots.MARKERS)
    assert len(set(plots.PALETTE.values())) == len(set(plots.MARKERS.values())) == len(SYSTEMS)
    assert all(matplotlib.colors.is_color_like(colour) for colour in plots.PALETTE.values())


def test_a_saved_figure_has_its_numbers_beside_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MER_DATA", str(tmp_path))
    table = history_frame()
    path = plots.save_figure(plots.learning_curves(table, "t", "c"), table, "made-up", "curves")
    assert path == tmp_path / "figures" / "made-up" / "curves.png"
    with Image.open(path) as picture:
        assert picture.format == "PNG" and picture.info["Description"] == "t. c."
    pd.testing.assert_frame_equal(pd.read_csv(path.with_suffix(".csv")), table)
    assert sorted(p.name for p in path.parent.iterdir()) == ["curves.csv", "curves.png"]


def test_a_page_says_in_words_what_its_figures_show(tmp_path):
    """As a kernel sends it: Jupyter's own display of a figure, with the words beside the picture."""
    shell = InteractiveShell()
    select_figure_formats(shell, {"png"})
    figure = plots.learning_curves(history_frame(), "A <title>", 'and "words"')
    data, metadata = shell.display_formatter.format(figure)
    cell = nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("display_data", data, metadata=metadata)])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "executed.ipynb")
    export_html(tmp_path / "executed.ipynb")
    images = [tag.attrs for tag in BeautifulSoup((tmp_path / "executed.html").read_text("utf-8"), "html.parser")("img")]
    assert [image["alt"] for image in images] == ['A <title>. and "words".']
    assert images[0]["src"].startswith("data:image/png;base64,")


def test_boxes_are_drawn_from_five_seeds_on():
    columns = {"mae_change": "rise of MAE"}
    few, many = (
        robustness_plots.changes(tables.with_changes(results_frame(seeds=n)), columns, "t", "c") for n in (4, 5)
    )
    assert not few.axes[0].patches and len(many.axes[0].patches) == len(SYSTEMS)


def test_many_attacks_side_by_side_have_names_that_do_not_overlap():
    attacks = {f"apgd-wave-0.00{number}": ("waveform", 0.001 * number) for number in range(1, 10)}
    attacks |= {f"bim-spec-0.0{number}": ("spectrogram", 0.01 * number) for number in range(1, 5)}
    results, columns = tables.with_changes(results_frame(attacks=attacks)), {"mae_change": "rise of MAE"}
    predictions = pd.concat([predictions_frame().query("attack == 'bim-spec-0.1'").assign(attack=a) for a in attacks])
    for figure in (
        robustness_plots.changes(results, columns, "t", "c"),
        robustness_plots.clip_changes(clip_rises(predictions), "t", "c"),
    ):
        figure.draw_without_rendering()
        for texts in ([axis.title for axis in figure.axes], [t for a in figure.axes for t in a.get_xticklabels()]):
            boxes = [text.get_window_extent() for text in texts if text.get_text()]
            assert len(boxes) >= 13
            assert all(left.x1 <= right.x0 + 1 for left, right in pairwise(boxes))


def test_table_1_counts_each_run_once_and_stands_beside_the_published():
    table = tables.table_1(results_frame(seeds=3))
    assert list(table.index) == list(SYSTEMS) and (table["seeds"] == 3).all()
    assert table.loc["A2E", "correlation, published"] == "0.73 ± 0.02"
    assert table.loc["aA2M2E", "MAE, published"] == "–"
    assert tables.table_1(results_frame(seeds=1)).loc["A2E", "correlation"] == "0.70"


def test_the_published_table_is_the_one_of_the_runs():
    known = tables.published_table()
    runs = pd.read_csv(tables.data_folder() / "published" / "runs.csv").groupby("system").mean(numeric_only=True)
    np.testing.assert_allclose((runs["mae_attacked"] - runs["mae_clean"])[known.index], known["mae_rise"], atol=0.006)
    assert (runs["corr_clean"][known.index] - known["corr_mean"]).abs().max() < 0.02


def test_the_attack_asked_for_or_the_strongest_is_shown():
    changed = tables.with_changes(results_frame(systems=("A2E",)))
    strongest = changed.loc[changed["mae_change"].idxmax(), "attack"]
    assert tables.chosen_attack(changed) == strongest
    assert {tables.chosen_attack(changed, name) for name in ATTACKS} == set(ATTACKS)
    with pytest.raises(ValueError, match="no attack 'bim'.*bim-spec-0.1, bim-wave-0.001"):
        tables.chosen_attack(changed, "bim")


def test_changes_are_differences_and_the_spread_divides():
    row = tables.with_changes(results_frame()).iloc[0]
    assert row["mae_change"] == pytest.approx(row["mae_attacked"] - row["mae_clean"])
    assert row["change_over_spread"] == pytest.approx(row["mae_change"] / row["spread_clean"])
    constant = results_frame().assign(spread_clean=0.0)
    assert tables.with_changes(constant)["change_over_spread"].isna().all()


def test_a_caption_names_attacks_that_not_every_network_has_had():
    results = results_frame(seeds=2)
    assert "fewer networks" not in captions.study_caption(results)
    rare = (results["attack"] == results["attack"].iloc[0]) & (results["seed"] == 1) & (results["system"] == "A2E")
    count, attack = results[["system", "seed"]].drop_duplicates().shape[0], results["attack"].iloc[0]
    expected = f"(fewer networks under some attacks: {attack} on {count - 1} of {count})"
    assert expected in captions.study_caption(results[~rare])
    seeds = tables.robustness_table(results[~rare])["seeds"]
    assert seeds[attack]["A2E"] == 1 and (seeds.drop((attack, "A2E")) == 2).all()


def test_the_caption_says_what_limits_the_numbers():
    few, enough = captions.study_caption(results_frame(seeds=2)), captions.study_caption(results_frame(seeds=5))
    assert "simulated listeners" in few and "width 0.25" in few and "36 test clips" in few and "A2E 2" in few
    assert "intervals are over clips" in few and "intervals" not in enough
    mixed = results_frame().assign(midlevel_kind="not used")
    assert "not used" not in captions.study_caption(mixed)
    both = results_frame().assign(precision=["bfloat16", "float32"] * (len(results_frame()) // 2))
    assert "gradients in bfloat16 and float32" in captions.study_caption(both)
    assert "gradients" not in captions.study_caption(both.assign(precision="float32"))
    human = results_frame(seeds=5).assign(ratings_kind="human listeners", midlevel_kind="computed")
    assert "simulated" not in captions.study_caption(human) and "computed" in captions.study_caption(human)


def test_the_reading_follows_the_numbers():
    results = results_frame(seeds=5)
    robust = results["system"] == "A2M2E"
    text = tables.reading(results.assign(mae_attacked=results["mae_attacked"].where(~robust, results["mae_clean"])))
    assert "the error rises least for A2M2E" in text
    assert "rise of MAE 2 of 2" in text and "simulated listeners" in text and "chance" not in text
    assert "less to lose" not in text, "all predict equally well"
    timid = results.assign(corr_clean=results["corr_clean"].where(~robust, 0.3))
    assert "A2M2E 0.30" in tables.reading(timid) and "less to lose" in tables.reading(timid)
    weak = results.assign(mae_attacked=results["mae_attacked"] + np.where(robust, 1.0, 0.0))
    text = tables.reading(weak)
    assert "most for A2M2E" in text and "rise of MAE 0 of 2" in text
    assert "4.0 times the clip-gradients" in text


def test_a_reading_of_one_system_says_nothing_about_others():
    assert "A2M2E" not in tables.reading(results_frame(seeds=1, systems=("A2E",)))


def test_a_network_that_learned_the_qualities_shows_a_diagonal():
    qualities = np.random.default_rng(0).uniform(size=(40, 7))
    table = tables.bottleneck_correlations(2 * qualities + 1, qualities, MIDLEVEL)
    np.testing.assert_allclose(np.diag(table), 1.0)
    assert table.shape == (7, 7) and list(table.columns) == list(MIDLEVEL)


def test_emotion_table_ends_with_the_means():
    ratings = np.random.default_rng(0).uniform(size=(20, 8))
    table = tables.emotion_table(ratings, ratings + 0.1)
    assert list(table.index) == [*EMOTIONS, "mean"]
    assert table.loc["mean", "MAE"] == pytest.approx(0.1) and table.loc["mean", "correlation"] == pytest.approx(1.0)


def test_group_table_counts_test_clips_that_share_a_group():
    groups = np.array(["a", "a", "b", "c", "c", "d"])
    parts = {"train": np.array([0, 2, 3]), "valid": np.array([4]), "test": np.array([1, 5])}
    row = tables.group_table(groups, {"published": parts}).loc["published"]
    assert row["group also in training"] == 1 and row["group unseen"] == 1 and row["train clips"] == 3


def test_the_strongest_attacks_curve_is_shown_whole():
    curves = {
        "weak": np.full((5, 4), 0.01),
        "strong": np.linspace(0.01, 9, 5)[:, None] * np.ones(4),
        "last": np.full((5, 4), 0.02),
    }
    figure = attack_plots.loss_per_step(curves, "Loss", "made up")
    assert all(axis.get_ylim()[0] == 0 and axis.get_ylim()[1] > 9 for axis in figure.axes)


def test_many_attacks_step_by_step_stand_in_rows_of_five_whose_names_do_not_overlap():
    curves = {f"published-spectrogram-{number}db": np.ones((51, 4)) for number in range(13)}
    figure = attack_plots.loss_per_step(curves, "Loss", "made up")
    figure.draw_without_rendering()
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert len(shown) == 13 and len({axis.get_position().y0 for axis in shown}) == 3
    for texts in [[axis.title for axis in shown[:5]], *([*axis.get_xticklabels()] for axis in shown)]:
        boxes = [text.get_window_extent() for text in texts]
        assert all(left.x1 <= right.x0 + 1 for left, right in pairwise(boxes))
    assert shown[0].get_title() == "published\nspectrogram\n0 dB"


def test_where_budgets_lie_close_their_labels_do_not_overlap():
    attacks = {f"bim-{e}": ("spectrogram", e) for e in (0.001, 0.01, 0.012, 0.03, 0.1, 0.3)}
    attacks |= {"apgd": ("spectrogram", 0.01), "wave": ("waveform", 0.001), "ear": ("waveform", np.nan)}
    rows = results_frame(seeds=1, systems=["A2E"], attacks=attacks).assign(snr_db_median=42.0)
    axis = attack_plots.epsilon_sweep(rows, "Budget", "made up").axes[0]
    axis.figure.draw_without_rendering()
    assert [f"{tick:g}" for tick in axis.get_xticks()] == ["0.001", "0.01", "0.012", "0.03", "0.1", "0.3"]
    for texts in ([text for text in axis.get_xticklabels() if text.get_text()], axis.texts):
        assert all(left.x1 < right.x0 for left, right in pairwise(text.get_window_extent() for text in texts))
    assert {text.get_position()[1] for text in axis.texts} == {0.97}, "a row along the top edge"


def test_budgets_by_ear_stand_beside_budgets_by_number():
    by_ear = {f"bim-{snr}db": ("waveform", np.nan) for snr in (40, 30, 20)}
    one = results_frame(seeds=1, systems=["A2E"], attacks={**ATTACKS, **by_ear})
    one.loc[one["epsilon"].isna(), "snr_db_median"] = [40.1, 30.2, 20.1]
    figure = attack_plots.epsilon_sweep(one, "Budget", "made up")
    assert [axis.get_xlabel() for axis in figure.axes[3:]] == [
        "budget epsilon (z-scored spectrogram)", "budget epsilon (full scale)", "SNR (dB)",
    ]  # fmt: skip
    low, high = figure.axes[-1].get_xlim()
    assert low > 40 and high < 21, "louder perturbations to the right"


def test_relatives_of_bim_and_a_broken_budget_are_told_from_bim_in_the_sweep():
    attacks = {f"{m}{e}": ("spectrogram", e) for m in ("bim", "apgd") for e in (0.01, 0.1)}
    rows = results_frame(seeds=1, systems=["A2E"], attacks={**attacks, "published": ("spectrogram", 0.001)})
    rows["method"] = ["BIM", "BIM", "APGD", "APGD", "BIM"]
    rows["published_update"] = [False] * 4 + [True]
    rows["linf_max"] = [0.01, 0.1, 0.01, 0.1, 0.08]
    axis = attack_plots.epsilon_sweep(rows, "Budget", "made up").axes[0]
    drawn = {line.get_label(): list(line.get_xdata()) for line in axis.lines[1:]}
    assert drawn == {"after BIM": [0.01, 0.1], "after APGD": [0.01, 0.1], "budget not kept": [0.08]}
    bim, apgd = axis.lines[1:3]
    assert bim.get_marker() != apgd.get_marker() and apgd.get_markerfacecolor() == "none"


def test_figure_4_marks_where_no_rating_lies_and_covers_no_point_with_its_legend():
    predictions = predictions_frame().query("attack == 'bim-spec-0.1'")
    figure = robustness_plots.true_against_predicted(predictions, "Figure 4", "made up")
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= max(axis.get_window_extent().x1 for axis in figure.axes)
    assert all(len(axis.patches) == 2 for axis in figure.axes)
    predictions = predictions.assign(rating=predictions["rating"].where(predictions["clip"] > 0, 0.95))
    figure = robustness_plots.true_against_predicted(predictions, "Figure 4", "made up")
    assert not any(axis.patches for axis in figure.axes), "another scale"


def test_the_mean_cost_is_written_at_the_end_of_its_bar():
    runs = results_frame(seeds=3, systems=["A2E"], attacks={"a": ("spectrogram", 0.1)})
    axis = robustness_plots.cost(runs.assign(train_seconds=[10.0, 20.0, 90.0]), "Cost", "made up").axes[0]
    assert axis.texts[0].get_text() == "40" and axis.texts[0].xy[0] == axis.patches[0].get_width() == 40


def test_a_rung_that_was_not_tried_is_a_dash_and_the_heads_bound_a_line_through_nought():
    rises = pd.DataFrame({"system": ["A2E", "A2E", "A2M2E"], "attack": ["noise", "BIM", "BIM"], "rise": [0, 0.2, 0.1]})
    first, second = credibility_plots.ladder(rises, "Ladder", "made up").axes
    assert not first.texts and [text.xy for text in second.texts] == [(0, 0)]
    columns = ["system", "emotions moved", "explanation moved", "bound for the tolerance"]
    table = pd.DataFrame([["A2B2E", 0.0, 0.0, 0.4], ["A2B2E", 0.1, 0.2, 0.4]], columns=columns)
    (axis,) = credibility_plots.explanations_moved(table, 0.1, "Moved", "made up").axes
    assert [tuple(line.get_ydata()) for line in axis.lines] == [(0, 0.4), (0, 0.1)]
    assert axis.get_xlim()[0] < 0 and axis.get_ylim()[0] < 0 and "mid-level" not in axis.get_ylabel()


def test_intervals_of_several_trainings_at_one_size_stand_side_by_side():
    trained = pd.DataFrame({"training": ["natural", "adversarial"], "train_clips": 288, "corr_clean": [0.8, 0.7]})
    table = trained.assign(measure="top-k", corrected_clips=0.5, corrected_clips_low=0.4, corrected_clips_high=0.6)
    axis = lens_plots.sizes(trained, table, ["top-k"], "Sizes", "made up").axes[1]
    natural, adversarial = (container[0].get_xdata()[0] for container in axis.containers)
    assert natural < 288 < adversarial < 1.1 * natural


def test_audibility_shows_every_clip_that_was_changed():
    sounds = sounds_frame(systems=["A2E", "aA2E"])
    figure = perceptibility_plots.audibility(sounds, "Audible", "made up")
    drawn = [sum(len(points.get_offsets()) for points in axis.collections) for axis in figure.axes]
    assert drawn == [2 * 11] * 4
    left, right = figure.axes[0].get_xlim()
    assert left > right, "more audible to the right"
    assert [axis.get_title() for axis in figure.axes][::2] == list(perceptibility_plots.WORDS.values())


@pytest.mark.parametrize("words", [5, 60, 250])
def test_a_caption_never_lies_on_the_axes(words):
    figure, axes = plots.panels(1, 2, height=1.8)
    axes[0, 0].set(xlabel="below", title="above")
    plots.finish(figure, "A title", "caption " * words)
    figure.draw_without_rendering()
    caption = figure._supxlabel.get_window_extent()
    assert all(axis.get_tightbbox().y0 >= caption.y1 and axis.get_window_extent().height > 40 for axis in axes.flat)


def test_networks_of_another_study_are_hollow_beside_those_of_the_study():
    own = tables.with_changes(results_frame(attacks={"bim-spec-0.1": ("spectrogram", 0.1)}))
    other = own[own["system"] == "A2E"].assign(study="early")
    axis = robustness_plots.trade_off(pd.concat([own, other]), "t", "c").axes[0]
    drawn = {points.get_label(): points for points in axis.collections}
    assert list(drawn) == [*SYSTEMS, "A2E, early"]
    assert len(drawn["A2E"].get_facecolors()) and not len(drawn["A2E, early"].get_facecolors())
    for name, rows in own.groupby("system"):
        np.testing.assert_allclose(drawn[name].get_offsets(), rows[["corr_clean", "mae_change"]])
