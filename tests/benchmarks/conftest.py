"""Benchmarks as ratios: both sides in one process and in turns, so that load on the machine meets both alike.

``make bench`` runs them, prints one table and writes ``figures/benchmarks.csv``, ``.md`` and ``.png``. Their files are
named ``bench_*.py``, so that ``make test`` leaves them out and only runs them once with ``--quick``, in sizes that show
nothing but that they run.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mer_lib.audio import EXCERPT_SAMPLES, decode, peak_normalise, trim_zeros
from mer_lib.dataset import EMOTIONS, load_corpus, split
from mer_lib.models import Network
from mer_lib.places import ROOT, figures
from mer_lib.runs import load_pretrained
from tests.benchmarks.cost_figure import write_cost_figure
from tests.benchmarks.measuring import QUICK, Duel, Size, widened
from tests.benchmarks.report import Report


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="sizes that only show that the benchmarks run")
    parser.addoption("--write-table", action="store_true", help="write figures/benchmarks.* (`make bench` does)")


@pytest.fixture(scope="session")
def size(request: pytest.FixtureRequest) -> Size:
    """Full sizes, or small ones with ``--quick``."""
    return QUICK if request.config.getoption("--quick") else Size()


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    """Where rows go; printed at the end."""
    request.config.stash[REPORT] = Report(quick=request.config.getoption("--quick"))
    return request.config.stash[REPORT]


REPORT = pytest.StashKey[Report]()


@pytest.fixture
def duel(benchmark: object) -> Duel:
    """Runs contenders in turns."""
    return Duel(benchmark)


@pytest.fixture(scope="session")
def network(size: Size) -> Network:
    """A trained A2E of the asked width, from the small one that comes with the repository."""
    small = load_pretrained("A2E").model
    return widened(small, size.width) if size.width != small.width else small.eval()


@pytest.fixture(scope="session")
def clips(size: Size) -> dict[str, torch.Tensor]:
    """Test clips of the Études that the network never heard: waveforms (clips, 220500) and ratings (clips, 8)."""
    corpus = load_corpus("etudes", ROOT / "data")
    chosen = corpus.table.iloc[split(corpus.table, "published")["test"][: size.clips]]
    pieces = [peak_normalise(trim_zeros(decode(path)))[:EXCERPT_SAMPLES] for path in chosen["path"]]
    waveforms = np.stack([np.pad(piece, (0, EXCERPT_SAMPLES - len(piece))) for piece in pieces])
    return {
        "waveforms": torch.from_numpy(waveforms),
        "ratings": torch.from_numpy(chosen[list(EMOTIONS)].to_numpy(np.float32)),
    }


@pytest.fixture(scope="session")
def spectrograms(network: Network, clips: dict[str, torch.Tensor]) -> torch.Tensor:
    """The clips z-scored for the network, (clips, 313, 149)."""
    with torch.no_grad():
        return network.standardise(network.front_end(clips["waveforms"]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table and, for ``make bench``, write it."""
    report = config.stash.get(REPORT, None)
    if report is None or not report.rows:
        return
    terminalreporter.section("benchmarks")
    for line in report.lines():
        terminalreporter.write_line(line)
    if config.getoption("--write-table"):
        report.write(figures() / "benchmarks.csv")
        write_cost_figure(report, figures() / "benchmarks.png")
        terminalreporter.write_line(f"written: {figures() / 'benchmarks'}.md, .csv and .png")
