"""Killing, tearing and freezing a search, which must come out exact all the same."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

APP = Path(__file__).parents[1] / "apps" / "quadratic" / "app.py"

pytestmark = pytest.mark.faults


def start(directory: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(APP), "-m", "hydra.sweeper.study_name=s", "log=log", *words],
        cwd=directory,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(directory: Path, *words: str, code: int = 0) -> str:
    process = start(directory, *words)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, out + err
    return out + err


def trials(directory: Path) -> list[FrozenTrial]:
    journal = directory / "stagetree_studies" / "s" / "journal.log"
    storage = JournalStorage(JournalFileBackend(str(journal)))
    return optuna.load_study(study_name="s", storage=storage).trials


def log(directory: Path) -> list[str]:
    path = directory / "log"
    return path.read_text().splitlines() if path.exists() else []


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end, "the app did not get there"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def test_a_killed_search_goes_on_with_the_same_trial(tmp_path: Path) -> None:
    line = ["x=interval(0,1)", "y=1,2,3", "pause=1", "hydra.sweeper.n_trials=4"]
    process = start(tmp_path, *line)
    wait_for(lambda: len(log(tmp_path)) == 2)
    process.kill()
    process.communicate()
    before = trials(tmp_path)
    assert [trial.state for trial in before] == [TrialState.COMPLETE, TrialState.RUNNING]
    run(tmp_path, *line)
    after = trials(tmp_path)
    assert [trial.state for trial in after] == [TrialState.COMPLETE] * 4
    assert [trial.number for trial in after] == [0, 1, 2, 3]
    assert after[1].params == before[1].params
    assert after[1].user_attrs["deaths"] == 1
    assert len(log(tmp_path)) == 5


def test_the_trial_of_a_killed_worker_is_finished_by_the_other(tmp_path: Path) -> None:
    line = ["x=interval(0,1)", "pause=1.5", "hydra.sweeper.n_trials=5", "hydra.sweeper.n_workers=2"]
    process = start(tmp_path, *line)
    wait_for(lambda: len(log(tmp_path)) == 4)
    victim, point = log(tmp_path)[-1].split(maxsplit=1)
    assert int(victim) in children(process.pid)
    os.kill(int(victim), signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    assert "was killed by SIGKILL; it is started again (1 of 10)" in err
    found = trials(tmp_path)
    assert [trial.state for trial in found] == [TrialState.COMPLETE] * 5
    points = [line.split(maxsplit=1) for line in log(tmp_path)]
    assert len(points) == 6
    assert [pid != victim for pid, ran in points if ran == point] == [False, True]
    [continued] = [trial for trial in found if "deaths" in trial.user_attrs]
    assert point == f"x={continued.params['x']} y=1"


def test_a_search_in_a_process_of_its_own_outlives_a_trial_that_kills_it(tmp_path: Path) -> None:
    line = ["x=1,2", "kills=1", "hydra.sweeper.max_failures=1", "hydra/launcher=local"]
    out = run(tmp_path, *line)
    assert "worker 0 was killed by SIGKILL; it is started again (6 of 10)" in out
    states = [trial.state for trial in trials(tmp_path)]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]
    assert "6 workers died" in trials(tmp_path)[0].user_attrs["notes"]["error"]


def test_a_worker_that_is_started_again_has_what_is_left_of_the_timeout(tmp_path: Path) -> None:
    line = ["x=range(0,40)", "pause=1", "hydra.sweeper.timeout=8", "hydra/launcher=local"]
    process = start(tmp_path, *line)
    wait_for(lambda: len(log(tmp_path)) == 4)
    os.kill(int(log(tmp_path)[0].split()[0]), signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    assert "it is started again (1 of 10)" in err
    assert 4 <= len(trials(tmp_path)) <= 8


def test_a_worker_is_started_again_no_more_often_than_was_said(tmp_path: Path) -> None:
    line = ["x=1,2", "kills=1", "hydra/launcher=local", "hydra.launcher.max_restarts=1"]
    out = run(tmp_path, *line, code=1)
    assert "it is started again (1 of 1)" in out
    assert "a worker died: RuntimeError: the process was killed by SIGKILL" in out
    assert [trial.state for trial in trials(tmp_path)] == [TrialState.RUNNING]


@pytest.mark.slow
def test_workers_end_with_a_launcher_that_is_killed(tmp_path: Path) -> None:
    line = ["x=range(0,6)", "pause=1.5", "hydra.sweeper.n_workers=2"]
    process = start(tmp_path, *line)
    wait_for(lambda: len(log(tmp_path)) == 2)
    workers = children(process.pid)
    process.kill()
    process.communicate()
    assert len(workers) == 2
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert len(log(tmp_path)) == 2
    run(tmp_path, *line)
    assert [trial.state for trial in trials(tmp_path)] == [TrialState.COMPLETE] * 6


@pytest.mark.slow
@pytest.mark.parametrize("space", ["x=range(0,6)", "x=interval(0,1)"])
def test_two_command_lines_started_at_once_share_one_study(tmp_path: Path, space: str) -> None:
    line = [space, "pause=0.6", "hydra.sweeper.n_trials=6"]
    processes = [start(tmp_path, *line) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, out + err
    found = trials(tmp_path)
    assert [trial.state for trial in found] == [TrialState.COMPLETE] * 6
    assert len({trial.params["x"] for trial in found}) == 6
    assert len(log(tmp_path)) == 6
    assert len({line.split()[0] for line in log(tmp_path)}) == 2


def test_a_torn_journal_is_mended(tmp_path: Path) -> None:
    run(tmp_path, "x=1,2,3", "hydra.sweeper.n_trials=2")
    journal = tmp_path / "stagetree_studies" / "s" / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"worker_id":"tor')
    run(tmp_path, "x=1,2,3")
    assert [trial.state for trial in trials(tmp_path)] == [TrialState.COMPLETE] * 3
    assert b'"worker_id":"tor' in journal.with_name("journal.log.torn").read_bytes()


@pytest.mark.slow
def test_a_worker_that_was_frozen_and_replaced_drops_its_result(tmp_path: Path) -> None:
    line = ["x=1,2", "pause=2", "hydra.sweeper.heartbeat=0.2", "hydra.sweeper.grace=1.5"]
    frozen = start(tmp_path, *line)
    wait_for(lambda: len(log(tmp_path)) == 1)
    frozen.send_signal(signal.SIGSTOP)
    run(tmp_path, *line)
    finished = trials(tmp_path)
    assert [trial.state for trial in finished] == [TrialState.COMPLETE] * 2
    assert finished[0].user_attrs["deaths"] == 1
    frozen.send_signal(signal.SIGCONT)
    out, err = frozen.communicate(timeout=240)
    assert frozen.returncode == 0, out + err
    assert trials(tmp_path) == finished
    assert sorted(line.split()[1] for line in log(tmp_path)) == ["x=1", "x=1", "x=2"]


@pytest.mark.slow
@pytest.mark.parametrize("silent", ["true", "false"])
def test_a_worker_that_wakes_up_while_another_runs_its_trial_leaves_it_alone(
    tmp_path: Path, silent: str
) -> None:
    line = ["x=range(1,2)", "pause=2", "hydra.sweeper.heartbeat=0.2", "hydra.sweeper.grace=1.5"]
    line.append(f"silent={silent}")
    frozen = start(tmp_path, *line)
    wait_for(lambda: len(log(tmp_path)) == 1)
    frozen.send_signal(signal.SIGSTOP)
    other = start(tmp_path, *line)
    wait_for(lambda: len(log(tmp_path)) == 2)
    frozen.send_signal(signal.SIGCONT)
    told = []
    for process in (frozen, other):
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, out + err
        told.append("[1/1] trial 0  complete" in out)
    assert told == [False, True]
    [trial] = trials(tmp_path)
    assert trial.state == TrialState.COMPLETE
    assert len(log(tmp_path)) == 2


@pytest.mark.slow
def test_a_trial_that_kills_its_workers_fails_in_the_end(tmp_path: Path) -> None:
    line = ["x=1,2", "kills=1", "hydra.sweeper.max_failures=1"]
    for _ in range(6):
        run(tmp_path, *line, code=-9)
    run(tmp_path, *line, code=0)
    states = [trial.state for trial in trials(tmp_path)]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]
    assert "6 workers died" in trials(tmp_path)[0].user_attrs["notes"]["error"]
