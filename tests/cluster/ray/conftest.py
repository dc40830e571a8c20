"""A Ray cluster of the tests' own: nodes that are started here and stopped by process."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

APP = Path(__file__).parents[2] / "apps" / "quadratic" / "app.py"
BASE_PORT = 22000
SETTINGS = {
    # A dead node is noticed after about two seconds instead of half a minute; one that a busy
    # machine keeps waiting is not taken for dead.
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "300",
    "RAY_health_check_timeout_ms": "10000",
    "RAY_health_check_failure_threshold": "5",
    # The process that starts the servers of clients forks while gRPC is at work. At times such a
    # server did not come up; gRPC's handlers of forks are suspected, and nobody needs them here.
    "GRPC_ENABLE_FORK_SUPPORT": "0",
}


def wait_for(condition: Callable[[], object], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)


@dataclass
class Search:
    """A directory in which the quadratic app is searched."""

    directory: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(APP), "-m", "hydra.sweeper.study_name=s", "log=log", *words],
            cwd=self.directory,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def wait_for(self, condition: Callable[[], object], seconds: float = 240) -> None:
        """Wait while the search goes on; say what it said if it does not come to that."""
        end = time.monotonic() + seconds
        [process] = self.started
        while not condition():
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                out, err = process.communicate()
                raise AssertionError(f"it did not come to that ({process.returncode}): {out}{err}")
            time.sleep(0.1)

    def end(self, process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
        out, err = process.communicate(timeout=300)
        assert process.returncode == code, out + err
        return out, err

    def run(self, *words: str, code: int = 0) -> tuple[str, str]:
        return self.end(self.start(*words), code)

    def log(self) -> list[tuple[str, str]]:
        """Return the process and the point of every run that began."""
        path = self.directory / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]

    def trials(self) -> list[FrozenTrial]:
        journal = self.directory / "stagetree_studies" / "s" / "journal.log"
        storage = JournalStorage(JournalFileBackend(str(journal)))
        return optuna.load_study(study_name="s", storage=storage).trials


@pytest.fixture
def search(tmp_path: Path) -> Iterator[Search]:
    """Searches of the quadratic app in this test's directory, none of which outlives it."""
    search = Search(tmp_path)
    yield search
    for process in search.started:
        if process.poll() is None:
            process.kill()
            process.communicate()


@dataclass
class Node:
    """One node of a cluster: ``ray start --block``, which keeps the node's processes."""

    process: subprocess.Popen[bytes]

    def kill_raylet(self) -> None:
        """End the node as a crash of its machine would, as far as one machine can show it."""
        table = subprocess.run(
            ["ps", "--ppid", str(self.process.pid), "-o", "pid=,comm="],
            capture_output=True, text=True, check=True,
        ).stdout.splitlines()  # fmt: skip
        [raylet] = [line.split()[0] for line in table if line.split()[1] == "raylet"]
        os.kill(int(raylet), signal.SIGKILL)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass
class Cluster:
    """A head node and those that were added to it."""

    address: str
    client_port: int
    folder: Path
    nodes: list[Node] = field(default_factory=list)

    def add(self, *words: str) -> Node:
        count = len(self.nodes)
        log = (self.folder / f"node{count}.log").open("wb")
        process = subprocess.Popen(
            [
                sys.executable, "-m", "ray.scripts.scripts", "start", "--block",
                "--disable-usage-stats", f"--object-store-memory={100 * 2**20}", *words,
            ],
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, **SETTINGS, "RAY_USAGE_STATS_ENABLED": "0"},
        )  # fmt: skip
        self.nodes.append(Node(process))
        path = Path(log.name)

        def is_up() -> bool:
            assert process.poll() is None, path.read_text()
            return "Ray runtime started" in path.read_text()

        wait_for(is_up, 120)
        return self.nodes[-1]


@pytest.fixture(scope="session", autouse=True)
def token() -> Iterator[None]:
    """A token of these tests' own, so that no Ray of the user's is met or let in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patch.delenv("RAY_ADDRESS", raising=False)
        yield


@pytest.fixture(scope="session")
def cluster(token: None, process_number: int) -> Iterator[Cluster]:
    """A cluster of one node with three cores, which searches join."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    port = BASE_PORT + 10 * process_number
    folder = Path(tempfile.mkdtemp(prefix="r-", dir="/tmp"))  # sockets allow no long path
    cluster = Cluster(f"127.0.0.1:{port}", port + 1, folder)
    try:
        cluster.add(
            "--head", f"--port={port}", "--num-cpus=3", "--include-dashboard=false",
            f"--ray-client-server-port={port + 1}", f"--temp-dir={folder}",
        )  # fmt: skip
        yield cluster
    finally:
        for node in reversed(cluster.nodes):
            node.stop()
        shutil.rmtree(folder, ignore_errors=True)
