"""Bad input of every kind: one clear error that names all of it, or a stated repair; and every file stays as it was."""

from __future__ import annotations

import pytest

from tests.bad_audio import AUDIO
from tests.bad_case import BAIT, Case, is_taken, pickled_bait, snapshot
from tests.bad_files import ARCHIVES, LOGS
from tests.bad_folders import FOLDERS
from tests.bad_runs import CHECKPOINTS, PREPARED
from tests.bad_studies import STUDIES
from tests.bad_tables import TABLES

CASES: list[Case] = [*AUDIO, *TABLES, *FOLDERS, *STUDIES, *CHECKPOINTS, *PREPARED, *ARCHIVES, *LOGS]


@pytest.fixture(autouse=True)
def nothing_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("MER_SOUNDTRACKS", raising=False)
    monkeypatch.setenv("MER_DATA", str(tmp_path / "written"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_named_or_repaired_and_changes_nothing(case, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    read = case.make(folder)
    before = snapshot(tmp_path)
    if case.error is None:
        assert read() == case.gives
        after = snapshot(tmp_path)
        assert {path: after[path] for path in before} == before
        return
    with pytest.raises(case.error) as caught:
        read()
    assert type(caught.value) is case.error
    said = [str(caught.value)]
    capsys.readouterr()
    if case.command is not None:
        try:
            status = case.command(folder)
        except SystemExit as end:
            status, complaint = 1, str(end.code)
            assert end.code not in (0, None)
            said.append(complaint)
        else:
            said.append("".join(capsys.readouterr()))
        assert status != 0
    for message in said:
        for words in case.says:
            assert words in message
        assert "Traceback" not in message
        assert all(character.isprintable() or character == "\n" for character in message)
    assert snapshot(tmp_path) == before
    assert not list(tmp_path.rglob(BAIT))


def test_the_table_is_long_and_every_case_has_its_own_name():
    names = [case.name for case in CASES]
    assert len(names) >= 40 and len(set(names)) == len(names)
    assert all(case.says for case in CASES if case.error) and sum(case.error is None for case in CASES) >= 10


def test_the_bait_is_taken_by_what_loads_pickles(tmp_path):
    """Else the cases with pickles would prove nothing."""
    assert is_taken(pickled_bait(tmp_path), tmp_path)


def test_the_snapshot_sees_every_change(tmp_path):
    (tmp_path / "a").write_text("a")
    first = snapshot(tmp_path)
    (tmp_path / "a").write_text("b")
    second = snapshot(tmp_path)
    (tmp_path / "b").mkdir()
    assert first != second != snapshot(tmp_path)
