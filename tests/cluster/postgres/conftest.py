"""A PostgreSQL of this test session's own, and searches whose trials are kept in it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from optuna.trial import FrozenTrial

BASE = 23000
SECRET = "s3cret-word"
APP = Path(__file__).parents[2] / "apps" / "quadratic" / "app.py"
STAGETREE = "from stagetree.cli import main; main()"
TIMEOUT = 240


@dataclass
class Server:
    """A private PostgreSQL on loopback; user ``locked`` needs a password."""

    home: Path
    binaries: Path
    port: int

    def prepare(self) -> None:
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                  "--locale=C.UTF-8", "--no-sync")  # fmt: skip
        rules = self.data / "pg_hba.conf"
        rules.write_text(f"host all locked 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        self.start()
        self.sql(f"create role locked login superuser password '{SECRET}'")

    def start(self) -> None:
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off "
            f"-c unix_socket_directories={self.home} -c shared_buffers=32MB"
        )
        self._run("pg_ctl", "-D", self.data, "-l", self.home / "log", "-w", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; ``immediate`` is like a crash."""
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    @property
    def data(self) -> Path:
        return self.home / "data"

    def sql(self, line: str) -> None:
        engine = sqlalchemy.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(line))
        engine.dispose()

    def url(self, base: str, user: str = "postgres") -> str:
        return f"postgresql+psycopg2://{user}@127.0.0.1:{self.port}/{base}"

    def fresh(self, name: str) -> str:
        """Create a database and return its URL."""
        self.sql(f"create database {name}")
        return self.url(name)

    def _run(self, program: str, *words: str | Path) -> None:
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        line = [*as_user, str(self.binaries / program), *map(str, words)]
        done = subprocess.run(
            line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
            cwd=self.home, timeout=TIMEOUT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def server(process_number: int) -> Iterator[Server]:
    """A running PostgreSQL; skipped where none is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    program = str(found[-1]) if found else shutil.which("pg_ctl")
    if program is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    home = Path(tempfile.mkdtemp(prefix="stagetree-pg-"))  # its user cannot reach pytest's own
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(home, user.pw_uid, user.pw_gid)
    made = Server(home, Path(program).parent, free_port(BASE + 100 * process_number + 50))
    try:
        made.prepare()
        yield made
    finally:
        if (made.data / "postmaster.pid").exists():  # a test that failed may have stopped it
            made.stop()
        shutil.rmtree(home, ignore_errors=True)


def free_port(port: int) -> int:
    """Return the first port from ``port`` on that nobody listens on."""
    while True:
        with socket.socket() as candidate:
            if candidate.connect_ex(("127.0.0.1", port)):
                return port
        port += 1


@pytest.fixture
def database(server: Server, request: pytest.FixtureRequest) -> str:
    """URL of a database of this test's own."""
    return server.fresh(f"base{abs(hash(request.node.nodeid)) % 10**9}")


@dataclass
class Sweeps:
    """Searches of the quadratic app in a directory."""

    directory: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def process(self, *words: str, **extra: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *words], cwd=self.directory, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **extra},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def start(self, storage: str | None, *words: str, **extra: str) -> subprocess.Popen[str]:
        """Start a search of study ``s``."""
        kept = [f"hydra.sweeper.storage='{storage}'"] if storage else []
        return self.process(
            str(APP), "-m", "hydra.sweeper.study_name=s", "hydra.sweep.dir=studies/s",
            "hydra.sweeper.seed=1", "log=log", *kept, *words, **extra,
        )  # fmt: skip

    def run(self, storage: str | None, *words: str, code: int = 0, **extra: str) -> str:
        return ended(self.start(storage, *words, **extra), code)

    def serve(self, *words: str, **extra: str) -> tuple[subprocess.Popen[str], str]:
        """Start ``stagetree storage serve``; return it and what it says once it listens."""
        process = self.process("-c", STAGETREE, "storage", "serve", *words, **extra)
        assert process.stdout is not None
        return process, process.stdout.readline()

    def stagetree(self, *words: str, **extra: str) -> str:
        return ended(self.process("-c", STAGETREE, *words, "--root", ".", **extra))

    def log(self) -> list[str]:
        """Return the point of each run so far, with its process first."""
        path = self.directory / "log"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for_runs(self, count: int) -> None:
        self.wait_for(lambda: len(self.log()) >= count)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < end, "the app did not get there"
            time.sleep(0.05)

    def leases(self) -> list[Path]:
        return list((self.directory / "studies").glob("s/leases/*.lock"))


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    """Wait for a process and return all that it said."""
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == code, out + err
    return out + err


@pytest.fixture
def sweeps(tmp_path: Path) -> Iterator[Sweeps]:
    """Searches in this test's directory; whatever still runs at its end is killed."""
    made = Sweeps(tmp_path)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The runs of a seeded search of eight trials that nothing happened to, sorted."""
    made = Sweeps(tmp_path_factory.mktemp("undisturbed"))
    made.run(None, *LINE, "pause=0")
    return {"points": points(made)}


LINE = (
    "x=interval(0,1)", "y=1,2,3", "hydra.sweeper.n_trials=8",
    "+hydra.sweeper.sampler._target_=optuna.samplers.RandomSampler",
)  # fmt: skip


def points(sweeps: Sweeps) -> list[str]:
    return sorted(line.split(maxsplit=1)[1] for line in sweeps.log())


@pytest.fixture(scope="session")
def line() -> tuple[str, ...]:
    """The overrides of the seeded search of eight trials."""
    return LINE


@pytest.fixture(scope="session")
def points_of() -> Callable[[Sweeps], list[str]]:
    """Tells which points were run, with repetitions, sorted."""
    return points


@pytest.fixture(scope="session")
def trials_of() -> Callable[[str], list[FrozenTrial]]:
    """Reads the trials of study ``s`` from a database, as plain Optuna does."""
    return lambda url: optuna.load_study(study_name="s", storage=url).trials


@pytest.fixture(scope="session")
def end() -> Callable[..., str]:
    """Waits for a process and its exit code; returns all that it said."""
    return ended


@pytest.fixture(scope="session")
def secret() -> str:
    """The password of user ``locked``."""
    return SECRET
