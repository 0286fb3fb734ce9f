"""As a new user has it: another user without a home, a fresh clone that is not theirs to write to, at an odd path, no
network after the installation, no display, one core, four gigabytes; the numbers are those of everybody else.

All at once, and each is looked at from within before the study starts. Of the memory, no process may allocate more than
four gigabytes (a limit of the kernel's, RLIMIT_DATA), and all together stay below by measurement (PSS: shared pages
count once).
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from micro import Micro
from stand_in import ROOT, Tree

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's means of taking things away")

NOBODY = 65534
GIGABYTES = 4
# With private mounts and a network of its own, as somebody else
PRIVATE = """
set -eu
ip link set lo up  # without it nothing on this machine could speak to itself: no Jupyter kernel
{mounts}
exec taskset --cpu-list {core} prlimit --data={limit} \\
    setpriv --reuid {nobody} --regid {nobody} --clear-groups --no-new-privs "$@"
"""
LOOK = """
import os, resource, socket, sys
from pathlib import Path
checkout, bytes_allowed = Path(sys.argv[1]), int(sys.argv[2])
assert os.getuid() == os.geteuid() == 65534 and not os.getgroups()
assert not Path.home().exists()
assert not [p for p in (checkout, checkout / "data", checkout / "mer_lib", Path(sys.prefix)) if os.access(p, os.W_OK)]
assert not {"DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND", "PYTHONPATH"} & set(os.environ)
assert len(os.sched_getaffinity(0)) == 1
assert resource.getrlimit(resource.RLIMIT_DATA) == (bytes_allowed, bytes_allowed)
for address in ("1.1.1.1", "8.8.8.8"):
    try:
        socket.create_connection((address, 53), timeout=3)
    except OSError:
        continue
    sys.exit("there is a network")
"""


PROGRAMS = ("git", "ip", "mount", "prlimit", "setpriv", "taskset", "unshare")


def needs() -> str:
    """Why this cannot be done here; empty if it can."""
    if os.geteuid():
        return "only root may become somebody else and take the network away"
    if absent := [name for name in PROGRAMS if not shutil.which(name)]:
        return f"no {', '.join(absent)} here"
    private = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True)
    return "no private mounts and networks here" if private.returncode else ""


def mounts(aside: Path) -> str:
    """Commands that show the interpreter and its packages to everybody though they lie where nobody else may enter."""
    hidden = {}
    for folder in (Path(sys.prefix), Path(sys.base_prefix)):
        closed = [above for above in folder.parents if not above.stat().st_mode & stat.S_IXOTH]
        hidden |= {folder: closed[-1]} if closed else {}
    kept = {folder: aside / str(number) for number, folder in enumerate(hidden)}
    commands = [command for folder, place in kept.items() for command in _bind(folder, place)]
    commands += [["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", above] for above in dict.fromkeys(hidden.values())]
    commands += [command for folder, place in kept.items() for command in _bind(place, folder)]
    return "\n".join(shlex.join(map(str, command)) for command in commands)


def _bind(folder: Path, place: Path) -> list[list[object]]:
    return [["mkdir", "-p", place], ["mount", "--bind", folder, place]]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody can get at (pytest's own are for their owner alone), with a name to stumble over."""
    with tempfile.TemporaryDirectory(prefix="a stranger's höme ") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


class Memory(threading.Thread):
    """Looks twice a second how much memory a process and those below it take, and keeps the most."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.process, self.most, self.over = psutil.Process(process), 0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.5):
            total = 0
            for process in [self.process, *self.process.children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue  # gone already
            self.most = max(self.most, total)


@pytest.mark.faults
@pytest.mark.skipif(bool(needs()), reason=needs())
def test_a_stranger_on_a_small_machine_gets_the_same_numbers(place, undisturbed):
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(place / "the clone")], check=True)
    micro = Micro(place / "the clone", place / "their data")
    micro.data.mkdir()
    os.chown(micro.data, NOBODY, NOBODY)
    limit, core = GIGABYTES * 2**30, min(os.sched_getaffinity(0))
    script = PRIVATE.format(mounts=mounts(place / "interpreter"), core=core, limit=limit, nobody=NOBODY)
    private = ["unshare", "--net", "--mount", "bash", "-c", script, "bash"]
    micro.environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C", "MER_DATA": str(micro.data)}
    look = [sys.executable, "-c", LOOK, str(micro.root), str(limit)]
    looked = subprocess.run([*private, *look], env=micro.environment, cwd="/", capture_output=True, text=True)
    assert looked.returncode == 0, looked.stderr
    command = [*private, *micro.command()]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    launcher = subprocess.Popen(command, env=micro.environment, cwd="/", text=True, **pipes)
    memory = Memory(launcher.pid)
    memory.start()
    try:
        said, _ = launcher.communicate(timeout=1800)
    finally:
        launcher.kill()
        memory.over.set()
        memory.join()
    log = micro.folder / "snakemake.log"
    assert launcher.returncode == 0, said + (log.read_text("utf-8")[-5000:] if log.is_file() else "")
    assert "1 core(s)" in said
    assert micro.results() == undisturbed[0]
    run = (micro.folder / "A2M2E" / "seed-21" / "run.json").read_text("utf-8")
    head = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert f'"commit": "{head.stdout.strip()}"' in run, "a checkout of somebody else's has a commit, too"
    print(f"at most {memory.most / 2**30:.2f} GiB of memory in all processes together")
    assert 0 < memory.most < limit
    changed = subprocess.run(["git", "-C", str(micro.root), "status", "--porcelain"], capture_output=True, text=True)
    assert changed.stdout == ""


@pytest.mark.skipif(not shutil.which("taskset"), reason="no taskset here")
def test_no_more_jobs_at_once_than_cores_that_may_be_used(tmp_path):
    tree = Tree.make(tmp_path / "tree")
    core = str(min(os.sched_getaffinity(0)))
    command = ["taskset", "--cpu-list", core, *tree.command("--", "A2E/seed-21/nothing.txt")]
    done = subprocess.run(command, **tree.options, timeout=300)
    assert "7 jobs in all, 1 core(s)" in done.stdout, done.stdout
