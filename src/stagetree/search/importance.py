"""How much each hyperparameter decides, over the whole pipeline and stage by stage."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial, TrialState

from stagetree.core.importance import PIPELINE, Importances
from stagetree.pipeline import seeds
from stagetree.search import results
from stagetree.search.parameter import DROPPED_PREFIX
from stagetree.search.shown import as_text, common, evenly, quiet, shown
from stagetree.search.space import point_text
from stagetree.search.study import directions_of, metrics_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.importance import BaseImportanceEvaluator

    from stagetree.core.trials import StageRow, TrialRow

MIN_TRIALS = 10
"""Different results below which importances are noise."""

MAX_TRIALS = 500
"""Results that fANOVA is fitted to at most; of more, evenly chosen ones."""

_TREES = 16
_DEPTH = 8
_SEED = 0


@dataclass(frozen=True)
class _Result:
    """A measured point."""

    params: Mapping[str, object]
    value: float


def importances(study: Study) -> list[Importances]:
    """Return what each hyperparameter decides: of each objective, then at each stage's end.

    Where every trial has the same hyperparameters these are shares of the metric's variance by
    fANOVA (Hutter et al. 2014), if scikit-learn is installed. Otherwise, and in conditional
    spaces, PED-ANOVA (Watanabe et al. 2023; conditional: 2026) says how far the best tenth
    differs from all; it takes a hyperparameter together with those trials that have it.

    A stage's own importances are about the first objective at its end, over its own and earlier
    stages' hyperparameters. Trials that share the stage's result count once, and trials pruned
    or failed in a later stage count too. The same study always gives the same numbers.
    """
    rows = _originals(study)
    distributions = distributions_of(study.get_trials(deepcopy=False))
    stages = stages_of(rows)
    metric, direction = metrics_of(study)[0], directions_of(study)[0]
    found = of_objectives(study)
    if len(stages) > 1:
        for stage in stages:
            measured = _at_stage(rows, stage, metric, stages)
            about = Importances(metric, stage)
            found.append(_importances(about, measured, distributions, direction, stages))
    return found


def of_objectives(study: Study) -> list[Importances]:
    """Return the first part of :func:`importances`: of each objective."""
    rows = _originals(study)
    distributions = distributions_of(study.get_trials(deepcopy=False))
    stages, directions = stages_of(rows), directions_of(study)
    found: list[Importances] = []
    for place, metric in enumerate(metrics_of(study)):
        measured = [_Result(row.params, row.values[place]) for row in rows if _complete(row)]
        about = Importances(metric)
        found.append(_importances(about, measured, distributions, directions[place], stages))
    return found


def _originals(study: Study) -> list[TrialRow]:
    """Return the trials that are no copies of others."""
    return [row for row in results.rows(study) if row.copy_of is None]


def stages_of(rows: Iterable[TrialRow]) -> list[str]:
    """Return the names of the stages that trials finished or were pruned in, in their order."""
    order: dict[str, int] = {}
    for row in rows:
        seen = [stage.name for stage in row.stages] + ([row.pruned_in] if row.pruned_in else [])
        names = dict.fromkeys(map(seeds.plain, seen))
        for place, name in enumerate(names):
            order[name] = max(place, order.get(name, 0))
    return sorted(order, key=lambda name: order[name])


def stage_of(parameter: str, stages: Sequence[str]) -> str:
    """Return the stage that a hyperparameter belongs to, or ``PIPELINE``.

    >>> stage_of("distill.temperature", ["finetune", "distill"]), stage_of("seed", ["finetune"])
    ('distill', '')
    """
    first = parameter.removeprefix(DROPPED_PREFIX).partition(".")[0]
    return first if first in stages else PIPELINE


def distributions_of(trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
    """Return one distribution a hyperparameter that holds the values of all trials."""
    kinds: dict[str, dict[BaseDistribution, None]] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            kinds.setdefault(name, {})[distribution] = None
    return {name: common(found) for name, found in kinds.items()}


def _complete(row: TrialRow) -> bool:
    return row.state == "complete" and bool(row.values)


def _at_stage(
    rows: Sequence[TrialRow], stage: str, metric: str, stages: Sequence[str]
) -> list[_Result]:
    """Return each different result of a stage with the hyperparameters that it depends on."""
    found: dict[str, _Result] = {}
    for row in rows:
        before: set[str] = {PIPELINE}
        for ended in seeds.averaged(row.stages):
            before.add(ended.name)
            if ended.name == stage and metric in ended.metrics:
                params = {
                    name: value
                    for name, value in row.params.items()
                    if stage_of(name, stages) in before
                }
                found.setdefault(_key(ended, params), _Result(params, ended.metrics[metric]))
    return list(found.values())


def _key(stage: StageRow, params: Mapping[str, object]) -> str:
    return stage.signature or point_text(params)


def _importances(
    about: Importances,
    measured: Sequence[_Result],
    distributions: Mapping[str, BaseDistribution],
    direction: str,
    stages: Sequence[str],
) -> Importances:
    measured = [result for result in measured if math.isfinite(result.value)]
    names = list(dict.fromkeys(name for result in measured for name in result.params))
    varied = [name for name in names if _varies(name, measured)]
    constant = tuple(name for name in names if name not in varied)
    about = dataclasses.replace(about, trials=len(measured), constant=constant)
    reason = _reason(measured, varied)
    if reason:
        return dataclasses.replace(about, reason=reason)
    trials = [
        _trial(number, result, varied, distributions) for number, result in enumerate(measured)
    ]
    method, evaluator = _evaluator(trials)
    if method == "fANOVA":
        trials = evenly(trials, MAX_TRIALS)
    from optuna.importance import get_param_importances

    with quiet():
        shares = get_param_importances(shown(trials, [direction]), evaluator=evaluator)
    shares = {name: float(share) for name, share in shares.items() if math.isfinite(share)}
    if not shares or max(shares.values()) <= 0:
        return dataclasses.replace(about, reason="no hyperparameter was seen to matter")
    by_stage: dict[str, float] = {}
    for name, share in shares.items():
        stage = stage_of(name, stages)
        by_stage[stage] = by_stage.get(stage, 0.0) + share
    return dataclasses.replace(
        about,
        method=method,
        trials=len(trials),
        shares=_sorted(shares),
        by_stage=_sorted(by_stage),
    )


def _reason(measured: Sequence[_Result], varied: Sequence[str]) -> str:
    if len(measured) < MIN_TRIALS:
        return f"{len(measured)} of the {MIN_TRIALS} different results that it takes"
    if not varied:
        return "every hyperparameter had the same value in all trials"
    if len({result.value for result in measured}) == 1:
        return "all trials came to the same value"
    return ""


def _varies(name: str, measured: Sequence[_Result]) -> bool:
    return len({repr(result.params.get(name, "missing")) for result in measured}) > 1


def _trial(
    number: int,
    result: _Result,
    names: Sequence[str],
    distributions: Mapping[str, BaseDistribution],
) -> FrozenTrial:
    own = {name: distributions[name] for name in names if name in result.params}
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=TrialState.COMPLETE,
        value=result.value,
        datetime_start=None,
        datetime_complete=None,
        params={name: as_text(result.params[name], kind) for name, kind in own.items()},
        distributions=own,
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )


def _evaluator(trials: Sequence[FrozenTrial]) -> tuple[str, BaseImportanceEvaluator]:
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

    conditional = any(trial.params.keys() != trials[0].params.keys() for trial in trials)
    if conditional or importlib.util.find_spec("sklearn") is None:
        return "PED-ANOVA", PedAnovaImportanceEvaluator()
    return "fANOVA", FanovaImportanceEvaluator(n_trees=_TREES, max_depth=_DEPTH, seed=_SEED)


def _sorted(shares: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
