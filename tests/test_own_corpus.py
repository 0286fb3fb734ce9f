"""A study on one's own music: rated for some emotions only, from few albums, in a folder that may share its name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import papermill
import pytest
import soundfile

from mer_lib.audio import SAMPLE_RATE
from mer_lib.dataset import load_corpus
from mer_lib.places import ROOT, prepared_folder
from mer_lib.preparation import load_prepared, prepare
from tests.small import tone
from workflow.jobs import check_prepared, corpus_tables
from workflow.study import StudyError

RATINGS = np.linspace(2, 8, 12)


def own_corpus(folder: Path, ratings: Sequence[float] = RATINGS) -> Path:
    """Tones in the documented form, from two albums, rated for valence and tension."""
    folder.mkdir(parents=True)
    files = [f"song {index}.wav" for index in range(len(ratings))]
    for index, name in enumerate(files):
        soundfile.write(folder / name, tone(200 + 20 * index, 1), SAMPLE_RATE)
    albums = ["first album" if index < 8 else "second album" for index in range(len(ratings))]
    table = {"file": files, "valence": ratings, "tension": ratings[::-1], "group": albums}
    pd.DataFrame(table).to_csv(folder / "ratings.csv", index=False)
    (folder / "corpus.yaml").write_text("scale: [1, 9]\n")
    return folder


def test_a_corpus_is_not_taken_for_another_one_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.setenv("MER_DATA", str(tmp_path / "written"))
    one, other = own_corpus(tmp_path / "a" / "mine"), own_corpus(tmp_path / "b" / "mine", RATINGS[::-1])
    prepared = prepare(load_corpus(str(one)), prepared_folder("mine"), progress=False)
    plan = SimpleNamespace(study={"corpus": str(one), "clips": None}, prepared="mine")
    check_prepared(plan)
    plan.study["corpus"] = str(other)
    os.utime(other / "ratings.csv", (2**32, 2**32))
    check_prepared(plan)  # a table that is newer than what was prepared: Snakemake prepares it again
    for path in other.iterdir():
        os.utime(path, (0, 0))
    with pytest.raises(StudyError, match="holds another corpus than .*mine"):
        check_prepared(plan)
    assert load_prepared(prepared.folder).info == prepared.info


def test_what_is_said_of_a_corpus_is_one_of_its_tables(tmp_path):
    folder = own_corpus(tmp_path / "mine")
    assert [Path(path).name for path in corpus_tables(str(folder))] == ["ratings.csv", "corpus.yaml"]


@pytest.mark.slow
def test_the_first_notebook_takes_few_albums_and_some_emotions(tmp_path, monkeypatch):
    monkeypatch.setenv("MER_DATA", str(tmp_path / "written"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    parameters = {"corpus": str(own_corpus(tmp_path / "mine")), "clips": 0, "data_dir": str(ROOT / "data")}
    done = tmp_path / "executed.ipynb"
    source = ROOT / "notebooks" / "01_prepare_data.ipynb"
    papermill.execute_notebook(source, done, parameters, progress_bar=False, kernel_name="python3")
    assert len(load_prepared(prepared_folder("mine"))) == len(RATINGS)
    assert "Highest in valence" in done.read_text("utf-8")
