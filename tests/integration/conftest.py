"""A shell in which Hydra apps are searched."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

APPS = Path(__file__).parents[1] / "apps"


@dataclass
class Shell:
    """A directory to run an app of ``tests/apps`` in."""

    directory: Path
    app: str = "quadratic"

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start a search in a process group of its own."""
        self.directory.mkdir(exist_ok=True)
        app = APPS / self.app / "app.py"
        return subprocess.Popen(
            [sys.executable, str(app), "-m", "hydra.sweeper.study_name=s", *words],
            cwd=self.directory,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str, code: int = 0) -> str:
        """Run a search to its end and return everything it said."""
        process = self.start(*words)
        out, err = process.communicate(timeout=300)
        assert process.returncode == code, out + err
        return out + err

    def kill(self, process: "subprocess.Popen[str]") -> None:
        """Kill a search and its workers, which have process groups of their own, at once."""
        found = subprocess.run(
            ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False
        )
        for group in (process.pid, *map(int, found.stdout.split())):
            os.killpg(group, signal.SIGKILL)
        process.communicate()

    @property
    def study(self) -> Path:
        """The directory of the study."""
        return self.directory / "stagetree_studies" / "s"

    def load(self, name: str = "s") -> optuna.Study:
        """Open a study as any other program would."""
        journal = self.study.with_name(name) / "journal.log"
        storage = JournalStorage(JournalFileBackend(str(journal)))
        return optuna.load_study(study_name=name, storage=storage)

    def trials(self, name: str = "s") -> list[FrozenTrial]:
        return self.load(name).trials

    def log(self) -> list[str]:
        """Return a line a run, none as long as there was none."""
        path = self.directory / "log"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 240
        while not condition():
            assert time.monotonic() < end, "the app did not get there"
            time.sleep(0.05)

    def wait_for_starts(self, count: int) -> None:
        self.wait_for(lambda: len(self.log()) >= count)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Searches of the quadratic app in this test's directory."""
    return Shell(tmp_path)


@pytest.fixture(scope="session")
def shell_at() -> type[Shell]:
    """Makes searches of any app in any directory."""
    return Shell
