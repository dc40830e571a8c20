import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from stagetree.search.tally import Count, Tally

SPACE = {"x": CategoricalDistribution([0, 1, True, None])}


def trial(number: int, state: TrialState, x: object = 0, **notes: object) -> FrozenTrial:
    made = optuna.create_trial(
        state=state,
        value=1.0 if state == TrialState.COMPLETE else None,
        params={"x": x},
        distributions=SPACE,
        user_attrs={"notes": notes} if notes else {},
    )
    made.number = number
    return made


def test_counts_are_the_same_however_often_it_looks() -> None:
    trials = [
        trial(0, TrialState.COMPLETE),
        trial(1, TrialState.PRUNED, ended="infeasible"),
        trial(2, TrialState.PRUNED, ended="rejected"),
        trial(3, TrialState.RUNNING),
        trial(4, TrialState.FAIL),
        trial(5, TrialState.WAITING),
    ]
    tally = Tally()
    seen = [tally.count(trials[:length]) for length in (1, 4, 4, 6)]
    assert seen == [Count(1, 1, 0), Count(3, 2, 1), Count(3, 2, 1), Count(4, 3, 2)]
    assert [late.number for late in tally.unsettled(trials)] == [3, 4, 5]
    assert [found.number for found in tally.infeasible(trials)] == [1]


def test_what_ends_later_is_counted_when_it_has() -> None:
    tally = Tally()
    assert tally.count([trial(0, TrialState.RUNNING)]) == Count(1, 0, 0)
    assert tally.count([trial(0, TrialState.FAIL)]) == Count(1, 1, 1)


def test_forgiven_trials_count_as_if_they_had_never_been() -> None:
    trials = [trial(0, TrialState.FAIL, ended="crashed"), trial(1, TrialState.RUNNING)]
    assert Tally({0}).count(trials) == Count(1, 0, 0)


def test_a_twin_has_equal_parameters_of_equal_types() -> None:
    trials = [
        trial(0, TrialState.FAIL, 0, ended="crashed"),
        trial(1, TrialState.COMPLETE, 1),
        trial(2, TrialState.RUNNING, None),
        trial(3, TrialState.COMPLETE, True),
    ]
    tally = Tally()
    assert tally.twin({"x": 0}, trials) is None
    assert tally.twin({"x": None}, trials) is None
    found = [tally.twin({"x": value}, trials) for value in (1, True)]
    assert [one.number for one in found if one] == [1, 3]
