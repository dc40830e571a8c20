"""Mirrors runs to Weights & Biases: one W&B run a trial."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagetree.core.details import Details
from stagetree.tracking.base import TRACKERS, Tracker, TrackerConfig
from stagetree.tracking.flat import leaves, stage_key
from stagetree.tracking.pace import Pace, of_training
from stagetree.tracking.wandb_patience import PATIENCE, patience
from stagetree.tracking.wandb_run import close_run, driven, identity, open_run
from stagetree.tracking.wandb_session import Mode
from stagetree.tracking.wandb_study import log_model, study_identity, tell_study
from stagetree.tracking.wandb_tables import log_details

if TYPE_CHECKING:
    from stagetree.core.reporting import RunInfo, StageInfo, StageOutcome
    from stagetree.core.summary import StudySummary

log = logging.getLogger(__name__)

_COPYING = 120.0
"""Seconds that copying and hashing a model's files may take."""


@dataclass
class WandbConfig(TrackerConfig):
    """Options of the W&B mirror.

    Attributes:
        mode: ``auto`` is online with an API key and offline without; ``WANDB_MODE`` decides
            before that.
        project: W&B project.
        entity: W&B user or team; by default the account's own.
        group: Group of the runs; by default the name of the study.
        job_type: By default ``trial`` in a study and ``run`` outside.
        name: Displayed name; by default the run's own.
        tags: Tags of every run.
        dir: Directory that gets the folder ``wandb``; by default the project's root.
        init_timeout: Seconds the server has to answer before runs are kept offline.
        finish_timeout: Seconds the upload may go on after a run has ended; more where models are
            uploaded. What is not uploaded by then stays on disk for ``wandb sync``.
        step_seconds: Training steps are logged at most this often, in seconds.
        system_metrics: Whether W&B samples processor, memory and accelerator use.
        tables: Whether the last stage of a complete run brings its scores by class, its
            confusion matrix and its samples along.
        samples: How many validation examples the table of samples shows at most, with their
            text; 0: none.
        model: Whether the best trial's model, or that of a run outside a study, is uploaded as
            an artifact.
    """

    kind: str = "wandb"
    mode: Mode = Mode.auto
    project: str = "stagetree"
    entity: str | None = None
    group: str | None = None
    job_type: str | None = None
    name: str | None = None
    tags: list[str] = field(default_factory=list)
    dir: str | None = None
    init_timeout: float = 10.0
    finish_timeout: float = 10.0
    step_seconds: float = 2.0
    system_metrics: bool = False
    tables: bool = True
    samples: int = 50
    model: bool = False


@TRACKERS.register("wandb")
class WandbTracker(Tracker):
    """Mirrors a run to W&B, each stage on an axis of its own.

    Stage ``s`` logs ``s/<metric>`` over ``s/fraction``, so stages of different length and
    batch size can be compared; ``s@13`` logs as ``s_13``. Any fault of W&B is one warning, after
    which this mirror is off.
    """

    kind = "wandb"
    Config = WandbConfig

    def __init__(self, config: Any, root: Path) -> None:
        super().__init__(config, root)
        self._run: Any = None
        self._reused = False
        self._study: str | None = None
        self._last: StageOutcome | None = None
        self._pace = Pace(config.step_seconds)
        self._axes: set[str] = set()

    def run_started(self, run: RunInfo) -> None:
        """Open the W&B run."""
        self._study = run.study
        try:
            self._run = open_run(identity(run, self.config), self.config, self.root)
        except Exception as error:  # noqa: BLE001 - a mirror's fault never ends a run
            self._switch_off(error)

    def stage_started(self, stage: StageInfo) -> None:
        """Give the stage its own axis."""
        self._reused |= stage.reused
        self._pace.begin(stage)
        self._define_axis(stage_key(stage))

    def stepped(self, stage: StageInfo, step: int, total: int, logs: Mapping[str, float]) -> None:
        """Log training steps, not more often than ``step_seconds``."""
        if self._pace.due(stage, step, total):
            self._log(stage, step / max(total, 1), of_training(logs))

    def evaluated(self, stage: StageInfo, fraction: float, metrics: Mapping[str, float]) -> None:
        """Log validation metrics at their place on the stage's axis."""
        self._define_axis(stage_key(stage))  # not every stage that is told of was started
        self._log(stage, fraction, metrics)

    def stage_finished(self, stage: StageInfo, outcome: StageOutcome) -> None:
        """Put the stage's final metrics into the summary."""
        self._reused |= stage.reused
        prefix = stage_key(stage)
        final = {f"{prefix}/{key}": value for key, value in outcome.metrics.items()}
        final[f"{prefix}/seconds"] = outcome.seconds
        final[f"{prefix}/reused"] = stage.reused
        self._last = outcome
        self._tell(lambda run: run.summary.update(final))

    def run_finished(self, status: str, summary: Mapping[str, object]) -> None:
        """Close the W&B run; an interrupted one can be taken up again under the same id."""
        code = 0 if status in ("complete", "pruned") else 1
        if status == "complete" and self._run is not None and self._last is not None:
            self._show(self._last)
        self._tell(lambda run: self._conclude(run, status, summary))
        self._tell(lambda run: close_run(run, code, self.config), None)
        self._run = None

    def study_finished(self, summary: StudySummary) -> None:
        """Open a W&B run for the study, tell it everything, and close it."""
        try:
            self._run = open_run(study_identity(summary, self.config), self.config, self.root)
        except Exception as error:  # noqa: BLE001 - a mirror's fault never ends a search
            self._switch_off(error)
        if self._run is None:
            return
        importances = dict(summary.importances())
        self._tell(lambda run: tell_study(run, summary, importances))
        best = summary.best
        if self.config.model and best is not None and best.stages and best.stages[-1].model_dir:
            model = Path(best.stages[-1].model_dir)
            self._tell(lambda run: log_model(run, model, summary.name), _COPYING)
        self._tell(lambda run: close_run(run, 0, self.config), None)
        self._run = None

    def _define_axis(self, prefix: str) -> None:
        if prefix not in self._axes:
            self._axes.add(prefix)
            axis = f"{prefix}/fraction"
            self._tell(lambda run: run.define_metric(f"{prefix}/*", step_metric=axis))

    def _log(self, stage: StageInfo, fraction: float, values: Mapping[str, float]) -> None:
        prefix = stage_key(stage)
        row = {f"{prefix}/{key}": value for key, value in values.items()}
        row[f"{prefix}/fraction"] = fraction
        if stage.name in self._pace.steps:
            row[f"{prefix}/step"] = self._pace.steps[stage.name]
        self._tell(lambda run: run.log(row))

    def _conclude(self, run: Any, status: str, summary: Mapping[str, object]) -> None:
        """Say how the run ended, in its summary and its tags."""
        if isinstance(summary.get("value"), float):  # what sweeps of W&B look at is logged
            run.log({"value": summary["value"]})
        run.summary.update({"status": status, **dict(leaves(summary))})
        tags = [status] if status in ("pruned", "failed") else []
        if self._reused:
            tags.append("reused")
        if tags:
            run.tags = tuple(dict.fromkeys([*(run.tags or ()), *tags]))
        if status == "interrupted" and not driven():  # an agent ends what its sweep gave up
            run.mark_preempting()

    def _show(self, last: StageOutcome) -> None:
        """Log what lies behind the last stage's scores, and its model if that is wanted."""
        if self.config.tables:
            details = self._details(last)
            self._tell(lambda run: log_details(run, details))
        if self.config.model and self._study is None:
            self._tell(lambda run: log_model(run, last.model_dir, "run"), _COPYING)

    def _details(self, outcome: StageOutcome) -> Details:
        """Return what lies behind a result's scores, nothing where it cannot be worked out."""
        try:
            if outcome.details is not None:
                return outcome.details(self.config.samples)
        except Exception as error:  # noqa: BLE001 - say the data has gone since: the run is done
            log.warning("the tables of W&B are left out (%s: %s)", type(error).__name__, error)
        return Details({})

    def _tell(self, action: Callable[[Any], object], seconds: float | None = PATIENCE) -> None:
        """Do something with the W&B run, within so many seconds unless it sees to that itself."""
        if self._run is None:
            return
        try:
            if seconds is None:
                action(self._run)
            else:
                with patience(seconds, "answer"):
                    action(self._run)
        except Exception as error:  # noqa: BLE001 - a mirror's fault never ends a run
            self._switch_off(error)

    def _switch_off(self, error: Exception) -> None:
        self._run = None
        log.warning(
            "W&B failed (%s: %s); this run goes on without it, its local record is complete",
            type(error).__name__,
            error,
        )
