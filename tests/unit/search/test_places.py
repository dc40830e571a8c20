from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna import Study
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

from stagetree.search.grid import GridSampler
from stagetree.search.notes import INTERRUPTED
from stagetree.search.places import MAX_DEATHS, Claim, Places
from stagetree.search.space import Space


@pytest.fixture
def study(new_study: Callable[..., Study]) -> Study:
    return new_study()


def places(study: Study, directory: Path, space: Space, total: int) -> Places:
    return Places(study, directory, total, space, lambda number: RandomSampler(seed=number))


def claimed(found: Claim | None) -> Claim:
    assert found is not None
    return found


def test_n_places_and_no_more(study: Study, tmp_path: Path, line: Space) -> None:
    one, other = (places(study, tmp_path, line, 3) for _ in range(2))
    claims = [claimed(one.claim()), claimed(other.claim()), claimed(one.claim())]
    assert [claim.trial.number for claim in claims] == [0, 1, 2]
    assert other.claim() is None
    assert other.others_running
    assert other.open()
    for claim in claims:
        study.tell(claim.trial, 1.0)
        claim.lease.release()
    assert other.claim() is None
    assert not other.others_running
    assert not other.open()


def test_a_dead_workers_trial_is_continued_before_a_new_one(
    study: Study, tmp_path: Path, line: Space
) -> None:
    one, other = (places(study, tmp_path, line, 3) for _ in range(2))
    dead = claimed(one.claim())
    dead.lease.release()
    again = claimed(other.claim())
    assert again.trial.number == dead.trial.number
    assert again.params == dead.params
    assert again.trial.user_attrs["deaths"] == 1
    assert claimed(other.claim()).trial.number == 1


def test_a_trial_that_was_put_down_tidily_counts_no_death(
    study: Study, tmp_path: Path, line: Space
) -> None:
    one = places(study, tmp_path, line, 1)
    for _ in range(MAX_DEATHS + 2):
        claim = claimed(one.claim())
        claim.trial.set_user_attr(INTERRUPTED, True)
        claim.lease.release()
    assert "deaths" not in claimed(one.claim()).trial.user_attrs


def test_a_deadly_trial_fails_and_keeps_its_place(
    study: Study, tmp_path: Path, line: Space
) -> None:
    one = places(study, tmp_path, line, 1)
    for _ in range(MAX_DEATHS + 1):
        claimed(one.claim()).lease.release()
    assert one.claim() is None
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]
    assert "6 workers died" in study.trials[0].user_attrs["notes"]["error"]


def test_enqueued_trials_come_first_and_take_places(
    study: Study, tmp_path: Path, line: Space
) -> None:
    study.enqueue_trial({"x": 0.25})
    one = places(study, tmp_path, line, 2)
    assert claimed(one.claim()).params == {"x": 0.25}
    assert claimed(one.claim()).trial.number == 1
    assert one.claim() is None


def test_a_trial_half_asked_gets_the_rest_of_its_point(
    grid: Space, tmp_path: Path, study: Study
) -> None:
    one = Places(study, tmp_path, grid.size, grid, lambda number: GridSampler(grid))
    study.sampler = GridSampler(grid)
    study.ask().suggest_categorical("a", [1, 2])
    seen = [claimed(one.claim()).params for _ in range(grid.size)]
    assert seen == list(grid.points)
    assert len(study.get_trials()) == grid.size
    assert optuna.trial.TrialState.WAITING not in [trial.state for trial in study.trials]


def test_first_points_come_before_the_sampler(study: Study, tmp_path: Path, line: Space) -> None:
    one = Places(
        study,
        tmp_path,
        3,
        line,
        lambda number: RandomSampler(seed=number),
        first=[{"x": 0.25}, {"x": 0.75}],
    )
    assert [claimed(one.claim()).params["x"] for _ in range(2)] == [0.25, 0.75]
    assert claimed(one.claim()).params["x"] not in (0.25, 0.75)


def test_a_point_that_was_run_comes_with_its_twin(
    study: Study, tmp_path: Path, line: Space
) -> None:
    point = {"x": 0.5}
    options = {"first": [point, {"x": 0.1}]}
    sampler = RandomSampler(seed=1)
    one = Places(study, tmp_path, 2, line, lambda number: sampler, **options)
    first = claimed(one.claim())
    assert first.twin is None
    study.tell(first.trial, 1.0)
    study.enqueue_trial(point)
    again = claimed(one.claim())
    assert again.twin is not None
    assert again.twin.number == 0
    study.tell(again.trial, 1.0)
    study.enqueue_trial(point)
    careless = Places(study, tmp_path, 3, line, lambda number: sampler, copies=False)
    assert claimed(careless.claim()).twin is None


def test_a_region_without_memory_is_sampled_three_times_and_takes_no_more_places(
    study: Study, tmp_path: Path, grid: Space
) -> None:
    one = places(study, tmp_path, grid, 20)
    for _ in range(20):
        claim = claimed(one.claim())
        if claim.params["a"] == 2:
            claim.trial.set_user_attr("notes", {"ended": "infeasible"})
            study.tell(claim.trial, state=TrialState.PRUNED)
        else:
            study.tell(claim.trial, 1.0)
        claim.lease.release()
    assert one.claim() is None
    ended = [trial.user_attrs.get("notes", {}).get("ended") for trial in study.trials]
    tried = [
        trial.params["b"]
        for trial, how in zip(study.trials, ended, strict=True)
        if how == "infeasible"
    ]
    assert all(tried.count(choice) <= 3 for choice in ("x", "y", None))
    assert ended.count("rejected") == len(study.trials) - 20 > 0


def test_a_trial_that_does_not_fit_is_never_created(
    study: Study, tmp_path: Path, line: Space
) -> None:
    asked: list[float] = []

    def fits(params: Mapping[str, Any], trials: Sequence[FrozenTrial]) -> bool:
        asked.append(params["x"])
        return not trials

    one = Places(study, tmp_path, 3, line, lambda number: RandomSampler(seed=number), fits=fits)
    first = claimed(one.claim())
    assert first.params == {"x": asked[0]}
    assert not one.full
    assert one.claim() is None
    assert one.full
    assert len(study.trials) == 1
