# Every target makes .venv by itself. Another interpreter: make demo PYTHON=/path/to/python3.11
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON  ?= $(shell command -v python3.11 || command -v python3 || echo python)
CORES   ?= 2
PYTEST_ARGS ?=
STUDIES := smoke demo companions soundtracks soundtracks-early soundtracks-grouped paper

ifeq ($(OS),Windows_NT)
VENV := .venv/Scripts/python
else
VENV := .venv/bin/python
endif
STAMP := .venv/.installed

.PHONY: help test test-slurm test-faults bench lint lab clean fuzz $(STUDIES)

help:
	@echo "make demo    the whole study on the embedded corpus: train, attack, compare (within ten minutes on 2 cores)"
	@echo "make test    all tests, a small study through the workflow included"
	@echo "make test-slurm | test-faults   a study on a real Slurm of one node; kills, full disks, strangers' machines (minutes)"
	@echo "make bench   how fast, as ratios, on a quiet machine: figures/benchmarks.md (about a quarter of an hour)"
	@echo "make lab     JupyterLab on the notebooks"
	@echo "make paper   the published study: 5 systems x 10 seeds, full width (needs the Soundtracks data; days)"
	@echo "make clean   remove caches, prepared arrays and the smoke and demo runs; downloads and long runs stay"
	@echo "other studies: make smoke | companions | soundtracks | soundtracks-early | soundtracks-grouped; see workflow/README.md"

$(STAMP): pyproject.toml constraints.txt
	@"$(PYTHON)" -c "import sys; sys.exit('Python 3.11 or newer is needed, this is ' + sys.version.split()[0] + ': make PYTHON=/path/to/python3.11') if sys.version_info < (3, 11) else None"
	@echo "Making .venv and installing the packages of constraints.txt (some minutes, once) ..."
	@"$(PYTHON)" -m venv .venv
	@"$(VENV)" -m pip install --quiet --disable-pip-version-check -e ".[test]" -c constraints.txt
	@"$(VENV)" -c "open('$(STAMP)', 'w').close()"
	@echo "Installed."

$(STUDIES): $(STAMP)
	@"$(VENV)" workflow/run.py $@ --cores $(CORES)

# One thread a test process: two processes with one thread each beat one with two.
test: export OMP_NUM_THREADS = 1
test: export MPLBACKEND = Agg
test: $(STAMP)
	@echo "Checking style (ruff) and running the tests ..."
	@"$(VENV)" -m ruff check --quiet .
	@"$(VENV)" -m pytest -q -n logical --maxprocesses 4 --dist worksteal --durations 10 $(PYTEST_ARGS)

# Both leave out nothing of what they can do here, and say what they skip and why.
test-slurm: $(STAMP)
	@"$(VENV)" -m pip install --quiet --disable-pip-version-check -e ".[slurm]" -c constraints.txt || true
	@"$(VENV)" -m pytest -q --slurm --durations 5 tests/test_slurm.py $(PYTEST_ARGS)

test-faults: export OMP_NUM_THREADS = 1
test-faults: $(STAMP)
	@"$(VENV)" -m pytest -q -rP --faults -m faults --durations 20 tests $(PYTEST_ARGS)

# Attack libraries that are not installed are left out, and it is said how to get them.
bench: export OMP_NUM_THREADS = $(CORES)
bench: export MPLBACKEND = Agg
bench: $(STAMP)
	@"$(VENV)" -m pytest -q -o python_files='bench_*.py' --write-table --benchmark-quiet --disable-warnings tests/benchmarks $(PYTEST_ARGS)

lint: $(STAMP)
	@"$(VENV)" -m ruff check .

lab: $(STAMP)
	@"$(VENV)" -m jupyter lab notebooks

# Every reader of files for SECONDS (60) each; needs atheris, which is no dependency: .venv/bin/python -m pip install atheris
fuzz: export OMP_NUM_THREADS = 1
fuzz: export SECONDS := $(or $(SECONDS),60)
fuzz: $(STAMP)
	@"$(VENV)" tests/fuzz/fuzz.py

clean:
	@"$(PYTHON)" workflow/clean.py
