"""A Slurm for the session, and a shell in which a Hydra app is searched on it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

APP = Path(__file__).parents[2] / "apps" / "quadratic" / "app.py"

_spec = importlib.util.spec_from_file_location("slurm_lab", Path(__file__).with_name("lab.py"))
_lab = importlib.util.module_from_spec(_spec)
sys.modules["slurm_lab"] = _lab
_spec.loader.exec_module(_lab)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, process_number: int) -> Iterator[Any]:
    absent = _lab.absent()
    if absent:
        pytest.skip(f"Slurm is not installed: no {', '.join(absent)}")
    if os.geteuid() != 0:
        pytest.skip("a Slurm of one's own needs root")
    root = tmp_path_factory.mktemp("slurm")
    for folder in (root, *root.parents):
        if folder.owner() == "root" and folder != Path("/tmp"):
            folder.chmod(0o755)
    lab = _lab.Lab(root, 21000 + 20 * process_number)
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()


@dataclass
class Search:
    """Searches of one study on Slurm, in a directory of its own."""

    lab: Any
    directory: Path
    app: Path = APP
    words: tuple[str, ...] = (
        "x=interval(-1,1)", "y=range(1,100)", "log=log", "pause=1", "hydra.sweeper.seed=7",
        "+hydra.sweeper.sampler._target_=optuna.samplers.RandomSampler",
        "hydra.sweeper.n_trials=6", "hydra.sweeper.n_workers=2", "hydra.sweeper.ignore=[pause]",
    )  # fmt: skip
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {**self.lab.environment, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **self.extra}

    def start(self, *words: str, launcher: str = "slurm") -> subprocess.Popen[str]:
        """Start the search's line."""
        self.directory.mkdir(exist_ok=True)
        line = [*self.words, f"hydra/launcher={launcher}", *words]
        return subprocess.Popen(
            [sys.executable, str(self.app), "-m", "hydra.sweeper.study_name=s", *line],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str, code: int = 0, launcher: str = "slurm") -> str:
        """Run the search's line to its end and return what it said."""
        return self.end(self.start(*words, launcher=launcher), code)

    def end(self, process: subprocess.Popen[str], code: int = 0) -> str:
        """Wait for a line and return what it said."""
        out, _ = process.communicate(timeout=200)
        assert process.returncode == code, out
        return out

    def stagetree(self, *words: str) -> Any:
        """Return what a verb prints as JSON; run far away from the study's directory."""
        done = subprocess.run(
            [sys.executable, "-c", "from stagetree.cli import main; main()", *words, "--json"],
            cwd="/",
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @property
    def study(self) -> Path:
        return self.directory / "stagetree_studies" / "s"

    @property
    def trials(self) -> list[Any]:
        storage = JournalStorage(JournalFileBackend(str(self.study / "journal.log")))
        return optuna.load_study(study_name="s", storage=storage).trials

    @property
    def table(self) -> list[tuple[str, dict[str, Any], list[float]]]:
        """State, parameters and values of every trial."""
        return [(trial.state.name, trial.params, trial.values) for trial in self.trials]

    def starts(self) -> list[str]:
        """Return the process and parameters of every run of the app."""
        log = self.directory / "log"
        return log.read_text().splitlines() if log.exists() else []

    def wait_for(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < end, "the search did not get there"
            time.sleep(0.1)

    def wait_for_starts(self, count: int) -> None:
        self.wait_for(lambda: len(self.starts()) >= count)

    def jobs(self) -> dict[str, str]:
        """Return the node of each running job by id."""
        lines = self.lab.tell("squeue", "-hr", "-tRUNNING", "-o%i %N").splitlines()
        return dict(line.split() for line in lines)


@pytest.fixture
def search(lab: Any, tmp_path: Path) -> Iterator[Search]:
    found = Search(lab, tmp_path / "work")
    yield found
    lab.tell("scancel", "-u", "root")


@pytest.fixture(scope="session")
def undisturbed(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The table of the search, run by one process without Slurm."""
    alone = Search(lab, tmp_path_factory.mktemp("alone") / "work")
    alone.run("pause=0", "hydra.sweeper.n_workers=1", launcher="basic")
    return alone.table
