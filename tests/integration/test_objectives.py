"""Several objectives and bounds on metrics, on a Hydra app that is not ours."""

import re
import shlex
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, TrialState

from stagetree.search.results import open_study

FRONT = [
    "x=interval(-10,10)",
    "hydra.sweeper.metric=[one,other]",
    "hydra.sweeper.direction=[minimize,minimize]",
    "+hydra.sweeper.sampler._target_=optuna.samplers.NSGAIISampler",
    "+hydra.sweeper.sampler.population_size=8",
    "hydra.sweeper.seed=1",
    "hydra.sweeper.n_trials=32",
]


@pytest.fixture
def schaffer(shell_at, tmp_path: Path):
    """Searches of Schaffer's problem in this test's directory."""
    return shell_at(tmp_path, "schaffer")


def complete(shell) -> list[FrozenTrial]:
    try:
        trials = shell.trials()
    except (KeyError, ValueError):  # not created yet, or a line half written
        return []
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_front_is_found_by_a_search_that_was_killed_half_way(schaffer, workers) -> None:
    line = [*FRONT, f"hydra.sweeper.n_workers={workers}", "pause=0.1"]
    process = schaffer.start(*line)
    schaffer.wait_for(lambda: (schaffer.study / "journal.log").exists())
    schaffer.wait_for(lambda: len(complete(schaffer)) >= 12)
    schaffer.kill(process)
    begun = [trial for trial in schaffer.trials() if trial.params]
    assert len(begun) < 32
    out = schaffer.run(*line)
    found = schaffer.load()
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 32
    assert [found.trials[trial.number].params for trial in begun] == [
        trial.params for trial in begun
    ]
    best = found.best_trials
    assert f"front   {len(best)} of 32 complete trials" in out
    block = out[out.index("front   ") :].splitlines()
    assert [line.split()[1] for line in block if line.startswith("  trial ")] == [
        str(trial.number) for trial in best
    ]
    assert all(-0.5 <= trial.params["x"] <= 2.5 for trial in best)


def test_a_front_is_resumed_exactly(shell_at, tmp_path: Path) -> None:
    one, two = (shell_at(tmp_path / name, "schaffer") for name in ("one", "two"))
    one.run(*FRONT, "hydra.sweeper.n_trials=13")
    one.run(*FRONT)
    two.run(*FRONT)
    assert [t.params for t in one.trials()] == [t.params for t in two.trials()]


def test_several_objectives_are_not_pruned(schaffer) -> None:
    out = schaffer.run(*FRONT, "+hydra.sweeper.pruner._target_=optuna.pruners.MedianPruner", code=2)
    assert "hydra.sweeper.pruner: expected no pruner for several objectives" in out
    assert not schaffer.study.exists()


def test_the_best_is_within_the_bounds_and_the_sampler_learns_them(schaffer) -> None:
    # Without the bound the best is x = 0; with it, x = 1.
    line = ["x=interval(-10,10)", "hydra.sweeper.metric=one", "hydra.sweeper.seed=3"]
    line += ["+hydra.sweeper.sampler._target_=optuna.samplers.GPSampler"]
    line += ["hydra.sweeper.n_trials=24", "+hydra.sweeper.constraints.other.max=1.0"]
    out = schaffer.run(*line)
    trials = schaffer.trials()
    within = [trial for trial in trials if (trial.params["x"] - 2) ** 2 <= 1]
    best = min(within, key=lambda trial: trial.values[0])
    assert min(trials, key=lambda trial: trial.values[0]).number != best.number
    assert f"best    trial {best.number} " in out
    assert "infeasible (other)" in out
    assert 1 <= best.params["x"] < 2
    assert all(0.9 < trial.params["x"] < 3.1 for trial in trials[14:])


def test_tpe_keeps_away_from_a_region_that_scores_higher_but_breaks_a_bound(
    shell_at, tmp_path: Path
) -> None:
    # x^2 is greatest at x = -4, and within the bound, which says 0 <= x, at x = 3.
    line = ["x=interval(-4,3)", "hydra.sweeper.metric=one", "hydra.sweeper.direction=maximize"]
    line += ["+hydra.sweeper.sampler._target_=optuna.samplers.TPESampler"]
    line += ["+hydra.sweeper.sampler.n_startup_trials=8", "hydra.sweeper.seed=1"]
    line += ["hydra.sweeper.n_trials=24", "hydra.sweeper.enqueue=[{x: -4.0}]"]
    bounded, free = (shell_at(tmp_path / name, "schaffer") for name in ("bounded", "free"))
    out = bounded.run(*line, "+hydra.sweeper.constraints.other.max=4.0")
    free.run(*line)
    outside = [
        [trial.params["x"] < 0 for trial in shell.trials()[12:]] for shell in (bounded, free)
    ]
    assert sum(outside[0]) < 6 < sum(outside[1])
    trials = bounded.trials()
    assert trials[1].values == [16.0]
    assert trials[1].constraints["other"] == pytest.approx(8.0)
    best = max((t for t in trials if t.params["x"] >= 0), key=lambda trial: trial.values[0])
    assert best.values[0] < 16
    assert f"best    trial {best.number} " in out
    assert "trial 1  infeasible (other)  one 16 " in out


def test_when_nothing_is_within_the_bounds_that_is_said(schaffer) -> None:
    out = schaffer.run(
        "x=0,1,2", "hydra.sweeper.metric=one", "+hydra.sweeper.constraints.other.max=-1"
    )
    assert "none of 3 complete trials is within the bounds; the nearest is trial 2" in out


def test_a_bound_on_what_is_not_reported_fails_the_trials(schaffer) -> None:
    out = schaffer.run(
        "x=0,1", "hydra.sweeper.metric=one", "+hydra.sweeper.constraints.othr.max=1", code=1
    )
    assert "Did you mean 'other'" in out


def test_every_bound_that_is_none_is_told_before_anything_runs(schaffer) -> None:
    out = schaffer.run(
        "x=0,1",
        "hydra.sweeper.metric=one",
        "+hydra.sweeper.constraints={other: {max: nan}, one: {most: 1}}",
        code=2,
    )
    assert "hydra.sweeper.constraints.other.max: expected a finite number but got nan" in out
    assert "hydra.sweeper.constraints.one.most: unknown bound 'most'" in out
    assert not schaffer.study.exists()


@pytest.mark.slow
def test_a_front_of_pipelines_is_told_by_every_command(command) -> None:
    done = command.run(
        "-m", "stage=quantize,finetune", "stages.finetune.learning_rate=1e-3,1e12",
        "objective=front", "hydra.sweeper.study_name=s", "hydra.sweeper.max_failures=1",
        "debug=short", "model=tiny", "numerics=fp32", "tracker=none", "progress=false",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    best = [trial.number for trial in open_study("s", command.root / "studies").best_trials]
    place = ("--root", str(command.root))

    trials = command.json("trials", "s")
    assert [trial["state"] for trial in trials] == ["complete", "failed"] * 2
    assert [len(trial["values"]) for trial in trials] == [3, 0, 3, 0]
    table = command.stagetree("trials", "s", *place).stdout
    assert re.findall(r"^ +(\d+) +front ", table, re.MULTILINE) == [str(n) for n in best]

    front = command.json("best", "s")
    assert [trial["number"] for trial in front] == best
    block = command.stagetree("best", "s", *place).stdout
    assert block.startswith(f"front   {len(best)} of 2 complete trials\n")
    assert all(f"    rerun  {trial['command']}\n" in block for trial in front)
    words = shlex.split(front[0]["command"])[2:]
    again = command.run(*(word for word in words if not word.startswith("paths.root=")))
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("reused") == len(front[0]["stages"])

    [study] = command.json("studies")
    assert study["metric"] == "f1, latency_ms, bytes"
    assert (study["complete"], study["failed"], study["best"]) == (2, 2, None)

    [wrong] = command.stagetree("trials", "s", "--errors", *place).stdout.splitlines()[1:]
    assert wrong.split()[:4] == ["2", "failed", "1", "3"]
    assert "TrialFailed: loss is" in wrong
    assert wrong.endswith("stage=quantize finetune.learning_rate=1e12")
    assert [trial["number"] for trial in command.json("trials", "s", "--errors")] == [1, 3]
