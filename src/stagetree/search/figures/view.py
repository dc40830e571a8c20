"""A study as the charts see it: readable names, few attributes, everything looked up once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from stagetree.core.numbers import short
from stagetree.search import results
from stagetree.search.curves import curves
from stagetree.search.figures.style import cut, labels, safe
from stagetree.search.importance import distributions_of, importances, stages_of
from stagetree.search.shown import as_text, shown
from stagetree.search.study import directions_of, metrics_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna import Study

    from stagetree.core.curves import StageCurve
    from stagetree.core.importance import Importances
    from stagetree.core.trials import TrialRow

_STATES = {"failed": TrialState.FAIL, "rejected": TrialState.WAITING}
_MAX_LINES = 24


class ChartError(Exception):
    """A chart cannot be drawn; the message says why, in half a sentence."""


@dataclass(frozen=True)
class View:
    """A study, ready to be drawn.

    Attributes:
        trials: Its trials, hyperparameters under their labels, choices as text.
        rows: The same trials as plain records, by number.
        curves: What their stages reported.
        metrics: The objectives.
        directions: ``maximize`` or ``minimize``, one an objective.
        stages: Names of the stages, in order.
        importances: Of hyperparameters, by displayed name.
        labels: What stands for a hyperparameter's displayed name.
        hovers: What a trial's point says when pointed at, by number.
    """

    trials: Sequence[FrozenTrial]
    rows: Mapping[int, TrialRow]
    curves: Sequence[StageCurve]
    metrics: Sequence[str]
    directions: Sequence[str]
    stages: Sequence[str]
    importances: Sequence[Importances]
    labels: Mapping[str, str]
    hovers: Mapping[int, str]

    @property
    def study(self) -> Study:
        """The trials as a study with all objectives."""
        return shown(self.trials, self.directions)

    @property
    def complete(self) -> list[FrozenTrial]:
        """Trials with finite values."""
        return [trial for trial in self.trials if _finite(trial)]

    def objective(self, place: int) -> Study:
        """Return the trials as a study with one of the objectives only.

        Optuna takes a trial's number for its place in the list, so that none may be left out;
        those without a finite value stand in it as failed.
        """
        trials = [
            valued(trial, [trial.values[place]]) if _finite(trial) else _failed(trial)
            for trial in self.trials
        ]
        return shown(trials, [self.directions[place]])

    def that_decide_most(self, place: int) -> str:
        """Return how a caption goes on where only :meth:`important` ones are drawn."""
        return " that decide most" if self.importances[place].shares else ""

    def important(self, place: int, most: int) -> list[str]:
        """Return labels of the hyperparameters that decide most over an objective.

        Where importances are unknown these are the first ones that vary.

        Raises:
            ChartError: None varies, or no trial is complete.
        """
        complete = self.complete
        if not complete:
            raise ChartError("no trial is complete yet")
        known = [self.labels[name] for name in self.importances[place].shares]
        names = known or [name for name in self.labels.values() if _varies(name, complete)]
        if not names:
            raise ChartError("no hyperparameter varies among the complete trials")
        return names[:most]


def view_of(study: Study) -> View:
    """Return a study ready to be drawn."""
    trials = study.get_trials(deepcopy=False)
    rows = {row.number: row for row in results.rows(study)}
    kinds = distributions_of(trials)
    names = labels(kinds)
    texts = {name: _texts(kind) for name, kind in kinds.items()}
    metrics = metrics_of(study)
    return View(
        trials=[_drawn(trial, rows[trial.number], kinds, names, texts) for trial in trials],
        rows=rows,
        curves=curves(study),
        metrics=metrics,
        directions=directions_of(study),
        stages=stages_of(rows.values()),
        importances=importances(study),
        labels=names,
        hovers={number: _hover(row, metrics) for number, row in rows.items()},
    )


def valued(trial: FrozenTrial, values: Sequence[float]) -> FrozenTrial:
    """Return a complete trial with other values."""
    return _frozen(trial, TrialState.COMPLETE, values, trial.params, trial.distributions)


def _failed(trial: FrozenTrial) -> FrozenTrial:
    return _frozen(trial, TrialState.FAIL, None, trial.params, trial.distributions)


def _finite(trial: FrozenTrial) -> bool:
    values = trial.values or ()
    complete = trial.state == TrialState.COMPLETE
    return complete and bool(values) and all(math.isfinite(value) for value in values)


def _varies(name: str, trials: Sequence[FrozenTrial]) -> bool:
    return len({trial.params[name] for trial in trials if name in trial.params}) > 1


def _texts(kind: BaseDistribution) -> dict[object, object]:
    """Return what stands for each choice that is text."""
    if not isinstance(kind, CategoricalDistribution):
        return {}
    texts = labels(choice for choice in kind.choices if isinstance(choice, str))
    return dict(texts.items())


def _drawn(
    trial: FrozenTrial,
    row: TrialRow,
    kinds: Mapping[str, BaseDistribution],
    names: Mapping[str, str],
    texts: Mapping[str, Mapping[object, object]],
) -> FrozenTrial:
    params: dict[str, object] = {}
    distributions: dict[str, BaseDistribution] = {}
    for name, value in trial.params.items():
        plain = as_text(value, kinds[name])
        params[names[name]] = texts[name].get(plain, plain)
        distributions[names[name]] = _labelled(kinds[name], texts[name])
    state = _STATES.get(row.state, trial.state)
    values = trial.values if state == TrialState.COMPLETE else None
    return _frozen(trial, state, values, params, distributions)


def _labelled(kind: BaseDistribution, texts: Mapping[object, object]) -> BaseDistribution:
    if not texts or not isinstance(kind, CategoricalDistribution):
        return kind
    return CategoricalDistribution([str(texts[choice]) for choice in kind.choices])


def _frozen(
    trial: FrozenTrial,
    state: TrialState,
    values: Sequence[float] | None,
    params: Mapping[str, object],
    distributions: Mapping[str, BaseDistribution],
) -> FrozenTrial:
    drawn = FrozenTrial(
        number=trial.number,
        trial_id=trial.number,
        state=state,
        value=None,
        values=values,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=dict(params),
        distributions=dict(distributions),
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )
    for name, violation in trial.constraints.items():
        drawn.set_constraint(name, violation)
    return drawn


def _hover(row: TrialRow, metrics: Sequence[str]) -> str:
    state = row.state if row.feasible else f"{row.state}, infeasible"
    where = f" in {row.pruned_in}" if row.pruned_in else ""
    lines = []
    if row.state == "complete":
        lines += [
            f"{name} {short(value)}" for name, value in zip(metrics, row.values, strict=False)
        ]
    params = [f"{name} {cut(short(value), 40)}" for name, value in row.params.items()]
    lines += params[:_MAX_LINES]
    if len(params) > _MAX_LINES:
        lines.append(f"and {len(params) - _MAX_LINES} more")
    head = f"<b>trial {row.number}</b> {safe(state + where)}"
    return "<br>".join([head, *map(safe, lines)])
