"""Which points a search runs, and when it stops: first points, copies, memory, budgets."""

from optuna.trial import TrialState

TPE = "+hydra.sweeper.sampler._target_=optuna.samplers.TPESampler"
RANDOM = "+hydra.sweeper.sampler._target_=optuna.samplers.RandomSampler"


def test_trial_0_has_the_configurations_own_values(shell) -> None:
    shell.run("x=interval(-2,2)", "y=1,2,3", "hydra.sweeper.n_trials=3")
    assert shell.trials()[0].params == {"x": 0.0, "y": 1}
    assert shell.trials()[1].params != {"x": 0.0, "y": 1}


def test_known_good_points_are_run_next_and_only_once(shell) -> None:
    line = ["x=interval(-2,2)", "y=1,2,3", "hydra.sweeper.enqueue=[{x: 1.5, y: 2}, {x: -1.5}]"]
    shell.run(*line, "hydra.sweeper.n_trials=2")
    shell.run(*line, "hydra.sweeper.n_trials=4")
    found = [trial.params for trial in shell.trials()]
    assert found[:2] == [{"x": 0.0, "y": 1}, {"x": 1.5, "y": 2}]
    assert found[2]["x"] == -1.5
    assert found[3]["x"] not in (0.0, 1.5, -1.5)


def test_told_otherwise_the_defaults_are_not_run(shell) -> None:
    shell.run("x=interval(1,2)", "hydra.sweeper.defaults_first=false", "hydra.sweeper.n_trials=1")
    assert 1 <= shell.trials()[0].params["x"] <= 2


def test_a_point_outside_of_the_space_is_refused_before_anything_runs(shell) -> None:
    out = shell.run("x=interval(-2,2)", "hydra.sweeper.enqueue=[{x: 3}, {z: 1}]", code=2)
    assert "hydra.sweeper.enqueue[0].x: expected one of interval(-2.0, 2.0) but got 3" in out
    assert "hydra.sweeper.enqueue[1].z: " in out
    assert not shell.study.exists()


def test_a_known_point_is_not_run_again(shell) -> None:
    out = shell.run("x=1,2", "y=1,2", RANDOM, "hydra.sweeper.n_trials=12", "log=log")
    trials = shell.trials()
    assert len(trials) == 12
    assert all(trial.state == TrialState.COMPLETE for trial in trials)
    assert all(trial.value == trial.params["x"] ** 2 + trial.params["y"] for trial in trials)
    assert len(shell.log()) == len({tuple(trial.params.values()) for trial in trials}) <= 4
    assert "12 of 12" in out or "[12/12]" in out


def test_told_otherwise_known_points_are_run_again(shell) -> None:
    line = ["x=1,2", RANDOM, "hydra.sweeper.n_trials=4", "hydra.sweeper.copies=false"]
    shell.run(*line, "log=log")
    assert len(shell.log()) == 4


def test_what_does_not_fit_in_memory_is_tried_three_times(shell) -> None:
    out = shell.run(
        "x=interval(-2,2)",
        "y=1,2",
        "starves=2",
        RANDOM,
        "hydra.sweeper.n_trials=14",
        "hydra.sweeper.seed=3",
        "log=log",
    )
    starved = [line for line in shell.log() if line.endswith("y=2")]
    assert len(starved) == 3
    assert len(shell.log()) == 14
    infeasible = [trial for trial in shell.trials() if trial.constraints.get("memory", 0) > 0]
    assert all(trial.params["y"] == 2 for trial in infeasible)
    assert "3 failed" in out
    assert "MemoryError" in out


def test_the_timeout_starts_no_trial_that_would_not_fit(shell) -> None:
    line = ["x=range(0,40)", "pause=0.8", "hydra.sweeper.timeout=4"]
    out = shell.run(*line)
    assert 1 <= len(shell.trials()) <= 4
    assert "stopped before the last trial" in out
    assert "of the timeout of 4 s are left" in out


def test_device_hours_hold_over_restarts(shell) -> None:
    line = ["x=range(0,40)", "pause=0.6", f"hydra.sweeper.device_hours={2.5 / 3600}"]
    assert "device hours are used" in shell.run(*line)
    count = len(shell.trials())
    assert 2 <= count <= 4
    shell.run(*line)
    assert len(shell.trials()) == count
