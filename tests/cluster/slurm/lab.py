"""A Slurm of its own on loopback: munge, a controller and nodes, all below one directory.

    python tests/cluster/slurm/lab.py up ROOT [PORT]
    . ROOT/env
    python tests/cluster/slurm/lab.py down ROOT

It needs Debian's slurm-wlm and munge, runs as root without systemd and cgroups, and is stopped by
its own pid files. Partition ``high`` preempts ``main``; each node pretends to have two GPUs.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")

CONFIGURATION = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.sock,cred_expire=5
CredType=cred/munge
StateSaveLocation={root}/state
SlurmctldPidFile={root}/slurmctld.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdPidFile={root}/%n.pid
SlurmdLogFile={root}/%n.log
SlurmdSpoolDir={root}/spool-%n
SwitchType=switch/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=30
MinJobAge=300
InactiveLimit=0
DefMemPerCPU=500
SlurmctldTimeout=30
SlurmdTimeout=9
BatchStartTimeout=10
MessageTimeout=30
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
"""


def absent() -> list[str]:
    """Return which programs are not installed."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return [name for name in PROGRAMS if not shutil.which(name, path=path)]


@dataclass(frozen=True)
class Lab:
    """A private Slurm.

    Attributes:
        root: Its directory: configuration, key, sockets, logs, pid files.
        port: Its controller's; the nodes take the next ones.
        nodes: How many nodes it has.
        cpus: How many CPUs each node pretends to have.
    """

    root: Path
    port: int = 21000
    nodes: int = 2
    cpus: int = 1

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands that use it."""
        return {**os.environ, "SLURM_CONF": str(self.root / "slurm.conf")}

    def start(self) -> None:
        """Start what is not running and wait until every node is ready."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o755)
        self._configure()
        self._munge()
        if not self.alive("slurmctld"):
            self._run("slurmctld", "-c")
        for node in range(self.nodes):
            self.start_node(node)
        self.wait(
            lambda: len(self.tell("sinfo", "-hN", "-pmain", "-tidle").split("\n")) > self.nodes
        )

    def start_node(self, node: int) -> None:
        """Start a node's daemon."""
        (self.root / f"spool-n{node}").mkdir(exist_ok=True)
        if not self.alive(f"n{node}"):
            self._run("slurmd", "-N", f"n{node}")

    def stop(self) -> None:
        """Cancel all jobs and stop every daemon."""
        if self.alive("slurmctld"):
            with contextlib.suppress(subprocess.SubprocessError, AssertionError):
                self.tell("scancel", "-u", "root")
                self.wait(lambda: not self.tell("squeue", "-h"), seconds=20)
        for name in (*(f"n{node}" for node in range(self.nodes)), "slurmctld", "munged"):
            self.end(name, signal.SIGTERM)

    def end(self, name: str, number: signal.Signals) -> None:
        """Send a daemon a signal and wait until it is gone."""
        pid = self._pid(name)
        if pid and self.alive(name):
            os.kill(pid, number)
            end = time.monotonic() + 10
            while self.alive(name):
                if time.monotonic() > end:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.05)
        (self.root / f"{name}.pid").unlink(missing_ok=True)

    def alive(self, name: str) -> bool:
        """Return whether a daemon runs; one that waits to be reaped does not."""
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{self._pid(name)}/stat").read_text()
            return stat.rpartition(")")[2].split()[0] not in "ZX"
        return False

    def tell(self, *words: str) -> str:
        """Run one of Slurm's commands and return what it prints."""
        return self._run(*words).stdout

    def wait(self, condition, seconds: float = 60) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "Slurm did not get there"
            time.sleep(0.1)

    def _pid(self, name: str) -> int:
        file = self.root / f"{name}.pid"
        text = file.read_text().strip() if file.exists() else ""
        return int(text or 0)

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment
        environment["PATH"] += ":/usr/sbin:/sbin"
        return subprocess.run(
            words, env=environment, capture_output=True, text=True, timeout=60, check=True
        )

    def _munge(self) -> None:
        if self.alive("munged"):
            return
        key = self.root / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        files = {
            "key-file": key,
            "socket": self.root / "munge.sock",
            "pid-file": self.root / "munged.pid",
            "log-file": self.root / "munged.log",
            "seed-file": self.root / "munged.seed",
        }
        self._run("munged", "--force", *(f"--{name}={file}" for name, file in files.items()))

    def _configure(self) -> None:
        host = socket.gethostname().split(".")[0]
        (self.root / "state").mkdir(exist_ok=True)
        nodes = [
            f"NodeName=n{node} NodeHostname={host} NodeAddr=127.0.0.1 Port={self.port + 1 + node} "
            f"CPUs={self.cpus} RealMemory=4000 Gres=gpu:2 State=UNKNOWN"
            for node in range(self.nodes)
        ]
        names = ",".join(f"n{node}" for node in range(self.nodes))
        common = f"Nodes={names} MaxTime=INFINITE DefaultTime=60 State=UP"
        partitions = [
            f"PartitionName=main {common} Default=YES PriorityTier=1 PreemptMode=REQUEUE",
            f"PartitionName=high {common} Default=NO PriorityTier=10 PreemptMode=OFF",
        ]
        text = CONFIGURATION.format(host=host, port=self.port, root=self.root)
        lines = [text, *nodes, *partitions, ""]
        (self.root / "slurm.conf").write_text("\n".join(lines))
        (self.root / "env").write_text(f"export SLURM_CONF={self.root}/slurm.conf\n")
        (self.root / "cgroup.conf").write_text("CgroupAutomount=no\nConstrainCores=no\n")
        (self.root / "gres.conf").write_text("".join(self._gpus()))

    def _gpus(self) -> list[str]:
        """Return a line for each pretended GPU: a device file whose name ends in its number."""
        for number in range(2):
            with contextlib.suppress(FileExistsError):
                os.mknod(self.root / f"nvidia{number}", 0o020666, os.makedev(1, 3))
        return [
            f"NodeName=n{node} Name=gpu File={self.root}/nvidia{number}\n"
            for node in range(self.nodes)
            for number in range(2)
        ]


def main(verb: str, root: str, port: str = "21000") -> None:
    """Start or stop a lab from the command line."""
    lab = Lab(Path(root).resolve(), int(port))
    if verb == "up":
        lab.start()
        print(lab.tell("sinfo"), f". {lab.root}/env", sep="\n")
    else:
        lab.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
