from collections.abc import Callable, Mapping
from typing import Any

import optuna
import pytest
from optuna import Study
from optuna.trial import FrozenTrial

from stagetree.search.stage_pruner import stage_attribute
from stagetree.search.stage_shares import REFERENCES, Span, spans

Add = Callable[..., FrozenTrial]


@pytest.fixture
def study() -> Study:
    return optuna.create_study()


@pytest.fixture
def add(study: Study) -> Add:
    """Adds a complete trial of stages and what they took; those in capitals do not report."""

    def add(seconds: Mapping[str, float], **notes: Any) -> FrozenTrial:
        trial = study.ask()
        for index, name in enumerate(seconds):
            if name.islower():
                trial.set_user_attr(stage_attribute(index), [name, name])
        rows = [{"name": name, "seconds": took} for name, took in seconds.items()]
        trial.set_user_attr("notes", {"stages": rows, **notes})
        return study.tell(trial, 0.0)

    return add


def running(study: Study, *names: str) -> FrozenTrial:
    trial = study.ask()
    for index, name in enumerate(names):
        trial.set_user_attr(stage_attribute(index), [name, name])
    return study.trials[trial.number]


def test_shares_are_means_over_what_trials_took(study: Study, add: Add) -> None:
    add({"a": 1.0, "b": 3.0})
    add({"a": 6.0, "b": 2.0})
    assert spans(study.trials, running(study, "a")) == [
        Span(0, "a", 0.0, 0.5, True),
        Span(1, "b", 0.5, 1.0, True),
    ]


def test_only_the_first_trials_count_so_that_rungs_stay_where_they_are(
    study: Study, add: Add
) -> None:
    for _ in range(REFERENCES):
        add({"a": 1.0, "b": 3.0})
    add({"a": 99.0, "b": 1.0})
    assert spans(study.trials, running(study, "a"))[0].end == 0.25


def test_a_trial_goes_by_those_that_have_its_stages(study: Study, add: Add) -> None:
    add({"x": 9.0, "b": 1.0})
    add({"a": 1.0, "c": 4.0})
    add({"a": 1.0, "b": 1.0})
    add({"a": 1.0, "b": 1.0})
    assert [span.name for span in spans(study.trials, running(study, "a"))] == ["a", "b"]
    assert spans(study.trials, running(study, "a", "c"))[0].end == 0.2
    assert spans(study.trials, running(study, "c")) == []


def test_stages_without_seconds_are_equal_and_silent_ones_are_told_apart(
    study: Study, add: Add
) -> None:
    add({"A": 0.0, "b": 0.0})
    assert spans(study.trials, running(study)) == [
        Span(0, "A", 0.0, 0.5, False),
        Span(1, "b", 0.5, 1.0, True),
    ]


def test_given_costs_and_copies(study: Study, add: Add) -> None:
    add({"a": 0.0, "b": 0.0}, copy_of=7)
    assert spans(study.trials, running(study, "a")) == []
    add({"a": 1.0, "b": 1.0})
    assert spans(study.trials, running(study, "a"), {"a": 1, "b": 4})[0].end == 0.2


def test_trials_of_other_apps_have_the_stages_they_reported_in(study: Study) -> None:
    trial = study.ask()
    for index, name in enumerate("ab"):
        trial.set_user_attr(stage_attribute(index), [name, ""])
    study.tell(trial, 0.0)
    assert [span.end for span in spans(study.trials, running(study, "a"))] == [0.5, 1.0]
