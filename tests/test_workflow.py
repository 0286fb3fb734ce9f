"""The workflow runs what is missing and nothing else, tells what failed, and leaves nothing running or half-written."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import filelock
import nbformat
import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from stand_in import ROOT, STUDY, Tree

from workflow import clean, kept_runs, page, processes, slurm_jobs
from workflow.code_digest import library_digest
from workflow.execute import THREAD_VARIABLES
from workflow.jobs import Job, Plan
from workflow.study import load_study

JOBS = {
    "prepare",
    "train:A2E:21",
    "train:aA2E:21",
    "attack:A2E:21",
    "attack:aA2E:21",
    "analyse:08_robustness",
    "analyse:07_listen",
}
AFTER_ATTACKS = {"analyse:08_robustness", "analyse:07_listen"}


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory) -> Tree:
    """A tree whose tiny study has run, made once for all test processes."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "a finished tree's études & more"
    with filelock.FileLock(f"{shared}.lock"):
        if shared.is_dir():
            return Tree(shared)
        tree = Tree.make(shared)
        done = tree.run()
        assert done.returncode == 0, done.stdout
        (shared / "said.txt").write_text(done.stdout, "utf-8")
    return tree


@pytest.fixture
def finished(finished_once, tmp_path) -> Tree:
    """A copy of that tree, to be changed."""
    shutil.copytree(finished_once.root, tmp_path / "a tree & its $HOME")
    return Tree(tmp_path / "a tree & its $HOME")


def would_run(tree: Tree) -> set[str]:
    done = tree.run("--dry-run")
    assert done.returncode == 0, done.stdout
    return {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}


def edit(path: Path, cell: int, source: str) -> None:
    notebook = nbformat.read(path, 4)
    notebook.cells[cell].source = source
    nbformat.write(notebook, path)


# --- a study runs to its page -------------------------------------------------------------------------------------


def test_the_launcher_tells_jobs_phases_table_and_page(finished_once):
    said = (finished_once.root / "said.txt").read_text("utf-8")
    assert "7 of 7  analyse 07_listen" in said
    for phase in ("prepare", "train", "adversarial", "attack", "analyse"):
        assert f"\n{phase:>11} " in said
    assert "bim   aA2E      1       0.500          0.100" in said
    assert "simulated listeners" in said
    assert said.rstrip().endswith(f"Open this page: {finished_once.folder / 'index.html'}")


def test_every_job_leaves_its_notebook_its_page_and_its_record(finished_once):
    for job in Plan(load_study(finished_once.folder / "study.yaml", name="tiny")).jobs.values():
        executed = finished_once.folder / job.executed
        tags = [tag for cell in nbformat.read(executed, 4).cells for tag in cell.metadata.get("tags", [])]
        assert tags == ["parameters", "injected-parameters"]
        assert executed.with_suffix(".html").stat().st_size > 1000
        assert json.loads((finished_once.folder / job.record).read_text())["status"] == "finished"
    assert not list(finished_once.folder.rglob("*.part*"))


def test_the_study_is_kept_as_it_was_run(finished_once):
    assert yaml.safe_load((finished_once.folder / "study.yaml").read_text()) == STUDY


def test_a_second_call_runs_nothing(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*.ipynb")}
    done = finished.run()
    assert done.returncode == 0
    assert "nothing ran" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*.ipynb")} == before


# --- what runs again ----------------------------------------------------------------------------------------------


def test_a_new_seed_runs_only_what_is_new(finished):
    finished.study(systems={"A2E": [21, 42], "aA2E": [21]})
    assert would_run(finished) == {"train:A2E:42", "attack:A2E:42"} | AFTER_ATTACKS


def test_more_epochs_train_again(finished):
    finished.study(epochs=3)
    assert would_run(finished) == JOBS - {"prepare"}


def test_another_adversarial_budget_concerns_the_adversarial_systems_alone(finished):
    finished.study(adversarial={"every": 1, "epsilon": 0.2, "steps": 3})
    assert would_run(finished) == {"train:aA2E:21", "attack:aA2E:21"} | AFTER_ATTACKS


def test_another_attack_trains_nothing(finished):
    finished.study(attacks=[*STUDY["attacks"], {"name": "more", "domain": "waveform", "epsilon": 0.001, "steps": 3}])
    assert would_run(finished) == {"attack:A2E:21", "attack:aA2E:21"} | AFTER_ATTACKS


def test_what_changes_no_result_runs_nothing(finished):
    """Threads, the time limit, a sentence in a notebook, a comment in the library, a moved checkout, a new date."""
    finished.study(threads=2, limit_minutes=5)
    edit(finished.root / "notebooks" / "02_train_a2e.ipynb", 0, "# Another title")
    library = finished.root / "mer_lib" / "places.py"
    library.write_text(library.read_text("utf-8") + "\n# a comment\n", "utf-8")
    os.utime(finished.root / "data" / "etudes" / "mean_ratings_set1.csv")
    assert would_run(finished) == set()


def test_changed_code_runs_again_what_reaches_it(finished):
    """Notebook 06 imports mer_lib.places, the training notebooks do not; an analysis runs again with its results."""
    library = finished.root / "mer_lib" / "places.py"
    library.write_text(library.read_text("utf-8") + "\nNEW = 1\n", "utf-8")
    assert would_run(finished) == {"attack:A2E:21", "attack:aA2E:21"} | AFTER_ATTACKS


def test_finished_results_can_be_taken_as_up_to_date(finished):
    library = finished.root / "mer_lib" / "places.py"
    library.write_text(library.read_text("utf-8") + "\nNEW = 1\n", "utf-8")
    assert finished.run("--", "--touch").returncode == 0
    assert would_run(finished) == set()


def test_changed_code_in_a_notebook_runs_it_again(finished):
    path = finished.root / "notebooks" / "07_listen.ipynb"
    edit(path, 2, nbformat.read(path, 4).cells[2].source + "\nprint(1)")
    assert would_run(finished) == {"analyse:07_listen"}


def test_changed_ratings_prepare_again(finished):
    (finished.root / "data" / "etudes" / "mean_ratings_set1.csv").write_text("number\n2\n", "utf-8")
    assert would_run(finished) == JOBS


def test_a_dry_run_changes_nothing(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.folder.iterdir() if path.is_file()}
    finished.study(epochs=3)
    would_run(finished)
    assert {path: path.stat().st_mtime_ns for path in finished.folder.iterdir() if path.is_file()} == before


def test_the_digest_follows_imports_and_leaves_pictures_out(tmp_path):
    library = tmp_path / "mer_lib"
    library.mkdir()
    (library / "models.py").write_text("from .audio import x\nimport mer_lib.plots\n")
    (library / "audio.py").write_text('"""Doc."""\nx = 1\n')
    (library / "plots.py").write_text("colour = 'red'\n")
    (library / "bim.py").write_text("a = 1\n")
    notebook = tmp_path / "n.ipynb"
    cell = nbformat.v4.new_code_cell("%pylab\nfrom mer_lib import models")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), notebook)

    def digest(drawn: bool = False) -> str:
        library_digest.cache_clear()
        return library_digest(notebook, library, drawn=drawn)

    plain, drawn = digest(), digest(drawn=True)
    (library / "bim.py").write_text("a = 2\n")  # not reached
    (library / "audio.py").write_text('"""Other words."""\nx = 1  # why\n')
    assert (digest(), digest(drawn=True)) == (plain, drawn)
    (library / "plots.py").write_text("colour = 'blue'\n")
    assert digest() == plain
    assert digest(drawn=True) != drawn
    (library / "audio.py").write_text("x = 2\n")
    assert digest() != plain


# --- what goes wrong ----------------------------------------------------------------------------------------------


def test_a_failing_notebook_leaves_its_traceback_and_no_marker(finished):
    notebook = finished.root / "notebooks" / "02_train_a2e.ipynb"
    good = nbformat.read(notebook, 4).cells[2].source
    edit(notebook, 2, good + "\nraise ValueError('the trunk is <b>hollow</b>')")
    done = finished.run()
    run = finished.folder / "A2E" / "seed-21"
    assert done.returncode == 1
    assert "train A2E, seed 21 FAILED in notebook 02_train_a2e" in done.stdout
    assert "ValueError: the trunk is <b>hollow</b>" in done.stdout
    assert not (run / "run.json").exists()
    assert not (run / "02_train_a2e.ipynb").exists()
    assert "hollow" in (run / "02_train_a2e.failed.ipynb").read_text("utf-8")
    assert (finished.folder / "aA2E" / "seed-21" / "run.json").exists(), "other runs stay"


def test_a_figure_that_fails_costs_no_training(finished):
    """The notebook trains, then fails; mended, it finds its run finished."""
    run = finished.folder / "A2E" / "seed-21" / "run.json"
    notebook = finished.root / "notebooks" / "02_train_a2e.ipynb"
    good = nbformat.read(notebook, 4).cells[2].source
    finished.study(epochs=3)
    edit(notebook, 2, good + "\nraise ValueError('a figure')")
    trained = run.read_text()
    assert finished.run().returncode == 1
    assert not run.exists()
    kept = run.with_name(".run.json.kept").read_text()
    assert kept != trained
    edit(notebook, 2, good)
    assert finished.run().returncode == 0
    assert run.read_text() == kept
    assert not list(run.parent.glob("*.failed.ipynb"))


@pytest.mark.parametrize(
    ("now", "prepared", "expected"),
    [
        ({"parameters": {"epochs": 2}, "library": "a", "notebook": "new"}, 100, True),
        ({"parameters": {"epochs": 3}, "library": "a", "notebook": "old"}, 100, False),
        ({"parameters": {"epochs": 2}, "library": "b", "notebook": "old"}, 100, False),
        ({"parameters": {"epochs": 2}, "library": "a", "notebook": "old"}, 300, False),
    ],
    ids=["only the notebook changed", "parameters changed", "library changed", "corpus prepared anew"],
)
def test_a_kept_run_comes_back_only_if_it_is_still_the_one_wanted(tmp_path, now, prepared, expected):
    tracked = json.dumps({"parameters": {"epochs": 2}, "library": "a", "notebook": "old"})
    job = Job("train:A2E:1", "train", "02_train_a2e", {}, "A2E/seed-1/run.json", "A2E/seed-1/x.ipynb", tracked)
    marker, upstream = tmp_path / job.marker, tmp_path / "info.json"
    marker.parent.mkdir(parents=True)
    for path, time_finished in ((marker, 200), (upstream, prepared)):
        path.write_text("{}")
        os.utime(path, (time_finished, time_finished))
    kept_runs.keep(job, tmp_path, tracked, "1970-01-01T00:03:20+00:00")
    marker.unlink()
    assert kept_runs.put_back(replace(job, tracked=json.dumps(now)), tmp_path, upstream) is expected
    assert marker.is_file() is expected


def test_a_run_that_a_job_only_found_is_not_kept_as_its_own(tmp_path):
    job = Job("train:A2E:1", "train", "02_train_a2e", {}, "A2E/seed-1/run.json", "A2E/seed-1/x.ipynb")
    marker = tmp_path / job.marker
    marker.parent.mkdir(parents=True)
    marker.write_text("{}")
    os.utime(marker, (199, 199))
    kept_runs.keep(job, tmp_path, "{}", "1970-01-01T00:03:20+00:00")
    assert list(marker.parent.iterdir()) == [marker]
    os.utime(marker, (200, 200))
    kept_runs.keep(job, tmp_path, "{}", "1970-01-01T00:03:20+00:00")
    assert len(list(marker.parent.iterdir())) == 3


def execute(tree: Tree, job: str, **parameters: object) -> subprocess.CompletedProcess[str]:
    """Execute one job of the tree's plan, with more parameters than the plan gives it."""
    plan = json.loads((tree.folder / "plan.json").read_text("utf-8"))
    for planned in plan["jobs"]:
        planned["parameters"] |= parameters if planned["name"] == job else {}
    (tree.folder / "plan.json").write_text(json.dumps(plan), "utf-8")
    command = [sys.executable, str(tree.root / "workflow" / "execute.py"), str(tree.folder), job]
    return subprocess.run(command, **tree.options, timeout=120)


def test_an_unknown_parameter_is_refused(finished):
    done = execute(finished, "train:A2E:21", epoch=3, sed=1)
    assert done.returncode == 1
    assert "02_train_a2e has no parameter 'epoch'" in done.stdout
    assert "02_train_a2e has no parameter 'sed'" in done.stdout
    assert "it has: study, prepared, seed, width, epochs" in done.stdout


def test_threads_are_those_of_the_studys_file_whatever_the_caller_says(finished):
    finished.study(threads=2)
    counts = f"print(*[os.environ[name] for name in {THREAD_VARIABLES}], file=open('threads', 'w'))"
    finished.notebook("07_listen", 'study=""\nsystem=""\nseed=1\nprepared=""', f"import os\n{counts}")
    finished.environment |= {"OMP_NUM_THREADS": "7", "MKL_NUM_THREADS": "7"}
    assert finished.run().returncode == 0
    assert (finished.root / "notebooks" / "threads").read_text().split() == ["2"] * len(THREAD_VARIABLES)


def test_an_unknown_job_is_refused(finished):
    done = execute(finished, "train:A2E:99")
    assert done.returncode == 1
    assert "has no job 'train:A2E:99'" in done.stdout


def test_a_parameter_that_a_notebook_lacks_is_said_before_anything_starts(finished):
    finished.study(analyses=[*STUDY["analyses"][:1], {"notebook": "07_listen", "parameters": {"sistem": "A2E"}}])
    done = finished.run()
    assert done.returncode == 2
    assert "07_listen has no parameter 'sistem'" in done.stdout


def test_a_missing_corpus_is_said_before_anything_starts(finished):
    finished.study(corpus="nowhere/to be found")
    done = finished.run()
    assert done.returncode == 2
    assert "data/README.md" in done.stdout


def left_running(tree: Tree) -> list[psutil.Process]:
    return processes.marked(processes.STUDY_MARK, str(tree.folder))


def test_a_notebook_that_never_ends_is_ended_at_its_limit(finished):
    finished.notebook("07_listen", 'study=""\nsystem=""\nseed=1\nprepared=""', "import time\ntime.sleep(600)")
    finished.study(limit_minutes=0.15)
    done = finished.run()
    assert done.returncode == 1
    assert "07_listen was ended: it took longer than 0.15 min" in done.stdout
    assert left_running(finished) == []


@pytest.fixture
def sleeping(finished):
    """A tree whose listening notebook sleeps, with its launcher at work on it."""
    finished.notebook("07_listen", 'study=""\nsystem=""\nseed=1\nprepared=""', "import time\ntime.sleep(600)")
    launcher = finished.start()
    until(lambda: any("ipykernel_launcher" in " ".join(p.cmdline()) for p in left_running(finished)))
    yield finished, launcher
    launcher.kill()
    launcher.communicate()
    processes.end_marked(processes.STUDY_MARK, str(finished.folder))


def until(true: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if true():
                return
        except psutil.Error:
            pass
        time.sleep(0.1)
    pytest.fail(f"waited {seconds} s in vain")


def test_two_launchers_do_not_work_on_one_study(sleeping):
    tree, launcher = sleeping
    second = tree.run()
    assert second.returncode == 2
    assert f"is being worked on by another launcher (process {launcher.pid} on " in second.stdout
    assert launcher.poll() is None, "the first goes on"


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_launcher_leaves_nothing_running(sleeping, number):
    tree, launcher = sleeping
    launcher.send_signal(number)
    launcher.communicate(timeout=60)
    assert launcher.returncode != 0
    assert left_running(tree) == []


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_what_a_killed_launcher_left_is_ended_and_the_study_goes_on(sleeping):
    tree, launcher = sleeping
    launcher.kill()
    launcher.wait()
    left = left_running(tree)
    assert left, "Snakemake and the kernel live on"
    tree.notebook("07_listen", 'study=""\nsystem=""\nseed=1\nprepared=""', "print('awake')")
    done = tree.run()
    assert done.returncode == 0, done.stdout
    assert "that an earlier run of this study had left" in done.stdout
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in left)


def test_arguments_for_snakemake_may_follow_any_of_ours(finished):
    done = finished.run("--cores", "1", "--", "--touch", "--verbose")
    assert done.returncode == 0, done.stdout
    assert "--touch --verbose" in (finished.folder / "snakemake.log").read_text("utf-8")


def test_a_target_alone_shows_no_table_that_is_not_there_or_out_of_date(finished):
    os.utime(finished.folder / "A2E" / "seed-21" / "attacks.csv")
    done = finished.run("--", "A2E/seed-21/run.json")
    assert done.returncode == 0, done.stdout
    assert "results.csv is older than the runs" in done.stdout
    (finished.folder / "results.csv").unlink()
    done = finished.run("--", "A2E/seed-21/run.json")
    assert done.returncode == 0, done.stdout
    assert "results.csv is not there yet. Call this again without targets" in done.stdout


def test_a_job_of_an_earlier_call_does_nothing(finished):
    """On a cluster it may have waited longer than its launcher lived."""
    before = (finished.folder / "A2E" / "seed-21" / "02_train_a2e.json").read_bytes()
    finished.environment[processes.CALL_MARK] = "an earlier one"
    done = execute(finished, "train:A2E:21")
    assert done.returncode == 1
    assert "submitted by an earlier call of the launcher" in done.stdout
    assert (finished.folder / "A2E" / "seed-21" / "02_train_a2e.json").read_bytes() == before


def test_a_notebook_that_failed_is_not_tried_again_in_the_same_call(finished):
    notebook = finished.root / "notebooks" / "02_train_a2e.ipynb"
    good = nbformat.read(notebook, 4).cells[2].source
    edit(notebook, 2, "open('tried', 'a').write('x')\nraise ValueError('hollow')")
    finished.study(epochs=3)
    assert finished.run("--", "--retries", "2", "A2E/seed-21/run.json").returncode == 1
    tried = finished.root / "notebooks" / "tried"
    assert tried.read_text() == "x"
    edit(notebook, 2, "open('tried', 'a').write('x')\n" + good)
    assert finished.run("--", "A2E/seed-21/run.json").returncode == 0
    assert tried.read_text() == "xx"
    assert (finished.folder / "A2E" / "seed-21" / "run.json").is_file()


# --- on a cluster (with a stand-in for Slurm's commands; tests/test_slurm.py has the real ones) -----------------------


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> Path:
    """Folder of stand-ins: squeue prints the file `queue`, scancel notes whom it was called for and empties it."""
    (tmp_path / "queue").touch()
    scripts = {
        "squeue": 'cat "$here/queue"',
        "scancel": 'echo "$@" >> "$here/cancelled"; : > "$here/queue"',
        "sbatch": "",
    }
    for name, script in scripts.items():
        (tmp_path / name).write_text(f'#!/bin/sh\nhere="$(dirname "$0")"\n{script}\n', "utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path


def test_the_jobs_of_a_study_and_no_others_are_cancelled(slurm):
    folder = Path("/shared/runs/tiny")
    ours, other = slurm_jobs.prefix(folder), slurm_jobs.prefix(Path("/shared/elsewhere/tiny"))
    (slurm / "queue").write_text(f"11 {ours}_1f-2e\n12 {other}_1f-2e\n13 tiny\n14 {ours}_77\n15\n", "utf-8")
    assert slurm_jobs.cancel(folder) == 2
    assert (slurm / "cancelled").read_text() == "11 14\n"


def test_the_name_of_any_study_is_one_that_the_plugin_takes():
    longest = load_study(ROOT / "workflow" / "studies" / "demo.yaml").settings["study"] * 10
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,50}", slurm_jobs.prefix(Path("/shared") / longest[:40]))


def test_nothing_is_submitted_while_slurm_does_not_say_what_runs(finished, slurm):
    (finished.folder / slurm_jobs.MARK).touch()
    (slurm / "squeue").write_text("#!/bin/sh\necho controller is away >&2\nexit 1\n", "utf-8")
    finished.environment["PATH"] = os.environ["PATH"]
    finished.study(epochs=3)
    done = finished.run()
    assert done.returncode == 2
    assert "controller is away" in done.stdout
    assert (finished.folder / slurm_jobs.MARK).exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--profile", "nowhere"], "nowhere: no Snakemake profile"),
        (["--profile", "slurm"], "there is no sbatch here"),
        (["--", "--executor", "slurm"], "there is no sbatch here"),
        (["--gpus", "-1"], "not negative"),
    ],
)
def test_what_a_cluster_needs_is_said_before_anything_starts(finished, arguments, said, monkeypatch):
    finished.environment["PATH"] = str(Path(sys.executable).parent)
    (finished.root / "stubs" / "snakemake_executor_plugin_slurm").mkdir(parents=True)
    (finished.root / "stubs" / "snakemake_executor_plugin_slurm" / "__init__.py").touch()
    finished.environment["PYTHONPATH"] = str(finished.root / "stubs")
    done = finished.run(*arguments)
    assert done.returncode == 2
    assert said in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="squeue")
def test_what_runs_in_another_job_of_a_cluster_is_not_ours_to_end(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    mark, value = "MER_TEST_MARK", str(os.getpid())
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    here = subprocess.Popen(command, env=os.environ | {mark: value})
    there = subprocess.Popen(command, env=os.environ | {mark: value, "SLURM_JOB_ID": "7"})
    try:
        until(lambda: [process.pid for process in processes.marked(mark, value)] == [here.pid], 10)
    finally:
        for process in (here, there):
            process.kill()
            process.wait()


# --- the page, cleaning up ----------------------------------------------------------------------------------------


def test_the_page_names_every_kind_of_budget():
    said = [
        page._budget({"domain": "spectrogram", "epsilon": 0.1}),
        page._budget({"domain": "waveform", "epsilon": 0.001}),
        page._budget({"domain": "waveform", "snr_db": 30, "norm": "2"}),
    ]
    assert said == ["epsilon 0.1 (z-scored units)", "epsilon 0.001 of full scale", "SNR of 30 dB or more"]


def test_the_page_escapes_what_it_shows(finished, monkeypatch):
    monkeypatch.setenv("MER_DATA", str(finished.data))
    results = pd.read_csv(finished.folder / "results.csv")
    results["ratings_kind"] = "<script>alert('x')</script>"
    results.to_csv(finished.folder / "results.csv", index=False)
    drawn = finished.data / "figures" / "tiny" / 'a"><img src=x onerror=alert(1)>.png'
    drawn.parent.mkdir(parents=True)
    drawn.write_bytes(b"\x89PNG")
    plan = Plan(load_study(finished.folder / "study.yaml", name="tiny"))
    text = page.write_page(plan, finished.folder).read_text("utf-8")
    assert "<script" not in text
    assert "onerror=alert(1)>" not in text
    assert "&lt;script&gt;" in text


def test_clean_keeps_downloads_and_long_studies(tmp_path, capsys):
    kept = ["data/soundtracks", "data/midlevel", "data/etudes", "data/runs/paper", ".venv", "figures"]
    removed = ["data/prepared", "data/runs/smoke", "data/runs/demo", ".pytest_cache", "mer_lib/__pycache__"]
    for folder in kept + removed:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file").touch()
    clean.main(tmp_path)
    assert all((tmp_path / folder / "file").is_file() for folder in kept)
    assert not any((tmp_path / folder).exists() for folder in removed)
    assert "kept data/runs/: paper" in capsys.readouterr().out


# --- the real thing -----------------------------------------------------------------------------------------------

RESULT_COLUMNS = {
    "study", "corpus", "split", "system", "seed", "width", "attack", "domain", "epsilon", "steps", "clips",
    "corr_clean", "mae_clean", "corr_attacked", "mae_attacked", "snr_db_median", "train_seconds", "attack_seconds",
}  # fmt: skip


@pytest.mark.slow
def test_the_smoke_study_from_audio_to_table(tmp_path):
    """Real notebooks through Snakemake and papermill: the table is whole, the budget held, nothing runs twice."""
    environment = os.environ | {"MER_DATA": str(tmp_path / "written")}
    # A copy, which nobody edits while the test runs
    for name in ("workflow", "mer_lib", "notebooks", "data/etudes", "data/published"):
        shutil.copytree(ROOT / name, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))

    def smoke(*arguments: str) -> str:
        command = [sys.executable, str(tmp_path / "copy" / "workflow" / "run.py"), "smoke", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    smoke("--cores", "2")
    folder = tmp_path / "written" / "runs" / "smoke"
    study = load_study(folder / "study.yaml", name="smoke")
    results = pd.read_csv(folder / "results.csv")
    assert set(results.columns) >= RESULT_COLUMNS
    expected = {(s, n, a["name"]) for s, seeds in study["systems"].items() for n in seeds for a in study["attacks"]}
    assert set(zip(results["system"], results["seed"], results["attack"], strict=True)) == expected
    assert results[["corr_clean", "mae_clean", "corr_attacked", "mae_attacked"]].notna().all(axis=None)
    for system, seed, name in expected:
        attack = next(a for a in study["attacks"] if a["name"] == name)
        predictions = pd.read_csv(folder / system / f"seed-{seed}" / "attacks" / name / "predictions.csv")
        assert set(predictions.columns) >= {"clip", "emotion", "rating", "clean", "attacked", "linf", "l2", "snr_db"}
        assert predictions["linf"].max() <= attack["epsilon"] * (1 + 1e-6)
        row = results.query("system == @system and seed == @seed and attack == @name").iloc[0]
        errors = np.abs(predictions["attacked"] - predictions["rating"])
        assert row["mae_attacked"] == pytest.approx(errors.mean(), rel=1e-3)
    assert list((tmp_path / "written" / "figures" / "smoke").glob("*.png"))
    assert (folder / "index.html").is_file()
    assert "nothing ran" in smoke()
    assert "0 of" in smoke("--dry-run")
