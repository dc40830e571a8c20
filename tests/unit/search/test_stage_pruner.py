from collections.abc import Callable, Sequence

import optuna
import pytest
from optuna import Study
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    PatientPruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.trial import TrialState

from stagetree.search.stage_pruner import StageAwarePruner, stage_attribute, step_of

Stage = tuple[str, str, Sequence[tuple[float, float]]]


@pytest.fixture
def run() -> Callable[..., bool]:
    """Runs a trial through its stages; whether it was pruned. The value is its last report."""

    def run(study: Study, *stages: Stage) -> bool:
        trial = study.ask()
        for index, (name, signature, curve) in enumerate(stages):
            trial.set_user_attr(stage_attribute(index), [name, signature])
            for fraction, value in curve:
                trial.report(value, step_of(index, fraction))
                if trial.should_prune():
                    study.tell(trial, state=TrialState.PRUNED)
                    return True
        study.tell(trial, stages[-1][2][-1][1])
        return False

    return run


def maximizing(pruner: BasePruner) -> Study:
    return optuna.create_study(direction="maximize", pruner=pruner, study_name="s")


def flat(value: float) -> list[tuple[float, float]]:
    return [(0.5, value), (1.0, value)]


def test_stages_with_different_metrics_do_not_mix(run: Callable[..., bool]) -> None:
    aware = maximizing(StageAwarePruner(MedianPruner(n_startup_trials=3)))
    plain = maximizing(MedianPruner(n_startup_trials=3))
    pruned = {"aware": 0, "plain": 0}
    for name, study in (("aware", aware), ("plain", plain)):
        for number in range(6):
            first = ("finetune", f"f{number}", flat(0.9))
            second = ("distill", f"d{number}", flat(0.6 - 0.1 * number))
            pruned[name] += run(study, first, second)
    assert pruned == {"aware": 3, "plain": 0}


def test_trials_that_share_a_stage_are_one_piece_of_evidence(run: Callable[..., bool]) -> None:
    study = maximizing(StageAwarePruner(MedianPruner(n_startup_trials=3)))
    for number in range(4):
        last = ("distill", f"d{number}", flat(0.5))
        assert not run(study, ("finetune", "same", flat(0.9)), last)
    assert not run(study, ("finetune", "worse", flat(0.1)), ("distill", "d9", flat(0.5)))


def test_a_stage_is_known_by_its_name_wherever_it_stands(run: Callable[..., bool]) -> None:
    study = maximizing(StageAwarePruner(MedianPruner(n_startup_trials=3)))
    for number in range(3):
        run(study, ("a", f"a{number}", flat(0.1)), ("b", f"b{number}", flat(0.8)))
    assert run(study, ("b", "b9", flat(0.2)))
    assert not run(study, ("b", "b10", flat(0.9)))


def test_peers_that_reported_at_other_fractions_still_count(run: Callable[..., bool]) -> None:
    study = maximizing(StageAwarePruner(MedianPruner(n_startup_trials=3)))
    for number in range(3):
        assert not run(study, ("a", f"a{number}", [(0.3, 0.5), (0.6, 0.6), (1.0, 0.7)]))
    assert not run(study, ("a", "a8", [(0.2, 0.0), (1.0, 0.8)]))
    assert run(study, ("a", "a9", [(0.2, 0.0), (0.4, 0.1), (1.0, 0.8)]))


@pytest.mark.parametrize(
    "pruner",
    [
        SuccessiveHalvingPruner(min_resource=1000, reduction_factor=2),
        HyperbandPruner(min_resource=1000, max_resource=10_000, reduction_factor=3),
        PatientPruner(MedianPruner(n_startup_trials=2), patience=1),
    ],
)
def test_other_pruners_decide_within_each_stage(
    run: Callable[..., bool], pruner: BasePruner
) -> None:
    study = maximizing(StageAwarePruner(pruner))
    curve = [(0.1, 0.4), (0.3, 0.3), (0.6, 0.2), (1.0, 0.1)]
    good = [(fraction, 0.9) for fraction, _ in curve]
    outcomes = [
        run(study, ("a", f"a{n}", good), ("b", f"b{n}", good if n < 8 else curve))
        for n in range(24)
    ]
    assert not any(outcomes[:8])
    assert sum(outcomes[8:]) >= 8
    stopped = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert all((trial.last_step or 0) > 10_000 for trial in stopped)


def test_reports_outside_any_described_stage_are_compared_by_place() -> None:
    study = maximizing(StageAwarePruner(MedianPruner(n_startup_trials=1)))
    trial = study.ask()
    assert not trial.should_prune()
    trial.report(0.1, step_of(0, 1.0))
    assert not trial.should_prune()


def test_the_signed_rank_test_compares_seed_by_seed(run: Callable[..., bool]) -> None:
    def seeds(*values: float) -> Stage:
        return ("seeds", "", [((place + 1) / 5, value) for place, value in enumerate(values)])

    study = maximizing(StageAwarePruner(WilcoxonPruner(p_threshold=0.1), only="seeds"))
    curve = ("finetune@1", "a", [(0.1 * step, 0.1 * step) for step in range(1, 11)])
    assert not run(study, curve, seeds(0.8, 0.7, 0.9, 0.8, 0.85))
    slower = ("finetune@1", "b", [(0.1 * step, 0.01 * step) for step in range(1, 11)])
    assert not run(study, slower, seeds(0.85, 0.68, 0.95, 0.85, 0.8))
    assert run(study, slower, seeds(0.6, 0.5, 0.7, 0.55, 0.6))
    worse = study.trials[-1]
    assert max(worse.intermediate_values) == step_of(1, 0.8)


def test_a_trial_that_stopped_early_is_compared_by_where_it_stopped(
    run: Callable[..., bool],
) -> None:
    study = maximizing(StageAwarePruner(MedianPruner(n_startup_trials=3, n_min_trials=3)))
    for number in range(3):
        stopped = [(0.2, 0.5 + 0.01 * number), (0.4, 0.5), (1.0, 0.55)]
        assert not run(study, ("finetune", f"s{number}", stopped))
    assert run(study, ("finetune", "low", [(0.2, 0.6), (0.8, 0.1)])) is False
    assert run(study, ("finetune", "lower", [(0.2, 0.1), (0.8, 0.2)])) is True


def test_pruned_trials_stay_evidence_so_that_the_bar_is_not_set_by_survivors(
    run: Callable[..., bool],
) -> None:
    study = maximizing(StageAwarePruner(MedianPruner(n_startup_trials=3)))
    for number, value in enumerate([0.5, 0.5, 0.5, 0.9, 0.9, 0.9]):
        assert not run(study, ("a", f"good{number}", flat(value)))
    for number in range(6):
        assert run(study, ("a", f"bad{number}", flat(0.1)))
    # Survivors' median is 0.7; that of all twelve is 0.3.
    assert not run(study, ("a", "fair", flat(0.45)))
