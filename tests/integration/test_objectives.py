"""Several objectives and bounds on metrics, on a Hydra app that is not ours."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

APP = Path(__file__).parents[1] / "apps" / "schaffer" / "app.py"


def start(directory: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(APP), "-m", "hydra.sweeper.study_name=s", *words],
        cwd=directory,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(directory: Path, *words: str, code: int = 0) -> str:
    process = start(directory, *words)
    out, err = process.communicate(timeout=150)
    assert process.returncode == code, out + err
    return out + err


def study(directory: Path) -> optuna.Study:
    journal = directory / "stagetree_studies" / "s" / "journal.log"
    return optuna.load_study(
        study_name="s", storage=JournalStorage(JournalFileBackend(str(journal)))
    )


def complete(directory: Path) -> int:
    try:
        trials = study(directory).trials
    except (KeyError, ValueError):  # not created yet, or a line half written
        return 0
    return sum(trial.state == TrialState.COMPLETE for trial in trials)


FRONT = [
    "x=interval(-10,10)",
    "hydra.sweeper.metric=[one,other]",
    "hydra.sweeper.direction=[minimize,minimize]",
    "+hydra.sweeper.sampler._target_=optuna.samplers.NSGAIISampler",
    "+hydra.sweeper.sampler.population_size=8",
    "hydra.sweeper.seed=1",
    "hydra.sweeper.n_trials=32",
]


def test_a_front_is_found_by_a_search_that_was_killed_half_way(tmp_path: Path) -> None:
    line = [*FRONT, "hydra.sweeper.n_workers=2", "pause=0.1"]
    process = start(tmp_path, *line)
    journal, end = tmp_path / "stagetree_studies" / "s" / "journal.log", time.monotonic() + 60
    while not journal.exists() or complete(tmp_path) < 12:
        assert time.monotonic() < end, "the search did not get there"
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    begun = len(study(tmp_path).trials)
    assert begun < 32
    out = run(tmp_path, *line)
    found = study(tmp_path)
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 32
    best = found.best_trials
    assert f"front   {len(best)} of 32 complete trials" in out
    assert all(f"trial {trial.number} " in out for trial in best)
    assert all(-0.5 <= trial.params["x"] <= 2.5 for trial in best)


def test_a_front_is_resumed_exactly(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    run(tmp_path / "one", *FRONT, "hydra.sweeper.n_trials=13")
    run(tmp_path / "one", *FRONT)
    run(tmp_path / "two", *FRONT)
    assert [t.params for t in study(tmp_path / "one").trials] == [
        t.params for t in study(tmp_path / "two").trials
    ]


def test_several_objectives_are_not_pruned(tmp_path: Path) -> None:
    out = run(
        tmp_path, *FRONT, "+hydra.sweeper.pruner._target_=optuna.pruners.MedianPruner", code=2
    )
    assert "hydra.sweeper.pruner: expected no pruner for several objectives" in out


def test_the_best_is_within_the_bounds_and_the_sampler_learns_them(tmp_path: Path) -> None:
    # Without the bound the best is x = 0; with it, x = 1.
    line = ["x=interval(-10,10)", "hydra.sweeper.metric=one", "hydra.sweeper.seed=3"]
    line += ["+hydra.sweeper.sampler._target_=optuna.samplers.GPSampler"]
    line += ["hydra.sweeper.n_trials=24", "+hydra.sweeper.constraints.other.max=1.0"]
    out = run(tmp_path, *line)
    trials = study(tmp_path).trials
    within = [trial for trial in trials if (trial.params["x"] - 2) ** 2 <= 1]
    best = min(within, key=lambda trial: trial.values[0])
    assert min(trials, key=lambda trial: trial.values[0]).number != best.number
    assert f"best    trial {best.number} " in out
    assert "infeasible (other)" in out
    assert 1 <= best.params["x"] < 2
    assert all(0.9 < trial.params["x"] < 3.1 for trial in trials[14:])


def test_when_nothing_is_within_the_bounds_that_is_said(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        "x=0,1,2", "hydra.sweeper.metric=one", "+hydra.sweeper.constraints.other.max=-1",
    )  # fmt: skip
    assert "none of 3 complete trials is within the bounds; the nearest is trial 2" in out


def test_a_bound_on_what_is_not_reported_fails_the_trials(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        "x=0,1", "hydra.sweeper.metric=one", "+hydra.sweeper.constraints.othr.max=1",
        code=1,
    )  # fmt: skip
    assert "Did you mean 'other'" in out
