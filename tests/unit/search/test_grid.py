from collections.abc import Callable

import pytest
from optuna import Study

from stagetree.search.grid import GridSampler
from stagetree.search.space import Space, suggest


def test_points_come_in_order_and_none_twice(grid: Space, new_study: Callable[..., Study]) -> None:
    study = new_study(sampler=GridSampler(grid))
    seen = [suggest(study.ask(), grid) for _ in range(grid.size)]
    assert seen == list(grid.points)
    with pytest.raises(ValueError, match="all 6 of the grid are taken"):
        suggest(study.ask(), grid)


def test_points_that_a_person_enqueued_are_not_visited_again(
    grid: Space, new_study: Callable[..., Study]
) -> None:
    study = new_study(sampler=GridSampler(grid))
    study.enqueue_trial({"a": 1, "b": "y"})
    study.enqueue_trial({"a": 2})
    seen = [suggest(study.ask(), grid) for _ in range(grid.size)]
    assert seen[:2] == [{"a": 1, "b": "y"}, {"a": 2, "b": "x"}]
    assert sorted(map(str, seen)) == sorted(map(str, grid.points))


def test_a_half_made_trial_is_completed_on_the_grid(
    grid: Space, new_study: Callable[..., Study]
) -> None:
    study = new_study(sampler=GridSampler(grid))
    half = study.ask()
    half.suggest_categorical("a", [1, 2])
    assert suggest(half, grid) == {"a": 1, "b": "x"}
    assert suggest(study.ask(), grid) == {"a": 1, "b": "y"}


def test_a_parameter_outside_the_grid_is_refused(
    grid: Space, new_study: Callable[..., Study]
) -> None:
    trial = new_study(sampler=GridSampler(grid)).ask()
    with pytest.raises(ValueError, match="expected a parameter of the grid"):
        trial.suggest_float("c", 0, 1)
