from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna import Study
from optuna.trial import TrialState

from stagetree.core.errors import ConfigError
from stagetree.search import results

NUMBERS = st.sampled_from([0.0, 1.0, 2.0, 3.0, float("inf"), float("-inf")])
VIOLATIONS = st.none() | st.sampled_from([-0.5, 0.0, 0.5, float("inf")])
STATES = [TrialState.COMPLETE] * 3 + [TrialState.FAIL, TrialState.PRUNED]
DIRECTIONS = st.lists(st.sampled_from(["maximize", "minimize"]), min_size=2, max_size=3)


def told(study: Study, *values: float, violation: float | None = None) -> None:
    trial = study.ask()
    if violation is not None:
        trial.set_constraint("bytes", violation)
    study.tell(trial, list(values))


@settings(deadline=None)
@given(data=st.data(), directions=DIRECTIONS)
def test_the_front_is_optunas(data: st.DataObject, directions: list[str]) -> None:
    study = optuna.create_study(directions=directions)
    for _ in range(data.draw(st.integers(0, 12))):
        point = data.draw(st.tuples(*[NUMBERS] * len(directions)))
        trial, state = study.ask(), data.draw(st.sampled_from(STATES))
        violation = data.draw(VIOLATIONS)
        if violation is not None:
            trial.set_constraint("bytes", violation)
        study.tell(trial, point if state == TrialState.COMPLETE else None, state=state)
    front = results.front(results.rows(study), directions)
    earliest = {tuple(trial.values): trial.number for trial in reversed(study.best_trials)}
    assert [row.number for row in front] == sorted(earliest.values())


def test_the_best_is_feasible_and_complete_and_the_earliest(
    new_study: Callable[..., Study],
) -> None:
    study = new_study(direction="maximize")
    told(study, 0.9, violation=0.25)
    told(study, 0.7, violation=-0.1)
    told(study, 0.7, violation=-0.1)
    pruned = study.ask()
    pruned.report(0.95, 1)
    study.tell(pruned, state=TrialState.PRUNED)
    rows = results.rows(study)
    best = results.best(rows, "maximize")
    assert best is not None
    assert best.number == 1
    assert [row.number for row in results.front(rows, ["maximize"])] == [1]
    assert rows[0].violations == {"bytes": 0.25}
    assert results.best(rows[:1], "maximize") is None


def test_a_study_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    for name in ("demo", "grid"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "journal.log").touch()
    assert results.list_studies(tmp_path) == ["demo", "grid"]
    with pytest.raises(ConfigError, match="Did you mean 'demo'"):
        results.open_study("dmo", tmp_path)
