"""The sweeper on a Hydra app that is not ours, as a user runs it: by command line."""

import json
import signal
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, TrialState


def points(trials: list[FrozenTrial]) -> list[tuple[object, ...]]:
    return [tuple(trial.params.values()) for trial in trials]


def test_a_grid_runs_each_point_once_in_the_order_of_the_command_line(shell) -> None:
    out = shell.run("y=2,1", "x=range(0,3)")
    trials = shell.trials()
    assert points(trials) == [(2, 0), (2, 1), (2, 2), (1, 0), (1, 1), (1, 2)]
    assert [trial.value for trial in trials] == [2, 3, 6, 1, 2, 5]
    assert "best    trial 3" in out
    snapshot = (shell.study / "4" / ".hydra" / "overrides.yaml").read_text()
    assert snapshot.splitlines() == ["- y=1", "- x=1"]


def test_every_kind_of_value_reaches_the_app_as_written(shell) -> None:
    shell.run("name='a,b',null,true,\"1\",c d", "layers=[1,2],[]", "curve=bad,good")
    trials = shell.trials()
    assert len(trials) == 20
    configs = [(shell.study / str(n) / ".hydra" / "config.yaml").read_text() for n in range(20)]
    names = ["a,b", "null", "true", "'1'", "c d"]
    assert [config.split("name: ")[1].splitlines()[0] for config in configs[::4]] == names
    assert "layers: []" in configs[2]
    assert trials[0].params == {"name": "a,b", "layers": "[1,2]", "curve": "bad"}
    assert [trial.value for trial in trials[:2]] == [6.0, 1.0]


def test_an_interval_is_searched_and_a_finished_study_starts_nothing(shell) -> None:
    line = ["x=interval(-2,2)", "y=int(interval(1,4))", "hydra.sweeper.n_trials=4"]
    shell.run(*line, "log=log")
    assert [trial.state for trial in shell.trials()] == [TrialState.COMPLETE] * 4
    assert all(isinstance(trial.params["y"], int) for trial in shell.trials())
    assert len(shell.log()) == 4
    out = shell.run(*line, "log=log")
    assert len(shell.log()) == 4
    assert "4 of 4 trials done" in out
    assert "best    trial" in out


def test_three_and_three_trials_are_the_six_of_one_go(shell, shell_at, tmp_path: Path) -> None:
    line = ["x=tag(log,interval(1e-3,1))", "y=1,2,3", "hydra.sweeper.seed=7"]
    line += ["+hydra.sweeper.sampler._target_=optuna.samplers.TPESampler"]
    line += ["+hydra.sweeper.sampler.n_startup_trials=2"]
    shell.run(*line, "hydra.sweeper.n_trials=3")
    shell.run(*line, "hydra.sweeper.n_trials=6")
    other = shell_at(tmp_path / "other")
    other.run(*line, "hydra.sweeper.n_trials=6")
    assert points(shell.trials()) == points(other.trials())
    assert len(set(points(shell.trials()))) == 6


def test_params_of_the_configuration_are_a_space_and_the_command_line_wins(shell) -> None:
    shell.run(
        "+hydra.sweeper.params.x='range(0,3)'",
        "+hydra.sweeper.params.y=[1,2]",
        "+hydra.sweeper.params.curve=bad",
        "x=5",
    )
    assert [trial.value for trial in shell.trials()] == [31, 32]


def test_two_local_workers_share_the_trials(shell) -> None:
    shell.run("x=range(0,8)", "pause=0.4", "log=log", "hydra.sweeper.n_workers=2")
    assert sorted(points(shell.trials())) == [(x,) for x in range(8)]
    assert len(shell.log()) == 8
    assert len({line.split()[0] for line in shell.log()}) == 2


def test_a_study_of_another_question_is_refused_with_the_difference(shell) -> None:
    shell.run("x=1,2", "name=old")
    out = shell.run("x=1,3", "name=new", "hydra.sweeper.direction=maximize", code=2)
    assert "x: study has choice(1, 2), this line asks choice(1, 3)" in out
    assert "name: study has old, this line asks new" in out
    assert "minimize" in out
    assert "hydra.sweeper.study_name" in out
    assert len(shell.trials()) == 2


def test_a_widened_grid_runs_only_its_new_points(shell) -> None:
    shell.run("x=1,2", "log=log")
    out = shell.run("x=1,2,3", "log=log", "hydra.sweeper.n_workers=2")
    assert "study s-v2: the space changed since s (x: choice(1, 2) -> choice(1, 2, 3)); " in out
    assert "2 of 2 trials of s imported" in out
    assert points(shell.trials("s-v2")) == [(1,), (2,), (3,)]
    assert [trial.value for trial in shell.trials("s-v2")] == [2, 5, 10]
    assert (shell.study.with_name("s-v2") / "2" / ".hydra" / "config.yaml").is_file()
    for line, count in (("x=1,2", 2), ("x=1,2,3", 3)):
        out = shell.run(line, "log=log")
        assert "imported" not in out
        assert "best    trial 0" in out
        assert len(shell.log()) == 3
        assert len(shell.trials("s" if count == 2 else "s-v2")) == count
    shell.run("x=2,3", "log=log")
    assert points(shell.trials("s-v3")) == [(2,), (3,)]
    assert len(shell.log()) == 3


def test_a_widened_interval_gets_new_trials_beside_the_imported_ones(shell) -> None:
    options = ["log=log", "hydra.sweeper.n_trials=3"]
    shell.run("x=interval(1,2)", *options)
    out = shell.run("x=interval(0,2)", "y=1,2", *options)
    assert "x: interval(1.0, 2.0) -> interval(0.0, 2.0); y: " in out
    trials = shell.trials("s-v2")
    assert [trial.user_attrs.get("imported_from") for trial in trials[:4]] == [
        "s#0",
        "s#1",
        "s#2",
        None,
    ]
    assert [trial.value for trial in trials[:3]] == [trial.value for trial in shell.trials()]
    assert len(trials) == 6
    assert len(shell.log()) == 6


def test_every_fault_is_told_before_anything_runs(shell) -> None:
    out = shell.run("curve=good,bda,godo", "pause=1,2", "nmae=a,b", "log=log", code=2)
    assert "Did you mean 'bad'" in out or "nmae" in out
    assert not (shell.directory / "log").exists()
    out = shell.run("curve=good,bda", code=2)
    assert "unknown option 'bda'. Did you mean 'bad'?" in out
    out = shell.run(
        "x=interval(0,1)",
        "+hydra.sweeper.sampler._target_=stagetree.search.grid.GridSampler",
        code=2,
    )
    assert "x: expected a list, choice or range" in out


def test_bad_trials_are_pruned_by_their_curve(shell) -> None:
    shell.run(
        "x=1,1.1,1.2,9,10",
        "+hydra.sweeper.pruner._target_=optuna.pruners.MedianPruner",
        "+hydra.sweeper.pruner.n_startup_trials=3",
    )
    states = [trial.state for trial in shell.trials()]
    assert states == [TrialState.COMPLETE] * 3 + [TrialState.PRUNED] * 2
    pruned = shell.trials()[3]
    assert pruned.user_attrs["notes"]["pruned_in"] == "main"
    assert list(pruned.intermediate_values) == [2500]


def test_values_in_a_study_of_two_objectives_are_not_pruned(shell) -> None:
    out = shell.run("x=1,2", "pair=true", "hydra.sweeper.direction=[minimize,maximize]")
    assert [trial.values for trial in shell.trials()] == [[2, -2], [5, -5]]
    assert "value 1" in out


def test_crashes_are_tried_again_in_place(shell) -> None:
    shell.run("x=1,2", "log=log", "crashes=2")
    assert [trial.state for trial in shell.trials()] == [TrialState.COMPLETE] * 2
    assert [line.split()[1] for line in shell.log()] == ["x=1"] * 3 + ["x=2"]
    assert shell.trials()[0].user_attrs["crashes"] == 2


def test_a_study_whose_trials_all_fail_stops_with_exit_code_1(shell) -> None:
    out = shell.run("x=1,2,3,4", "log=log", "crashes=100", code=1)
    trials = shell.trials()
    assert [trial.state for trial in trials] == [TrialState.FAIL] * 3
    assert trials[0].user_attrs["notes"]["error"] == "RuntimeError: crash on purpose"
    assert "Traceback" in trials[0].user_attrs["notes"]["traceback"]
    assert "RuntimeError: crash on purpose" in out
    assert len(shell.log()) == 9


def test_what_is_no_finite_number_fails_without_another_attempt(shell) -> None:
    shell.run("x=1,inf,nan", "log=log", "hydra.sweeper.max_failures=1")
    states = [trial.state for trial in shell.trials()]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL]
    assert len(shell.log()) == 3


def test_other_launchers_work_too(shell) -> None:
    shell.run("x=1,2,3", "hydra/launcher=local", "hydra.sweeper.n_workers=1")
    assert sorted(points(shell.trials())) == [(1,), (2,), (3,)]
    assert json.loads((shell.study / "journal.log").read_text().splitlines()[0])


@pytest.mark.parametrize("launcher", ["basic", pytest.param("local", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_resumably(shell, number: int, code: int, launcher: str) -> None:
    line = ["x=1,2,3", "pause=1.5", "log=log", f"hydra/launcher={launcher}"]
    process = shell.start(*line)
    shell.wait_for_starts(2)
    process.send_signal(number)
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, out + err
    assert "the same line again goes on" in err
    assert "Traceback" not in err
    assert TrialState.RUNNING in [trial.state for trial in shell.trials()]
    shell.run(*line)
    assert [trial.state for trial in shell.trials()] == [TrialState.COMPLETE] * 3
    assert [line.split()[1] for line in shell.log()] == ["x=1", "x=2", "x=2", "x=3"]
    assert "deaths" not in shell.trials()[1].user_attrs
