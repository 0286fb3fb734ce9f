"""Start a module of another package as `python -m` would, less its slowest import: start.py papermill ..."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

import workflow  # noqa: E402, F401  (importing it is the point)

if __name__ == "__main__":
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
