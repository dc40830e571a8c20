from collections.abc import Callable, Sequence
from typing import Any

import optuna
import pytest
from optuna import Study
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

from stagetree.search.censored import Observed, observed
from stagetree.search.stage_pruner import stage_attribute, step_of

Stage = tuple[str, Sequence[tuple[float, float]]]
Add = Callable[..., FrozenTrial]


@pytest.fixture
def study() -> Study:
    return optuna.create_study(direction="maximize")


@pytest.fixture
def add(study: Study) -> Add:
    """Adds a trial of stages (signature and curve); pruned after the last, or complete."""

    def add(*stages: Stage, pruned: bool = False, **attributes: Any) -> FrozenTrial:
        trial = study.ask()
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        value = None
        for index, (signature, curve) in enumerate(stages):
            trial.set_user_attr(stage_attribute(index), [f"stage{index}", signature])
            for fraction, value in curve:
                trial.report(value, step_of(index, fraction))
        if pruned:
            return study.tell(trial, state=TrialState.PRUNED)
        return study.tell(trial, value)

    return add


def seen(study: Study, trial: FrozenTrial) -> Observed | None:
    return observed(trial, study.trials, maximize=True)


def test_a_complete_trial_counts_with_its_value(study: Study, add: Add) -> None:
    assert seen(study, add(("a", [(1.0, 0.7)]))) == Observed(0.7, exact=True)


def test_a_pruned_trial_is_carried_to_the_end_by_what_others_gained(study: Study, add: Add) -> None:
    for number, gain in enumerate([0.1, 0.2, 0.6]):
        first = (f"a{number}", [(0.5, 0.4), (1.0, 0.9)])
        add(first, (f"b{number}", [(1.0, 0.4 + gain)]))
    half = add(("x", [(0.5, 0.3)]), pruned=True)
    whole = add(("y", [(0.5, 0.1), (1.0, 0.8)]), pruned=True)
    assert seen(study, half) == Observed(pytest.approx(0.5), exact=False)
    assert seen(study, whole) == Observed(pytest.approx(0.5), exact=False)


def test_what_was_pruned_is_never_better_than_the_middle(study: Study, add: Add) -> None:
    for number in range(3):
        add((f"a{number}", [(0.5, 0.2), (1.0, 0.2 + 0.1 * number)]))
    good = add(("x", [(0.5, 0.9)]), pruned=True)
    assert seen(study, good) == Observed(pytest.approx(0.3), exact=False)


def test_siblings_gains_count_once(study: Study, add: Add) -> None:
    for _ in range(5):
        add(("same", [(1.0, 0.2)]), ("b", [(1.0, 0.9)]))
    for number in range(2):
        add((f"a{number}", [(1.0, 0.5)]), (f"c{number}", [(1.0, 0.5)]))
    pruned = add(("x", [(1.0, 0.1)]), pruned=True)
    assert seen(study, pruned) == Observed(pytest.approx(0.1), exact=False)


def test_a_copy_counts_as_what_it_copies(study: Study, add: Add) -> None:
    add(("a", [(0.5, 0.4), (1.0, 0.6)]))
    original = add(("x", [(0.5, 0.1)]), pruned=True)
    trial = study.ask()
    trial.set_user_attr("notes", {"copy_of": original.number})
    trial.report(0.1, step_of(0, 0.5))
    assert seen(study, study.tell(trial, state=TrialState.PRUNED)) == seen(study, original)


def test_nothing_is_known_of_what_reported_nothing(study: Study, add: Add) -> None:
    assert seen(study, add(pruned=True)) is None
    lonely = add(("x", [(0.5, 0.1)]), pruned=True)
    assert seen(study, lonely) == Observed(0.1, exact=False)


@pytest.mark.parametrize("early", [0.1, 0.9])
def test_tpe_puts_what_got_further_before_what_scored_better(early: float) -> None:
    """Of four trials the one that TPE learns from is the one that was pruned last."""
    sampler = TPESampler(seed=0, n_startup_trials=3)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for x, index, value in ((0.9, 2, 0.3), (0.1, 0, early), (0.15, 0, early), (0.2, 0, early)):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        made = optuna.trial.create_trial(
            params={"x": x},
            distributions=trial.distributions,
            state=TrialState.PRUNED,
            intermediate_values={step_of(index, 0.5): value},
        )
        study.tell(trial, state=TrialState.FAIL)
        study.add_trial(made)
    drawn = []
    for _ in range(10):
        trial = study.ask()
        drawn.append(trial.suggest_float("x", 0, 1))
        study.tell(trial, state=TrialState.FAIL)
    assert sum(x > 0.5 for x in drawn) >= 5
