"""Workers on a grid whose trials share a stage: none waits for it while it need not."""

from pathlib import Path

import pytest
from optuna.trial import FrozenTrial

GRID = ("a=1,2,3", "b=1,2,3,4", "hydra.sweeper.n_workers=2")


@pytest.fixture
def staged(shell_at, tmp_path: Path):
    """Searches of the staged app."""
    return shell_at(tmp_path, "staged")


def order(trials: list[FrozenTrial]) -> list[tuple[int, int]]:
    """Return the points of a study's trials."""
    return [(trial.params["a"], trial.params["b"]) for trial in trials]


def test_two_workers_wait_for_no_branch_while_another_has_points(staged) -> None:
    staged.run(*GRID)
    trials = staged.trials()
    assert sorted(order(trials)) == [(a, b) for a in (1, 2, 3) for b in (1, 2, 3, 4)]
    assert order(trials)[0] == (1, 1)
    made = [line.split()[2] for line in staged.log() if line.startswith("made")]
    assert len(made) == len(set(made)) == 3 + 12
    for line in staged.log():
        word, number, signature, *_ = line.split()
        if word == "waited":  # then no point of another branch was left to take
            branch = int(signature.split("-")[1])
            assert {a for a, _ in order(trials)[int(number) :]} == {branch}


def test_one_worker_keeps_to_the_order_of_the_command_line(staged) -> None:
    staged.run("b=1,2", "a=1,2", "pause=[0,0]")
    assert order(staged.trials()) == [(1, 1), (2, 1), (1, 2), (2, 2)]


def test_one_worker_stays_on_a_branch_where_the_disk_is_limited(staged) -> None:
    staged.run("b=1,2", "a=1,2", "pause=[0,0]", "+store.budget_gb=1")
    assert order(staged.trials()) == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_random_points_are_drawn_up_front_and_each_is_run_once(staged) -> None:
    sampler = "+hydra.sweeper.sampler._target_=optuna.samplers.RandomSampler"
    line = ("a=1,2,3", "b=range(1,50)", sampler, "hydra.sweeper.seed=3", "pause=[0,0]")
    staged.run(*line, "hydra.sweeper.n_trials=4", "hydra.sweeper.n_workers=2")
    staged.run(*line, "hydra.sweeper.n_trials=9", "hydra.sweeper.n_workers=1")
    staged.run(*line, "hydra.sweeper.n_trials=9", "hydra.sweeper.study_name=alone")
    assert sorted(order(staged.trials())) == sorted(order(staged.trials("alone")))
