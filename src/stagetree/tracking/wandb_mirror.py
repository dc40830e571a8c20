"""Mirrors runs to Weights & Biases: one W&B run a trial."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stagetree.tracking.base import TRACKERS, Tracker, TrackerConfig
from stagetree.tracking.wandb_file import wait_until_whole
from stagetree.tracking.wandb_session import Mode, fall_back, resolve, restart_service

if TYPE_CHECKING:
    from stagetree.core.reporting import RunInfo, StageInfo, StageOutcome

log = logging.getLogger(__name__)


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
        finish_timeout: Seconds the upload may go on after a run has ended.
        step_seconds: Training steps are logged at most this often, in seconds.
        system_metrics: Whether W&B samples processor, memory and accelerator use.
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
    finish_timeout: float = 60.0
    step_seconds: float = 2.0
    system_metrics: bool = False


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
        self._steps: dict[str, int] = {}
        self._logged: dict[str, float] = {}
        self._axes: set[str] = set()

    def run_started(self, run: RunInfo) -> None:
        """Open the W&B run."""
        try:
            self._run = self._open(run)
        except Exception as error:  # noqa: BLE001 - a mirror's fault never ends a run
            self._switch_off(error)

    def stage_started(self, stage: StageInfo) -> None:
        """Give the stage its own axis."""
        self._reused |= stage.reused
        self._logged.pop(stage.name, None)
        self._define_axis(_key(stage))

    def stepped(self, stage: StageInfo, step: int, total: int, logs: Mapping[str, float]) -> None:
        """Log training steps, not more often than ``step_seconds``."""
        self._steps[stage.name] = step
        now = time.monotonic()
        last = self._logged.get(stage.name)
        if last is not None and now - last < self.config.step_seconds and step < total:
            return
        self._logged[stage.name] = now
        named = {("train_loss" if key == "loss" else key): value for key, value in logs.items()}
        self._log(stage, step / max(total, 1), named)

    def evaluated(self, stage: StageInfo, fraction: float, metrics: Mapping[str, float]) -> None:
        """Log validation metrics at their place on the stage's axis."""
        self._define_axis(_key(stage))  # not every stage that is told of was started
        self._log(stage, fraction, metrics)

    def stage_finished(self, stage: StageInfo, outcome: StageOutcome) -> None:
        """Put the stage's final metrics into the summary."""
        self._reused |= stage.reused
        prefix = _key(stage)
        final = {f"{prefix}/{key}": value for key, value in outcome.metrics.items()}
        final[f"{prefix}/seconds"] = outcome.seconds
        final[f"{prefix}/reused"] = stage.reused
        self._tell(lambda run: run.summary.update(final))

    def run_finished(self, status: str, summary: Mapping[str, object]) -> None:
        """Close the W&B run; an interrupted one can be taken up again under the same id."""
        self._tell(lambda run: self._close(run, status, summary))
        self._run = None

    def _open(self, run: RunInfo) -> Any:
        mode = resolve(_mode(self.config.mode), self.config.init_timeout)
        if mode is Mode.disabled:
            return None
        directory = _writable(Path(self.config.dir) if self.config.dir else self.root)
        try:
            return self._init(run, directory, "online" if mode is Mode.online else "offline")
        except Exception as error:  # noqa: BLE001 - W&B's service may have died, or be stuck
            if mode is Mode.online:
                fall_back(error)
            restart_service()
            return self._init(run, directory, "offline")

    def _init(self, run: RunInfo, directory: Path, mode: Literal["online", "offline"]) -> Any:
        import wandb

        config = self.config
        return wandb.init(
            project=config.project,
            entity=config.entity,
            group=config.group or run.study,
            job_type=config.job_type or ("trial" if run.study else "run"),
            name=config.name or run.name,
            notes=run.command or None,
            tags=list(config.tags),
            config=_flat_config(run),
            dir=str(directory),
            mode=mode,
            id=_run_id(run),
            resume="allow",
            reinit="finish_previous",
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_code=True,
                init_timeout=config.init_timeout,
                finish_timeout=config.finish_timeout,
                x_disable_stats=not config.system_metrics,
                x_save_requirements=False,
            ),
        )

    def _define_axis(self, prefix: str) -> None:
        if prefix not in self._axes:
            self._axes.add(prefix)
            axis = f"{prefix}/fraction"
            self._tell(lambda run: run.define_metric(f"{prefix}/*", step_metric=axis))

    def _log(self, stage: StageInfo, fraction: float, values: Mapping[str, float]) -> None:
        prefix = _key(stage)
        row = {f"{prefix}/{key}": value for key, value in values.items()}
        row[f"{prefix}/fraction"] = fraction
        if stage.name in self._steps:
            row[f"{prefix}/step"] = self._steps[stage.name]
        self._tell(lambda run: run.log(row))

    def _close(self, run: Any, status: str, summary: Mapping[str, object]) -> None:
        run.summary.update({"status": status, **dict(_flat(summary))})
        tags = [status] if status in ("pruned", "failed") else []
        if self._reused:
            tags.append("reused")
        if tags:
            run.tags = tuple(dict.fromkeys([*(run.tags or ()), *tags]))
        if status == "interrupted":
            run.mark_preempting()
        run.finish(exit_code=0 if status in ("complete", "pruned") else 1)
        if run.offline:
            wait_until_whole(Path(run.dir).parent / f"run-{run.id}.wandb")

    def _tell(self, action: Callable[[Any], object]) -> None:
        if self._run is None:
            return
        try:
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


def _key(stage: StageInfo) -> str:
    """Return a stage's name as W&B can sort and filter by: it takes letters, digits and ``_``."""
    return stage.name.replace("@", "_")


def _mode(value: Mode | str) -> Mode:
    return value if isinstance(value, Mode) else Mode(value)


def _run_id(run: RunInfo) -> str:
    """Return the same id whenever the same run starts again."""
    text = "\n".join([run.study or "", str(run.number), str(run.directory.resolve())])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _flat_config(run: RunInfo) -> dict[str, object]:
    """Return the configuration under the names a person sees, e.g. ``finetune.epochs``."""
    flat = {key.removeprefix("stages."): value for key, value in _flat(run.config)}
    return flat | {key: _plain(value) for key, value in run.params.items()}


def _flat(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _plain(value)


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.name
    return str(value) if isinstance(value, Path) else value


def _writable(directory: Path) -> Path:
    """Return the directory, made if need be; W&B would move to a temporary one in silence.

    Raises:
        OSError: Nothing can be written there.
    """
    folder = directory / "wandb"
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"expected a writable directory but got {folder}")
    return directory.resolve()
