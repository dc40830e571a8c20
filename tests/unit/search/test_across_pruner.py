import random
from collections.abc import Callable, Mapping, Sequence

import optuna
import pytest
from optuna import Study
from optuna.trial import TrialState

from stagetree.search.across_pruner import AcrossStagesPruner
from stagetree.search.stage_pruner import stage_attribute, step_of

Curve = Sequence[tuple[float, float]]
Run = Callable[..., str]


@pytest.fixture
def run() -> Run:
    """Runs a trial through its stages (name to signature and curve); where it was pruned."""

    def run(
        study: Study,
        stages: Mapping[str, tuple[str, Curve]],
        seconds: Mapping[str, float] | None = None,
        number: int | None = None,
    ) -> str:
        trial = study.ask() if number is None else optuna.Trial(study, number)
        for index, (name, (signature, curve)) in enumerate(stages.items()):
            if curve:
                trial.set_user_attr(stage_attribute(index), [name, signature])
            for fraction, value in curve:
                trial.report(value, step_of(index, fraction))
                over = fraction == 1.0 and index == len(stages) - 1
                if not over and trial.should_prune():
                    study.tell(trial, state=TrialState.PRUNED)
                    return f"{name} {fraction:g}"
        rows = [{"name": name, "seconds": (seconds or {}).get(name, 0.0)} for name in stages]
        trial.set_user_attr("notes", {"stages": rows})
        study.tell(trial, list(stages.values())[-1][1][-1][1])
        return ""

    return run


def maximizing(**options: object) -> Study:
    chosen: dict[str, object] = {"reduction_factor": 3, "n_warmup_steps": 3000, **options}
    pruner = AcrossStagesPruner(**chosen)  # type: ignore[arg-type]
    return optuna.create_study(direction="maximize", pruner=pruner, study_name="s")


def flat(value: float) -> Curve:
    return [(fraction / 10, value) for fraction in range(1, 11)]


def two(number: int, first: float, second: float = 0.5) -> dict[str, tuple[str, Curve]]:
    return {
        "probe": (f"p{number}", flat(first)),
        "finetune": (f"f{number}", flat(second)),
    }


CHEAP_FIRST = {"probe": 1.0, "finetune": 9.0}


def test_a_bad_start_is_not_paid_for_to_the_end(run: Run) -> None:
    study = maximizing()
    for number in range(6):
        assert not run(study, two(number, 0.5 + 0.01 * number), CHEAP_FIRST)
    assert run(study, two(6, 0.1), CHEAP_FIRST) == "probe 1"
    assert not run(study, two(7, 0.9), CHEAP_FIRST)


def test_nothing_is_judged_before_costs_are_known_or_results_are_many(run: Run) -> None:
    study = maximizing(bootstrap_count=4, keep=1)
    waiting = study.ask()
    waiting.set_user_attr(stage_attribute(0), ["probe", "w"])
    for number in range(3):
        assert not run(study, two(number, 0.9 - 0.1 * number), CHEAP_FIRST)
    waiting.report(0.0, step_of(0, 1.0))
    assert not waiting.should_prune()
    assert run(study, two(9, 0.1), CHEAP_FIRST) == "probe 1"


def test_rungs_lie_where_the_costs_put_them(run: Run) -> None:
    places = {}
    for name, seconds in {"cheap": CHEAP_FIRST, "dear": {"probe": 8.0, "finetune": 2.0}}.items():
        study = maximizing(min_resource=2000, reduction_factor=2)
        for number in range(6):
            run(study, two(number, 0.8 + 0.01 * number), seconds)
        places[name] = run(study, two(6, 0.1), seconds)
    assert places == {"cheap": "probe 1", "dear": "probe 0.3"}


def test_given_costs_count_instead_of_seen_ones(run: Run) -> None:
    study = maximizing(costs={"probe": 8, "finetune": 2})
    for number in range(6):
        run(study, two(number, 0.8 + 0.01 * number), CHEAP_FIRST)
    assert run(study, two(6, 0.1), CHEAP_FIRST) == "probe 0.3"


def test_by_default_trials_are_judged_where_a_stage_ends(run: Run) -> None:
    study = optuna.create_study(direction="maximize", pruner=AcrossStagesPruner())
    dear = {"probe": 8.0, "finetune": 2.0}
    ends = {run(study, two(number, 0.9 - 0.01 * number), dear) for number in range(12)}
    assert ends == {"", "probe 1"}


def test_siblings_are_one_piece_of_evidence_and_none_against_each_other(run: Run) -> None:
    study = maximizing(keep=1, bootstrap_count=2)
    for number in range(9):
        shared = {"probe": ("same", flat(0.5)), "finetune": (f"f{number}", flat(0.5))}
        assert "probe" not in run(study, shared, CHEAP_FIRST)
    # Ten trials, two results: too few to judge.
    assert "probe" not in run(study, two(9, 0.1), CHEAP_FIRST)
    assert run(study, two(10, 0.2), CHEAP_FIRST) == "probe 1"
    assert "probe" not in run(study, two(11, 0.6), CHEAP_FIRST)


def test_a_stage_that_does_not_report_has_no_rung(run: Run) -> None:
    def three(number: int, value: float) -> dict[str, tuple[str, Curve]]:
        return {
            "pretrain": (f"a{number}", []),
            "finetune": (f"b{number}", flat(value)),
            "quantize": (f"c{number}", [(1.0, value)]),
        }

    study = maximizing()
    seconds = {"pretrain": 6.0, "finetune": 3.0, "quantize": 1.0}
    for number in range(6):
        assert not run(study, three(number, 0.5 + 0.01 * number), seconds)
    # Rungs at a tenth and at three tenths would lie in pretrain; the third at all of finetune.
    assert run(study, three(6, 0.1), seconds) == "finetune 1"


def test_the_best_few_go_on_however_few_they_are(run: Run) -> None:
    study = maximizing(keep=3, bootstrap_count=0)
    assert not run(study, two(0, 0.9), CHEAP_FIRST)
    assert not run(study, two(1, 0.8), CHEAP_FIRST)
    assert not run(study, two(2, 0.1), CHEAP_FIRST)
    assert run(study, two(3, 0.05), CHEAP_FIRST) == "probe 1"


def test_pruned_trials_stay_evidence(run: Run) -> None:
    study = maximizing(bootstrap_count=3, keep=1)
    for number in range(3):
        assert not run(study, two(number, 0.9), CHEAP_FIRST)
    for number in range(3, 11):
        assert run(study, two(number, 0.1), CHEAP_FIRST) == "probe 1"
    # Fourth of twelve, so in the best third; of the survivors alone it would be the last of four.
    assert "probe" not in run(study, two(11, 0.5), CHEAP_FIRST)


def test_judging_again_says_the_same_and_writes_nothing(run: Run) -> None:
    study = maximizing()
    for number in range(6):
        run(study, two(number, 0.5 + 0.01 * number), CHEAP_FIRST)
    trial = study.ask()
    trial.set_user_attr(stage_attribute(0), ["probe", "new"])
    trial.report(0.1, step_of(0, 1.0))
    again = AcrossStagesPruner()
    frozen = study.trials[trial.number]
    assert [trial.should_prune(), trial.should_prune(), again.prune(study, frozen)] == [True] * 3
    assert not study.trials[trial.number].system_attrs


def test_minimizing_turns_the_order_round(run: Run) -> None:
    study = optuna.create_study(pruner=AcrossStagesPruner())
    for number in range(6):
        assert not run(study, two(number, 0.5 - 0.01 * number), CHEAP_FIRST)
    assert run(study, two(6, 0.9), CHEAP_FIRST) == "probe 1"
    assert not run(study, two(7, 0.1), CHEAP_FIRST)


def test_ladders_side_by_side_begin_later_and_later(run: Run) -> None:
    study = maximizing(brackets=3, bootstrap_count=1)
    seconds = {"probe": 5.0, "finetune": 5.0}
    drawn = random.Random(0)
    for number in range(12):
        run(study, two(number, 0.8 + 0.1 * drawn.random(), drawn.random()), seconds)
    low = [0.1 - 0.001 * number for number in range(12, 40)]
    ends = {run(study, two(number, bad, bad), seconds) for number, bad in enumerate(low, start=12)}
    assert ends - {""} == {"probe 0.3", "probe 0.6", "finetune 0.8"}


def test_a_trial_that_reported_in_no_stage_goes_on() -> None:
    study = maximizing()
    trial = study.ask()
    assert not trial.should_prune()
    trial.report(0.5, 7)
    assert not trial.should_prune()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_resource": 10_000}, "expected min_resource of 1 to 9999 but got 10000"),
        ({"reduction_factor": 1}, "expected reduction_factor of at least 2 but got 1"),
        ({"keep": 0}, "expected keep of at least 1 but got 0"),
        ({"costs": {"probe": -1}}, "expected costs of at least 0"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AcrossStagesPruner(**options)  # type: ignore[arg-type]
