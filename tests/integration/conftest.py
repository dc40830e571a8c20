"""A shell in which Hydra apps are searched."""

import os
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

APP = Path(__file__).parents[1] / "apps" / "quadratic" / "app.py"


@dataclass
class Shell:
    """A directory to run the app in."""

    directory: Path

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(APP), "-m", "hydra.sweeper.study_name=s", *words],
            cwd=self.directory,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, code: int = 0) -> str:
        process = self.start(*words)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, out + err
        return out + err

    @property
    def study(self) -> Path:
        return self.directory / "stagetree_studies" / "s"

    def trials(self) -> list[FrozenTrial]:
        storage = JournalStorage(JournalFileBackend(str(self.study / "journal.log")))
        return optuna.load_study(study_name="s", storage=storage).trials

    def log(self) -> list[str]:
        return (self.directory / "log").read_text().splitlines()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, "the app did not get there"
            time.sleep(0.05)

    def wait_for_starts(self, count: int) -> None:
        log = self.directory / "log"
        self.wait_for(lambda: log.exists() and len(self.log()) >= count)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)
