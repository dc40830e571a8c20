"""What trackers of services with whole-numbered axes share: the series they tell, and when."""

from __future__ import annotations

import importlib.util
import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import Fault
from stagetree.tracking.base import Tracker, TrackerConfig
from stagetree.tracking.flat import stage_key
from stagetree.tracking.pace import Pace, of_training

if TYPE_CHECKING:
    from pathlib import Path

    from stagetree.core.reporting import RunInfo, StageInfo, StageOutcome

log = logging.getLogger(__name__)


@dataclass
class MirrorConfig(TrackerConfig):
    """Options of trackers that tell series of numbers.

    Attributes:
        step_seconds: Training steps are logged at most this often, in seconds.
    """

    step_seconds: float = 2.0


class Mirror(Tracker):
    """Tells a service what a run does; a fault of the service is one warning, then it is left out.

    A stage ``s`` is two sets of series. ``s/<metric>`` lies over the stage's optimiser steps and
    is there when the stage ran here. ``s_by_percent/<metric>`` lies over whole percent of the
    stage's budget: it compares trials of different length and batch size, and is there of reused
    stages too. Numbers of the end are ``final/s.<metric>`` and ``objective/<metric>``.

    Attributes:
        service: Name of the service for messages.
        library: Module that must be installed.
        extra: Extra of this project that installs it.
    """

    service: ClassVar[str]
    library: ClassVar[str]
    extra: ClassVar[str]

    def __init__(self, config: Any, root: Path) -> None:
        super().__init__(config, root)
        self.reused = False
        self._on = False
        self._objectives: list[str] = []
        self._pace = Pace(config.step_seconds)

    @classmethod
    def check(cls, config: Any) -> list[Fault]:
        """Return that the library is missing, if it is."""
        if importlib.util.find_spec(cls.library) is not None:
            return []
        message = (
            f"{cls.service} needs the package {cls.library!r}, which is not installed: "
            f"pip install 'stagetree[{cls.extra}]', or choose tracker=none"
        )
        return [Fault("kind", message)]

    @abstractmethod
    def _open(self, run: RunInfo) -> bool:
        """Open the run at the service; return whether there is anything to tell it."""

    @abstractmethod
    def _log(self, values: Mapping[str, float], step: int) -> None:
        """Put values at ``step`` of their series."""

    @abstractmethod
    def _flush(self) -> None:
        """Make what was logged visible."""

    @abstractmethod
    def _close(self, status: str, summary: Mapping[str, object]) -> None:
        """End the run at the service."""

    def run_started(self, run: RunInfo) -> None:
        """Open the run."""
        self._objectives = _objectives(run)
        self._on = True
        self._tell(lambda: self._opened(run))

    def stage_started(self, stage: StageInfo) -> None:
        """Begin the stage's series."""
        self.reused |= stage.reused
        self._pace.begin(stage)

    def stepped(self, stage: StageInfo, step: int, total: int, logs: Mapping[str, float]) -> None:
        """Log training steps, not more often than ``step_seconds``."""
        if self._pace.due(stage, step, total):
            self._series(stage, step / max(total, 1), of_training(logs))

    def evaluated(self, stage: StageInfo, fraction: float, metrics: Mapping[str, float]) -> None:
        """Log validation metrics."""
        self._series(stage, fraction, metrics)

    def stage_finished(self, stage: StageInfo, outcome: StageOutcome) -> None:
        """Log the stage's final metrics and what it took."""
        self.reused |= stage.reused
        numbers = {**outcome.metrics, "seconds": outcome.seconds}
        prefix = f"final/{stage_key(stage)}"
        self._tell(lambda: self._log({f"{prefix}.{key}": n for key, n in numbers.items()}, 0))
        self._tell(self._flush)

    def run_finished(self, status: str, summary: Mapping[str, object]) -> None:
        """Log the objective and close the run."""
        values = self._objective(summary)
        if values:
            self._tell(lambda: self._log(values, 0))
        self._tell(lambda: self._close(status, summary))
        self._on = False

    def _opened(self, run: RunInfo) -> None:
        self._on = self._open(run)

    def _series(self, stage: StageInfo, fraction: float, values: Mapping[str, float]) -> None:
        key, percent = stage_key(stage), round(100 * fraction)
        named = {f"{key}_by_percent/{name}": value for name, value in values.items()}
        self._tell(lambda: self._log(named, percent))
        step = self._pace.steps.get(stage.name)
        if step is not None:
            stepwise = {f"{key}/{name}": value for name, value in values.items()}
            self._tell(lambda: self._log(stepwise, step))

    def _objective(self, summary: Mapping[str, object]) -> dict[str, float]:
        """Return the objectives, and their spread over seeds, by the names of their series."""
        found: dict[str, float] = {}
        for field, ending in (("value", ""), ("std", ".std")):
            value = summary.get(field)
            numbers = value if isinstance(value, list | tuple) else [value]
            for name, number in zip(self._objectives, numbers, strict=False):
                if isinstance(number, int | float):
                    found[f"objective/{name}{ending}"] = float(number)
        return found

    def _tell(self, action: Callable[[], object]) -> None:
        if not self._on:
            return
        try:
            action()
        except Exception as error:  # noqa: BLE001 - a mirror's fault never ends a run
            self._on = False
            log.warning(
                "%s failed (%s: %s); this run goes on without it, its local record is complete",
                self.service,
                type(error).__name__,
                error,
            )


def _objectives(run: RunInfo) -> list[str]:
    """Return the names of a run's objectives; a run of another app has one called ``value``."""
    section = run.config.get("objective")
    metric = section.get("metric") if isinstance(section, Mapping) else None
    if not metric:
        return ["value"]
    return [str(name) for name in metric] if isinstance(metric, list | tuple) else [str(metric)]
