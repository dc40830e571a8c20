"""Samplers that know what is paid for, on a pipeline of which the stages are formulas."""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import optuna
import pytest
from optuna import Study, Trial
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.trial import TrialState, create_trial

from stagetree.search.notes import NOTES
from stagetree.search.stage_gp import StageGPSampler
from stagetree.search.stage_tpe import StageTPESampler

STAGES = {
    "finetune": frozenset({"rate"}),
    "prune": frozenset({"rate", "heads"}),
    "distill": frozenset({"rate", "heads", "t", "kind"}),
}
SECONDS = {"finetune": 60.0, "prune": 30.0, "distill": 10.0}
SAMPLERS = [StageTPESampler, StageGPSampler]
Make = Callable[..., Any]

optuna.logging.set_verbosity(optuna.logging.WARNING)


def point(trial: Trial) -> dict[str, Any]:
    return {
        "rate": trial.suggest_float("rate", 1e-5, 1e-2, log=True),
        "heads": trial.suggest_int("heads", 1, 12),
        "t": trial.suggest_float("t", 1, 4),
        "kind": trial.suggest_categorical("kind", ["a", "b"]),
    }


def run(
    trial: Trial, params: Mapping[str, Any], seconds: Mapping[str, float], done: set[str]
) -> float:
    """Note the stages as a run does and return what those cost that were not done before."""
    rows = []
    cost = 0.0
    for stage, taken in seconds.items():
        signature = repr([params.get(name) for name in sorted(STAGES[stage])])
        if (key := f"{stage} {signature}") not in done:
            cost += taken
            done.add(key)
        rows.append({"name": stage, "signature": key, "seconds": taken})
    trial.set_user_attr(NOTES, {"stages": rows})
    return cost


def loss(params: Mapping[str, Any]) -> float:
    far = (params["heads"] - 8) ** 2 / 50 + (params["t"] - 2) ** 2 / 4
    return far + (0.1 if params["kind"] == "b" else 0.0) + abs(params["rate"] - 1e-3) * 100


def search(make: Make, trials: int, seconds: Mapping[str, float] = SECONDS) -> tuple[Study, float]:
    study = optuna.create_study()
    done: set[str] = set()
    spent = 0.0
    for number in range(trials):
        study.sampler = make(seed=number)
        trial = study.ask()
        params = point(trial)
        spent += run(trial, params, seconds, done)
        study.tell(trial, loss(params))
    return study, spent / sum(seconds.values())


@pytest.mark.parametrize("kind", SAMPLERS)
def test_dear_first_stages_are_shared_and_the_search_gets_somewhere(kind: Make) -> None:
    study, spent = search(lambda seed: kind(seed=seed, dependence=STAGES), 40)
    assert spent < 40 / 2
    assert study.best_value < 0.3
    assert len({trial.params["rate"] for trial in study.trials}) > 4


@pytest.mark.parametrize("kind", SAMPLERS)
def test_where_the_last_stage_is_dear_nothing_is_shared(kind: Make) -> None:
    dear = {"finetune": 1.0, "prune": 2.0, "distill": 97.0}
    _, spent = search(lambda seed: kind(seed=seed, dependence=STAGES), 14, dear)
    assert spent == pytest.approx(14)


@pytest.mark.parametrize("dependence", [None, {"train": STAGES["distill"]}], ids=["none", "one"])
@pytest.mark.parametrize(
    ("kind", "plain"),
    [
        (StageTPESampler, lambda seed: TPESampler(multivariate=True, seed=seed)),
        (StageGPSampler, lambda seed: GPSampler(seed=seed)),
    ],
)
def test_with_one_stage_it_is_the_plain_sampler(kind: Make, plain: Make, dependence: Any) -> None:
    ours, _ = search(lambda seed: kind(seed=seed, dependence=dependence), 14)
    theirs, _ = search(plain, 14)
    assert [trial.params for trial in ours.trials] == [trial.params for trial in theirs.trials]


@pytest.mark.parametrize("kind", SAMPLERS)
def test_what_is_taken_over_was_paid_for_by_a_finished_trial(kind: Make) -> None:
    study = optuna.create_study()
    done: set[str] = set()
    waiting: list[tuple[Trial, dict[str, Any]]] = []
    for number in range(30):
        study.sampler = kind(seed=number, dependence=STAGES, n_startup_trials=5)
        finished = [one for one in study.trials if one.state == TrialState.COMPLETE]
        trial = study.ask()
        params = point(trial)
        shared = [one for one in study.trials[:-1] if one.params.get("rate") == params["rate"]]
        if 1.001e-5 < params["rate"] < 0.999e-2:  # an end of the interval may be chosen by itself
            assert not shared or any(one in finished for one in shared)
        waiting.append((trial, params))
        if len(waiting) == 4:  # so many workers
            one, its = waiting.pop(0)
            run(one, its, SECONDS, done)
            study.tell(one, loss(its))


def test_parameters_that_exist_in_some_trials_are_taken_over_where_they_do() -> None:
    stages = {
        "a": frozenset({"kind", "deep"}),
        "b": frozenset({"kind", "deep", "t"}),
    }
    study = optuna.create_study()
    for number in range(40):
        study.sampler = StageTPESampler(seed=number, dependence=stages, group=True)
        trial = study.ask()
        kind = trial.suggest_categorical("kind", ["x", "y"])
        params: dict[str, Any] = {"kind": kind}
        if kind == "x":
            params["deep"] = trial.suggest_float("deep", 0, 1)
        params["t"] = trial.suggest_float("t", 0, 1)
        first = repr([params["kind"], params.get("deep")])
        rows = [
            {"name": "a", "signature": first, "seconds": 9.0},
            {"name": "b", "signature": repr(params), "seconds": 1.0},
        ]
        trial.set_user_attr(NOTES, {"stages": rows})
        study.tell(trial, params.get("deep", 0.4) + params["t"])
    deep = [trial.params["deep"] for trial in study.trials if "deep" in trial.params]
    assert len(set(deep)) < len(deep) / 1.5
    assert study.best_value < 0.4


def test_trials_outside_their_bounds_are_not_gone_on_from_while_there_are_others() -> None:
    study = optuna.create_study()
    done: set[str] = set()
    for number in range(40):
        study.sampler = StageTPESampler(seed=number, dependence=STAGES)
        trial = study.ask()
        params = point(trial)
        run(trial, params, SECONDS, done)
        trial.set_constraint("heads", float(params["heads"] - 6))
        study.tell(trial, loss(params))
    late = study.trials[25:]
    assert sum(trial.params["heads"] <= 6 for trial in late) > len(late) * 0.7


def test_several_objectives() -> None:
    study = optuna.create_study(directions=["minimize", "maximize"])
    done: set[str] = set()
    spent = 0.0
    for number in range(25):
        study.sampler = StageTPESampler(seed=number, dependence=STAGES)
        trial = study.ask()
        params = point(trial)
        spent += run(trial, params, SECONDS, done)
        study.tell(trial, [loss(params), -params["heads"]])
    assert spent / 100 < 25 / 1.5


def test_pruned_trials_are_gone_on_from_only_as_far_as_they_came() -> None:
    study = optuna.create_study()
    done: set[str] = set()
    for number in range(25):
        study.sampler = StageTPESampler(seed=number, dependence=STAGES, n_startup_trials=5)
        trial = study.ask()
        params = point(trial)
        if number % 2:
            run(trial, params, {"finetune": 60.0}, done)
            trial.report(loss(params), 1)
            study.tell(trial, state=TrialState.PRUNED)
        else:
            run(trial, params, SECONDS, done)
            study.tell(trial, loss(params))
    whole = {(t.params["rate"], t.params["heads"]) for t in study.trials[::2]}
    half = study.trials[1::2]
    again = [
        later for later in study.trials for one in half
        if later.number > one.number
        and (later.params["rate"], later.params["heads"])
        == (one.params["rate"], one.params["heads"])
        and (one.params["rate"], one.params["heads"]) not in whole
    ]  # fmt: skip
    assert again == []


@pytest.mark.slow
def test_asking_stays_quick_in_a_long_study() -> None:
    study = optuna.create_study()
    distributions = {
        f"p{place}": optuna.distributions.FloatDistribution(0, 1) for place in range(12)
    }
    stages = {f"s{k}": frozenset(f"p{place}" for place in range(3 * (k + 1))) for k in range(4)}
    generator = random.Random(0)
    for number in range(1000):
        params = {name: generator.random() for name in distributions}
        rows = [
            {"name": stage, "signature": f"{stage}{number}", "seconds": 40.0 - 9 * place}
            for place, stage in enumerate(stages)
        ]
        study.add_trial(
            create_trial(
                value=sum(params.values()),
                params=params,
                distributions=distributions,
                user_attrs={NOTES: {"stages": rows}},
            )
        )
    sampler: BaseSampler = StageTPESampler(seed=0, dependence=stages)
    study.sampler = sampler
    study.ask(distributions)
    start = time.process_time()
    for _ in range(5):
        study.ask(distributions)
    assert (time.process_time() - start) / 5 < 2  # seconds; a benchmark says how many milliseconds
