"""What a trial will take, told from the stages of the trials before."""

from collections.abc import Mapping, Sequence

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState

from stagetree.search.budget import Budget
from stagetree.search.expected import Expected

DEPENDENCE = {"finetune": frozenset({"epochs"}), "distill": frozenset({"epochs", "steps"})}


def trial(
    number: int,
    epochs: int,
    steps: int,
    stages: Mapping[str, tuple[float, bool]],
    beside: float = 1.0,
    state: TrialState = TrialState.COMPLETE,
) -> FrozenTrial:
    """Return a trial; of each stage the seconds, and whether it was reused."""
    rows = [
        {"name": name, "seconds": seconds, "reused": reused}
        for name, (seconds, reused) in stages.items()
    ]
    own = sum(seconds for seconds, reused in stages.values() if not reused)
    made = optuna.trial.create_trial(
        params={"epochs": epochs, "steps": steps},
        distributions={"epochs": IntDistribution(1, 100), "steps": IntDistribution(1, 100)},
        value=1.0,
        user_attrs={"notes": {"stages": rows, "seconds": own + beside}},
    )
    made.number, made.state = number, state
    return made


@pytest.fixture
def trials() -> Sequence[FrozenTrial]:
    """Four branches of one to four epochs, with two students each."""
    return [
        trial(2 * epochs + student, epochs, 10 + student,
              {"finetune": (100.0 * epochs, bool(student)), "distill": (20.0, False)})
        for epochs in (1, 2, 3, 4)
        for student in (0, 1)
    ]  # fmt: skip


def test_what_is_paid_for_costs_nothing(trials) -> None:
    expected = Expected(DEPENDENCE)
    again = expected.seconds({"epochs": 3, "steps": 11}, trials)
    student = expected.seconds({"epochs": 3, "steps": 13}, trials)
    whole = expected.seconds({"epochs": 8, "steps": 10}, trials)
    assert again == pytest.approx(1.0)
    assert student is not None
    assert whole is not None
    assert 20 < student < 40
    assert 600 < whole < 1600


def test_nothing_is_said_of_a_stage_that_was_never_computed(trials) -> None:
    expected = Expected({**DEPENDENCE, "quantize": frozenset({"epochs", "steps"})})
    assert expected.seconds({"epochs": 3, "steps": 11}, trials) is None
    assert Expected(DEPENDENCE).seconds({"epochs": 3, "steps": 11}, []) is None


def test_a_budget_that_has_room_for_a_student_has_none_for_a_teacher(trials) -> None:
    expected, budget = Expected(DEPENDENCE), Budget(device_hours=(1000 + 160 + 8 + 60) / 3600)
    student = expected.seconds({"epochs": 3, "steps": 13}, trials)
    teacher = expected.seconds({"epochs": 5, "steps": 13}, trials)
    assert budget.refuses(trials, student) == ""
    assert "device hours are used or under way" in budget.refuses(trials, teacher)
    assert "device hours are used or under way" in budget.refuses(trials)
