"""Start a module of another package as `python -m` would, less its slowest import: start.py papermill ...

On Linux it does not outlive the process that started it: with a launcher that was killed, perhaps on another login node
of a cluster, nobody goes on submitting jobs.
"""

from __future__ import annotations

import ctypes
import runpy
import signal
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

import workflow  # noqa: E402, F401  (importing it is the point)

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def end_with_parent() -> None:
    """Have the kernel end this process when its parent dies, however it dies; elsewhere than on Linux do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    end_with_parent()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
