"""What a trial's run tells the study while it goes on: curves, stages, and when to stop."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict
from typing import TYPE_CHECKING

from optuna.pruners import NopPruner

from stagetree.core.errors import TrialFailed, TrialPruned
from stagetree.core.reporting import Reporter, StageInfo, StageOutcome
from stagetree.core.trials import StageRow
from stagetree.pipeline import seeds
from stagetree.search.stage_pruner import stage_attribute, step_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import optuna

    from stagetree.core.lease import Lease
    from stagetree.search.interrupts import Interrupts


class TrialReporter(Reporter):
    """Writes the objective's learning curve into the study and prunes by it.

    A stage replayed from the store takes the same way as one that runs, so decisions do not
    depend on what was reused. A stage that does not report the objective's metric is neither
    recorded nor pruned in.

    Args:
        trial: The running trial.
        metrics: Names of the objectives among the reported metrics; empty: a lone metric.
        lease: The hold on the trial; a report made without it ends the run.
        interrupts: Holds signals back during a write.
    """

    def __init__(
        self,
        trial: optuna.Trial,
        metrics: Sequence[str],
        lease: Lease,
        interrupts: Interrupts,
    ) -> None:
        self._trial = trial
        self._metric = metrics[0] if metrics else None
        self._lease = lease
        self._interrupts = interrupts
        self._single = len(trial.study.directions) == 1
        self._prunes = not isinstance(trial.study.pruner, NopPruner)
        frozen = trial.storage.get_trial(trial._trial_id)
        self._steps = set(frozen.intermediate_values)
        self._described = set(frozen.user_attrs)
        self.stages: list[StageRow] = []
        self.pruned_in: str | None = None

    def evaluated(self, stage: StageInfo, fraction: float, metrics: Mapping[str, float]) -> None:
        """Record the objective at ``fraction`` of the stage.

        Raises:
            TrialFailed: It is not a finite number.
            TrialPruned: The trial's peers do better.
            LeaseLost: Another worker has taken this trial over.
        """
        value = self._objective(metrics)
        if value is None:
            return
        if not math.isfinite(value):
            raise TrialFailed(
                f"expected a finite {self._metric or 'metric'} at {fraction:.0%} of stage "
                f"{stage.name!r} but got {value}"
            )
        if self._single:
            over = seeds.ends_run(stage) and fraction >= 1.0
            self._report(stage, step_of(stage.index, fraction), value, may_end=not over)

    def stage_finished(self, stage: StageInfo, outcome: StageOutcome) -> None:
        """Remember the stage's result for the trial's record."""
        row = StageRow(
            name=stage.name,
            kind=stage.kind,
            signature=stage.signature,
            seconds=outcome.seconds,
            reused=stage.reused,
            model_dir=str(outcome.model_dir),
            metrics=dict(outcome.metrics),
        )
        self.stages.append(row)

    def metrics(self) -> dict[str, float]:
        """Return the last stage's metrics, and what all stages took; empty without stages.

        With several seeds these are means over them.
        """
        stages = seeds.averaged(self.stages)
        if not stages:
            return {}
        return {**stages[-1].metrics, "seconds": sum(row.seconds for row in stages)}

    def record(self) -> list[dict[str, object]]:
        """Return the finished stages as plain data."""
        return [asdict(row) for row in self.stages]

    def _objective(self, metrics: Mapping[str, float]) -> float | None:
        if self._metric is None:
            return float(next(iter(metrics.values()))) if len(metrics) == 1 else None
        value = metrics.get(self._metric)
        return None if value is None else float(value)

    def _report(self, stage: StageInfo, step: int, value: float, *, may_end: bool) -> None:
        """Write a report down and judge the trial, unless nothing is left to save by ending it."""
        with self._interrupts.shield():
            if step not in self._steps:
                self._lease.check()
                self._describe(stage)
                self._trial.report(value, step)
                self._steps.add(step)
            pruned = may_end and self._prunes and self._should_prune(step)
        if pruned:
            self.pruned_in = stage.name
            raise TrialPruned(f"pruned in stage {stage.name!r}: its peers do better")

    def _describe(self, stage: StageInfo) -> None:
        key = stage_attribute(stage.index)
        if key not in self._described:
            self._trial.set_user_attr(key, [stage.name, stage.signature])
            self._described.add(key)

    def _should_prune(self, step: int) -> bool:
        """Judge the trial as of ``step``; a run that is repeated may have reported later ones."""
        study = self._trial.study
        seen = copy.copy(self._trial.storage.get_trial(self._trial._trial_id))
        seen.intermediate_values = {
            known: value for known, value in seen.intermediate_values.items() if known <= step
        }
        return study.pruner.prune(study, seen)
