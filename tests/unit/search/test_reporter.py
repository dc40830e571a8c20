from collections.abc import Callable
from pathlib import Path

import pytest
from optuna import Study, Trial
from optuna.pruners import MedianPruner, ThresholdPruner, WilcoxonPruner

from stagetree.core.errors import TrialFailed, TrialPruned
from stagetree.core.lease import Lease, LeaseLost
from stagetree.core.reporting import SEEDS, StageInfo, StageOutcome
from stagetree.search.interrupts import Interrupts
from stagetree.search.reporter import TrialReporter
from stagetree.search.stage_pruner import StageAwarePruner


@pytest.fixture
def reporter(tmp_path: Path) -> Callable[..., TrialReporter]:
    def make(trial: Trial, metrics: tuple[str, ...] = ("f1",)) -> TrialReporter:
        lease = Lease(tmp_path / f"{trial.number}-{len(list(tmp_path.iterdir()))}.lock")
        assert lease.try_acquire()
        return TrialReporter(trial, metrics, lease, Interrupts())

    return make


def stage(index: int = 0, *, signature: str = "s", reused: bool = False) -> StageInfo:
    return StageInfo(f"stage{index}", "finetune", index, 2, signature, reused)


def test_curves_go_out_stage_by_stage(
    new_study: Callable[..., Study], reporter: Callable[..., TrialReporter]
) -> None:
    trial = new_study().ask()
    told = reporter(trial)
    told.evaluated(stage(0), 0.5, {"f1": 0.1, "loss": 9.0})
    told.evaluated(stage(0), 1.0, {"loss": 9.0})
    told.evaluated(stage(1), 0.00001, {"f1": 0.2})
    frozen = trial.study.trials[0]
    assert frozen.intermediate_values == {5000: 0.1, 10_001: 0.2}
    assert frozen.user_attrs["stagetree:stage:1"] == ["stage1", "s"]


def test_a_repeated_run_adds_only_what_is_new_and_keeps_the_first_value(
    new_study: Callable[..., Study], reporter: Callable[..., TrialReporter]
) -> None:
    trial = new_study().ask()
    reporter(trial).evaluated(stage(), 0.5, {"f1": 0.1})
    again = reporter(trial)
    again.evaluated(stage(), 0.5, {"f1": 0.3})
    again.evaluated(stage(), 1.0, {"f1": 0.4})
    assert trial.study.trials[0].intermediate_values == {5000: 0.1, 10_000: 0.4}


def test_what_is_no_number_fails_the_trial(
    new_study: Callable[..., Study], reporter: Callable[..., TrialReporter]
) -> None:
    with pytest.raises(TrialFailed, match="expected a finite f1 at 50% of stage 'stage0'"):
        reporter(new_study().ask()).evaluated(stage(), 0.5, {"f1": float("nan")})


@pytest.mark.parametrize("reused", [True, False])
def test_a_replayed_stage_is_pruned_like_one_that_runs(
    new_study: Callable[..., Study], reporter: Callable[..., TrialReporter], reused: bool
) -> None:
    pruner = StageAwarePruner(MedianPruner(n_startup_trials=2))
    study = new_study(direction="maximize", pruner=pruner)
    for number in range(2):
        trial = study.ask()
        reporter(trial).evaluated(stage(signature=f"{number}"), 0.5, {"f1": 0.8})
        study.tell(trial, 0.8)
    told = reporter(study.ask())
    with pytest.raises(TrialPruned):
        told.evaluated(stage(signature="mine", reused=reused), 0.5, {"f1": 0.2})
    assert told.pruned_in == "stage0"


def test_a_repeated_run_is_judged_by_what_it_has_reached(
    new_study: Callable[..., Study], reporter: Callable[..., TrialReporter]
) -> None:
    study = new_study(pruner=StageAwarePruner(ThresholdPruner(upper=1.0)))
    trial = study.ask()
    trial.report(0.5, 5000)
    trial.report(2.0, 10_000)
    again = reporter(trial)
    again.evaluated(stage(), 0.5, {"f1": 0.5})
    with pytest.raises(TrialPruned):
        again.evaluated(stage(), 1.0, {"f1": 2.0})


def test_a_report_without_the_lease_ends_the_run(
    new_study: Callable[..., Study], reporter: Callable[..., TrialReporter], tmp_path: Path
) -> None:
    told = reporter(new_study().ask())
    for lock in tmp_path.glob("*.lock"):
        lock.unlink()
    with pytest.raises(LeaseLost):
        told.evaluated(stage(), 0.5, {"f1": 0.5})


def test_two_objectives_have_no_curve(
    new_study: Callable[..., Study], reporter: Callable[..., TrialReporter]
) -> None:
    trial = new_study(directions=["minimize", "maximize"]).ask()
    reporter(trial).evaluated(stage(), 0.5, {"f1": 0.5})
    assert trial.study.trials[0].intermediate_values == {}


def tell_seeds(told: TrialReporter, scores: list[float]) -> None:
    """Tell of a run over seeds as a pipeline of one stage does."""
    count = len(scores)
    for index, score in enumerate(scores):
        one = StageInfo(f"finetune@{index}", "finetune", index, count + 1, f"{score}-{index}")
        told.evaluated(one, 1.0, {"f1": score})
        told.stage_finished(one, StageOutcome({"f1": score, "bytes": index}, 2.0, Path("m")))
        both = StageInfo(SEEDS, SEEDS, count, count + 1, "")
        told.evaluated(both, (index + 1) / count, {"f1": score})


def test_a_trial_over_seeds_is_pruned_after_the_seed_that_shows_it_is_worse(
    new_study: Callable[..., Study], reporter: Callable[..., TrialReporter]
) -> None:
    pruner = StageAwarePruner(WilcoxonPruner(p_threshold=0.3, n_startup_steps=2), only=SEEDS)
    study = new_study(direction="maximize", pruner=pruner)
    best = study.ask()
    tell_seeds(reporter(best), [0.5, 0.6, 0.7])
    study.tell(best, 0.6)
    told = reporter(study.ask())
    with pytest.raises(TrialPruned):
        tell_seeds(told, [0.4, 0.5, 0.6])
    assert told.pruned_in == SEEDS
    assert [row.name for row in told.stages] == ["finetune@0", "finetune@1"]


def test_a_trial_is_not_pruned_when_its_last_seed_has_run(
    new_study: Callable[..., Study], reporter: Callable[..., TrialReporter]
) -> None:
    study = new_study(pruner=StageAwarePruner(ThresholdPruner(upper=0.8)))
    tell_seeds(reporter(study.ask()), [0.7, 0.9])
    told = reporter(study.ask())
    with pytest.raises(TrialPruned):
        tell_seeds(told, [0.9, 0.7])
    assert told.pruned_in == "finetune@0"


def test_metrics_of_a_trial_are_means_over_its_seeds(
    new_study: Callable[..., Study], reporter: Callable[..., TrialReporter]
) -> None:
    told = reporter(new_study().ask())
    tell_seeds(told, [0.25, 0.75])
    assert told.metrics() == {"f1": 0.5, "bytes": 0.5, "seconds": 2.0}


def test_finished_stages_are_kept_as_plain_data(
    new_study: Callable[..., Study], reporter: Callable[..., TrialReporter]
) -> None:
    told = reporter(new_study().ask(), None)
    told.stage_finished(stage(reused=True), StageOutcome({"f1": 0.5}, 3.0, Path("m")))
    assert told.record() == [
        {
            "name": "stage0",
            "kind": "finetune",
            "signature": "s",
            "seconds": 3.0,
            "reused": True,
            "model_dir": "m",
            "metrics": {"f1": 0.5},
        }
    ]
