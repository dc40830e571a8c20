"""How far the next trial goes along with what is paid for, by what the stages cost."""

from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from stagetree.search.notes import NOTES
from stagetree.search.paid import Paid, levels_of

CHAIN = {"a": frozenset({"x"}), "b": frozenset({"x", "y"}), "c": frozenset({"x", "y", "z"})}
UNIT = FloatDistribution(0, 1)


def trial(
    params: Mapping[str, Any],
    seconds: Mapping[str, float],
    state: TrialState = TrialState.COMPLETE,
    distributions: Mapping[str, BaseDistribution] | None = None,
) -> FrozenTrial:
    rows = [
        {"name": stage, "signature": f"{stage}{params}", "seconds": taken}
        for stage, taken in seconds.items()
    ]
    return create_trial(
        state=state,
        value=0.0 if state == TrialState.COMPLETE else None,
        params=dict(params),
        distributions=dict(distributions or dict.fromkeys(params, UNIT)),
        user_attrs={NOTES: {"stages": rows}},
    )


def leaves(count: int, costs: tuple[float, ...]) -> list[FrozenTrial]:
    """Whole trials that share nothing."""
    seconds = dict(zip(CHAIN, costs, strict=True))
    return [trial(dict.fromkeys("xyz", (n + 1) / 99), seconds) for n in range(count)]


def depth_of(paid: Paid) -> int:
    shares = paid.shares()
    return paid.depth(shares) if shares else 0


def test_a_stage_without_parameters_of_its_own_goes_with_the_one_before() -> None:
    dependence = {**CHAIN, "int8": CHAIN["c"]}
    levels = levels_of(dependence, "xyz")
    assert [(set(level.own), level.stages) for level in levels] == [
        ({"x"}, ("a",)),
        ({"y"}, ("b",)),
        ({"z"}, ("c", "int8")),
    ]


def test_stages_that_nothing_changes_form_no_level_and_the_unknown_matters_to_all() -> None:
    assert [set(level.own) for level in levels_of(CHAIN, "yz")] == [{"y"}, {"z"}]
    assert [set(level.own) for level in levels_of(CHAIN, ["x", "other"])] == [{"other"}, {"x"}]


@pytest.mark.parametrize(
    ("costs", "depth"),
    [((60, 30, 10), 2), ((10, 30, 60), 0), ((1, 1, 100), 0), ((1, 100, 1), 2)],
    ids=["first", "last", "only last", "middle"],
)
def test_what_was_dear_is_shared_and_what_comes_before_the_dear_is_not(
    costs: tuple[float, ...], depth: int
) -> None:
    paid = Paid(levels_of(CHAIN, "xyz"), leaves(6, costs))
    assert depth_of(paid) == depth


def test_over_a_study_each_prefix_gets_as_many_children_as_balance_the_costs() -> None:
    costs = (75.0, 25.0)
    dependence = {"a": CHAIN["a"], "b": CHAIN["b"]}
    trials: list[FrozenTrial] = []
    for number in range(100):
        depth = depth_of(Paid(levels_of(dependence, "xy"), trials)) if trials else 0
        x = trials[0].params["x"] if depth else (number + 1) / 200
        params = {"x": x, "y": (number + 1) / 200}
        trials.append(trial(params, dict(zip("ab", costs, strict=True))))
    prefixes = len({one.params["x"] for one in trials})
    assert 100 / prefixes == pytest.approx(1.3 * 3**0.5, rel=0.1)


def test_no_more_children_than_there_are_values() -> None:
    dependence = {"a": frozenset({"x"}), "b": frozenset({"x", "k"})}
    two = CategoricalDistribution(["int8", "fp16"])
    distributions = {"x": UNIT, "k": two}
    trials: list[FrozenTrial] = []
    for number in range(40):
        depth = depth_of(Paid(levels_of(dependence, "xk"), trials)) if trials else 0
        params = {"x": trials[0].params["x"] if depth else (number + 1) / 99, "k": "int8"}
        seconds = {"a": 1000.0, "b": 1.0}
        trials.append(trial(params, seconds, distributions=distributions))
    assert len({one.params["x"] for one in trials}) == pytest.approx(20, abs=1)


def test_before_costs_are_known_nothing_is_shared() -> None:
    running = trial({"x": 0.1, "y": 0.2, "z": 0.3}, {}, TrialState.RUNNING)
    assert depth_of(Paid(levels_of(CHAIN, "xyz"), [running])) == 0


def test_trials_that_run_count_as_well() -> None:
    seconds = {"a": 60.0, "b": 30.0, "c": 10.0}
    done = trial({"x": 0.1, "y": 0.2, "z": 0.3}, seconds)
    running = [trial({"x": 0.1, "y": 0.2, "z": n / 9}, {}, TrialState.RUNNING) for n in range(1, 9)]
    assert depth_of(Paid(levels_of(CHAIN, "xyz"), [done])) == 2
    assert depth_of(Paid(levels_of(CHAIN, "xyz"), [done, *running])) == 0


def test_each_result_counts_once_and_all_seeds_together() -> None:
    rows = [{"name": f"a@{seed}", "signature": f"a{seed}", "seconds": 2.0} for seed in (1, 2)]
    rows += [{"name": "b", "signature": "b", "seconds": 6.0}]
    trials = [
        create_trial(
            value=0.0,
            params={"x": 0.1, "y": 0.2},
            distributions={"x": UNIT, "y": UNIT},
            user_attrs={NOTES: {"stages": rows}},
        )
        for _ in range(3)
    ]
    costs = Paid(levels_of({"a": CHAIN["a"], "b": CHAIN["b"]}, "xy"), trials).costs()
    assert costs is not None
    assert list(costs) == [4.0, 6.0]


def test_a_pruned_trial_has_paid_for_the_stages_it_finished() -> None:
    pruned = trial({"x": 0.1, "y": 0.2, "z": 0.3}, {"a": 5.0}, TrialState.PRUNED)
    paid = Paid(levels_of(CHAIN, "xyz"), [pruned])
    assert paid.has(pruned, 1)
    assert not paid.has(pruned, 2)
    assert paid.prefixes([pruned], 1, 3) == [pruned]
    assert paid.prefixes([pruned], 2, 3) == []


def test_equal_prefixes_are_one() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trials = [trial({"x": 0.5, "y": n / 9, "z": 0.1}, {}) for n in range(3)]
    paid = Paid(levels_of(CHAIN, "xyz"), trials)
    assert paid.prefixes(trials, 1, 9) == trials[:1]
    assert paid.prefixes(trials, 2, 2) == trials[:2]
    assert paid.prefix(trials[1].params, 2) == {"x": 0.5, "y": 1 / 9}
