"""Killing workers that take a grid by the stage tree: every point is run once all the same."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

APP = Path(__file__).parents[1] / "apps" / "staged" / "app.py"
LINE = (
    "-m", "hydra.sweeper.study_name=s", "a=1,2,3", "b=1,2,3,4", "hydra.sweeper.n_workers=3",
    "pause=[0.6,0.4]",
)  # fmt: skip

pytestmark = pytest.mark.faults


def trials(directory: Path) -> list[FrozenTrial]:
    journal = directory / "stagetree_studies" / "s" / "journal.log"
    storage = JournalStorage(JournalFileBackend(str(journal)))
    return optuna.load_study(study_name="s", storage=storage).trials


def stopped(search: subprocess.Popen[bytes]) -> list[int]:
    """Stop a search and its workers where they are; return their process numbers."""
    found = subprocess.run(
        ["pgrep", "-P", str(search.pid)], capture_output=True, text=True, check=False
    )
    everyone = [search.pid, *map(int, found.stdout.split())]
    for pid in everyone:
        os.kill(pid, signal.SIGSTOP)
    return everyone


def test_a_killed_grid_goes_on_and_runs_each_point_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, str(APP), *LINE],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as search:
        end = time.monotonic() + 240
        while not log.exists() or log.read_text().count("second") < 2:
            assert time.monotonic() < end, "the app did not get there"
            time.sleep(0.05)
        everyone, before = stopped(search), trials(tmp_path)
        while not any(trial.state == TrialState.RUNNING for trial in before):  # all in between
            assert search.poll() is None, "it ended before it could be killed"
            for pid in everyone:
                os.kill(pid, signal.SIGCONT)
            time.sleep(0.2)
            everyone, before = stopped(search), trials(tmp_path)
        for pid in everyone:
            os.kill(pid, signal.SIGKILL)
    before = trials(tmp_path)
    assert any(trial.state == TrialState.RUNNING for trial in before)
    subprocess.run([sys.executable, str(APP), *LINE], cwd=tmp_path, check=True, timeout=240)
    after = trials(tmp_path)
    assert [trial.state for trial in after] == [TrialState.COMPLETE] * 12
    points = [(trial.params["a"], trial.params["b"]) for trial in after]
    assert sorted(points) == [(a, b) for a in (1, 2, 3) for b in (1, 2, 3, 4)]
    assert [trial.params for trial in after[: len(before)]] == [trial.params for trial in before]
    made = [line.split()[2] for line in log.read_text().splitlines() if line.startswith("made")]
    assert len(made) == len(set(made)) == 3 + 12
