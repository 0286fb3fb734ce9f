"""A real Slurm of one node, started in a folder of its own and stopped again.

    python tests/slurm_node.py COMMAND ...      # run a command with Slurm's commands pointing at it

Needs Debian's packages slurm-wlm and munge. Nothing outside the folder is touched: sockets, keys, ports and state are
its own, and a Slurm that the machine may be part of goes on undisturbed. What :attr:`Node.environment` holds makes
sbatch, squeue and the others speak to this one.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
START_SECONDS = 60


def missing() -> str:
    """Why no Slurm can be started here; empty if one can."""
    absent = [name for name in PROGRAMS if not shutil.which(name, path=SEARCHED)]
    if absent:
        return f"no {', '.join(absent)} here (Debian: apt-get install slurm-wlm munge)"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return 'no Slurm plugin of Snakemake here (pip install -e ".[slurm]" -c constraints.txt)'
    return "" if os.geteuid() == 0 else "Slurm's daemons need root"


class Node:
    """The daemons and how to speak to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "slurm.conf"
        path = os.pathsep.join([str(folder / "bin"), SEARCHED])
        self.environment = os.environ | {"SLURM_CONF": str(self.settings), "PATH": path}
        self.daemons: list[subprocess.Popen] = []

    def start(self) -> None:
        """Start munged, slurmctld and slurmd, and wait until the node is idle."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("state", "spool", "munge"):
            (self.folder / name).mkdir(mode=0o755)
        self._write_settings()
        self._write_srun()
        key = self.folder / "munge" / "key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        munge = [f"--{name}-file={self.folder / 'munge' / name}" for name in ("pid", "log", "seed")]
        socket_path = self.folder / "munge" / "socket"
        self._daemon("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={socket_path}", *munge)
        self._wait(socket_path.exists, "munged")
        self._daemon("slurmctld", "-D")
        self._wait(lambda: self.call("scontrol", "ping").returncode == 0, "slurmctld")
        self._daemon("slurmd", "-D", "-N", "node")
        self._wait(lambda: "idle" in self.call("sinfo", "-h", "-o", "%t").stdout, "slurmd")

    def stop(self) -> None:
        """End all jobs, then the daemons in the opposite order."""
        self.call("scancel", "--full", "--signal=KILL", f"--user={os.environ.get('USER', 'root')}")
        self.call("scancel", f"--user={os.environ.get('USER', 'root')}")
        end = time.monotonic() + 10
        while self.call("squeue", "-h").stdout.strip() and time.monotonic() < end:
            time.sleep(0.2)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Call one of Slurm's commands."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)

    def jobs(self, *states: str) -> list[str]:
        """Ids of the jobs in some of Slurm's states, or of all that wait or run."""
        chosen = [f"--states={','.join(states)}"] if states else []
        return self.call("squeue", "-h", "-o", "%i", *chosen).stdout.split()

    def _daemon(self, *command: str) -> None:
        program = shutil.which(command[0], path=SEARCHED)
        with (self.folder / f"{command[0]}.log").open("ab") as log:
            daemon = subprocess.Popen(
                [program, *command[1:]], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.daemons.append(daemon)

    def _wait(self, ready: object, name: str) -> None:
        end = time.monotonic() + START_SECONDS
        while not ready():
            if self.daemons[-1].poll() is not None or time.monotonic() > end:
                log = (self.folder / f"{name}.log").read_text("utf-8", errors="replace")
                raise RuntimeError(f"{name} did not start:\n{log[-3000:]}")
            time.sleep(0.1)

    def _write_srun(self) -> None:
        """Snakemake's plugin clears SLURM_CONF in a job before it calls srun: give it one that knows."""
        srun = self.folder / "bin" / "srun"
        srun.parent.mkdir()
        real = shutil.which("srun", path=SEARCHED)
        srun.write_text(f'#!/bin/sh\nSLURM_CONF="{self.settings}" exec "{real}" "$@"\n', "utf-8")
        srun.chmod(0o755)

    def _write_settings(self) -> None:
        controller, worker = _free_port(), _free_port()
        (self.folder / "gres.conf").write_text(
            "".join(f"NodeName=node Name=gpu File=/dev/{name}\n" for name in ("null", "zero")), "utf-8"
        )
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n", "utf-8")
        settings = {
            "ClusterName": "test",
            "SlurmctldHost": f"{socket.gethostname()}(127.0.0.1)",
            "SlurmctldPort": controller,
            "SlurmdPort": worker,
            "SlurmUser": "root",
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={self.folder / 'munge' / 'socket'},cred_expire=10",
            "CommunicationParameters": "NoInAddrAny,NoCtldInAddrAny",
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core_Memory",
            "GresTypes": "gpu",
            "StateSaveLocation": self.folder / "state",
            "SlurmdSpoolDir": self.folder / "spool",
            "SlurmctldPidFile": self.folder / "slurmctld.pid",
            "SlurmdPidFile": self.folder / "slurmd.pid",
            "MinJobAge": 43200,
            "KillWait": 10,
            "ReturnToService": 2,
            "SchedulerParameters": "sched_interval=1,batch_sched_delay=0",
            "MpiDefault": "none",
        }
        lines = [f"{key}={value}" for key, value in settings.items()]
        lines += [
            f"NodeName=node NodeAddr=127.0.0.1 NodeHostname={socket.gethostname().split('.')[0]} "
            f"CPUs={os.cpu_count() or 1} RealMemory=4000 Gres=gpu:2",
            "PartitionName=main Nodes=node Default=YES MaxTime=INFINITE State=UP",
        ]
        self.settings.write_text("\n".join(lines) + "\n", "utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running() -> Iterator[Node]:
    """A node that runs as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as scratch:
        node = Node(Path(scratch) / "slurm")
        try:
            node.start()
            yield node
        finally:
            node.stop()


def main() -> int:
    """Run the command that the command line gives while a node is up."""
    if reason := missing():
        sys.exit(reason)
    with running() as node:
        return subprocess.run(sys.argv[1:], env=node.environment).returncode


if __name__ == "__main__":
    sys.exit(main())
