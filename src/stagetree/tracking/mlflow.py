"""Mirrors runs to MLflow: one MLflow run a trial, one experiment a study."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import Fault
from stagetree.core.lease import Lease
from stagetree.tracking.base import TRACKERS
from stagetree.tracking.flat import flat_config
from stagetree.tracking.mirror import Mirror, MirrorConfig

if TYPE_CHECKING:
    from stagetree.core.reporting import RunInfo

_PARAMS = 100
_METRICS = 1000
"""The most that MLflow takes in one call."""

_RUN = "stagetree.run"
_STATUS = {"complete": "FINISHED", "pruned": "FINISHED", "interrupted": "KILLED"}

_experiments: dict[tuple[str, str], str] = {}
"""Ids of the experiments this process has used, by tracking URI and name."""

_lost: set[str] = set()
"""Where no run could be opened: a service that is away is waited for once a process."""


@dataclass
class MlflowConfig(MirrorConfig):
    """Options of the MLflow mirror.

    Attributes:
        tracking_uri: Server or database; by default what ``MLFLOW_TRACKING_URI`` says, else
            a SQLite database in ``mlflow`` below the project's root.
        experiment: Name of the experiment; by default the study's, ``stagetree`` outside.
        tags: Tags of every run.
        timeout: Seconds a server has to answer before the run goes on without it.
    """

    kind: str = "mlflow"
    tracking_uri: str | None = None
    experiment: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    timeout: int = 10


@TRACKERS.register("mlflow")
class MlflowTracker(Mirror):
    """Keeps configuration as parameters, series and final numbers as metrics, the end as status.

    A run that is interrupted is ``KILLED`` and taken up again by its next attempt; a pruned one
    is ``FINISHED`` with the tag ``status`` = ``pruned``.
    """

    kind = "mlflow"
    Config = MlflowConfig
    service = "MLflow"
    library = "mlflow"
    extra = "mlflow"

    def __init__(self, config: Any, root: Path) -> None:
        super().__init__(config, root)
        self._client: Any = None
        self._id = ""
        self._waiting: list[Any] = []
        self._sent = 0.0

    @classmethod
    def check(cls, config: Any) -> list[Fault]:
        """Return what is wrong with the options, and that the library is missing, if it is."""
        faults = super().check(config)
        if config.timeout < 1:
            message = f"expected at least 1 second but got {config.timeout}"
            faults.append(Fault("timeout", message))
        return faults

    def _open(self, run: RunInfo) -> bool:
        uri = self._uri()
        if uri in _lost:
            return False
        place = (uri, self.config.experiment or run.study or "stagetree")
        try:
            if place not in _experiments:
                with self._alone() if self._is_own(uri) else contextlib.nullcontext():
                    self._client = _connect(uri, self.config.timeout)
                    _experiments[place] = self._experiment(place[1])
            self._client = _connect(uri, self.config.timeout)
            self._id = self._begin(run, _experiments[place])
        except Exception as error:
            _lost.add(uri)
            raise ConnectionError(
                f"no run could be opened, nor will another one of this process be: {error}"
            ) from error
        return True

    def _log(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = time.time()
        self._sent = self._sent or now
        self._waiting += [
            Metric(key, float(value), int(now * 1000), step) for key, value in values.items()
        ]
        self._flush()

    def _flush(self) -> None:
        """Send what waits, not more often than ``step_seconds``: each call takes its time."""
        if time.time() - self._sent >= self.config.step_seconds:
            self._send()

    def _send(self, tags: Mapping[str, str] | None = None) -> None:
        from mlflow.entities import RunTag

        self._sent = time.time()
        metrics, self._waiting = self._waiting, []
        told = [RunTag(key, text) for key, text in (tags or {}).items()]
        for start in range(0, max(1, len(metrics)), _METRICS):
            part = metrics[start : start + _METRICS]
            self._client.log_batch(self._id, metrics=part, tags=told)
            told = []

    def _close(self, status: str, summary: Mapping[str, object]) -> None:
        tags = {"status": status, "reused": str(self.reused).lower()}
        tags |= {key: str(summary[key])[:5000] for key in ("model_dir", "error") if key in summary}
        self._send(tags)
        self._client.set_terminated(self._id, status=_STATUS.get(status, "FAILED"))

    def _alone(self) -> Lease:
        """Return the hold under which the database is made: two at once would break it."""
        directory = self.root / "mlflow"
        directory.mkdir(parents=True, exist_ok=True)
        return Lease(directory / "setup.lock")

    def _uri(self) -> str:
        given = self.config.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        return str(given) if given else self._own_uri()

    def _own_uri(self) -> str:
        # Workers write to one file; SQLite's own patience of five seconds is short for that.
        return f"sqlite:///{self.root.resolve() / 'mlflow' / 'mlflow.db'}?timeout=30"

    def _is_own(self, uri: str) -> bool:
        return uri == self._own_uri()

    def _experiment(self, name: str) -> str:
        """Return the id of an experiment, made if need be."""
        known = self._client.get_experiment_by_name(name)
        if known is None:
            try:
                return str(self._client.create_experiment(name, self._artifacts(name)))
            except Exception:
                known = self._client.get_experiment_by_name(name)
                if known is None:
                    raise  # it was not that another worker was faster
        return str(known.experiment_id)

    def _artifacts(self, experiment: str) -> str | None:
        """Return where files of a database of our own lie; a server says that itself."""
        if not self._is_own(self._uri()):
            return None
        return (self.root.resolve() / "mlflow" / "artifacts" / experiment).as_uri()

    def _begin(self, run: RunInfo, experiment: str) -> str:
        """Return the id of the run: that of its earlier attempt, or of a new one."""
        mark = _mark(run)
        found = self._client.search_runs([experiment], f"tags.`{_RUN}` = '{mark}'", max_results=1)
        if found:
            self._client.update_run(found[0].info.run_id, status="RUNNING")
            return str(found[0].info.run_id)
        tags = {**self.config.tags, _RUN: mark, "mlflow.note.content": run.command}
        tags |= {"study": run.study or "", "directory": str(run.directory), "status": "running"}
        created = self._client.create_run(experiment, tags=tags, run_name=run.name)
        self._describe(created.info.run_id, run)
        return str(created.info.run_id)

    def _describe(self, run_id: str, run: RunInfo) -> None:
        from mlflow.entities import Param

        known = [
            Param(key, str(value)[:6000])
            for key, value in flat_config(run.config, run.params).items()
        ]
        for start in range(0, len(known), _PARAMS):
            self._client.log_batch(run_id, params=known[start : start + _PARAMS])


def _connect(uri: str, timeout: int) -> Any:
    """Return a client that gives up in time, tells nobody of itself, and keeps quiet."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(timeout))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(uri)


def _mark(run: RunInfo) -> str:
    """Return the same text whenever the same run starts again."""
    text = "\n".join([run.study or "", str(run.number), str(run.directory.resolve())])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
