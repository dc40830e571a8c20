"""The local record of a run: the truth that every other tracker mirrors."""

from __future__ import annotations

import dataclasses
import enum
import json
import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stagetree.core.reporting import Reporter, RunInfo, StageInfo, StageOutcome

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

RECORD = "record.jsonl"
SUMMARY = "summary.json"


class LocalRecord(Reporter):
    """Appends every event of a run to ``record.jsonl`` and ends with ``summary.json``.

    Each event is one line, handed to the operating system in one write the moment it happens,
    so a killed process loses at most the line it was writing. A run that starts again in the
    same directory appends, with the next attempt number. A disk that fails is one warning; the
    run goes on.
    """

    def __init__(self) -> None:
        self._directory: Path | None = None
        self._run: RunInfo | None = None
        self._attempt = 1
        self._started = 0.0
        self._stages: list[dict[str, object]] = []
        self._mend = False
        self._warned = False
        self._waiting: str | None = None

    def run_started(self, run: RunInfo) -> None:
        """Begin, or go on with, the record in ``run.directory``."""
        self._run, self._directory = run, run.directory
        self._started = time.monotonic()
        try:
            run.directory.mkdir(parents=True, exist_ok=True)
            earlier = read(run.directory)
            self._attempt = 1 + sum(event.get("event") == "run_started" for event in earlier)
            self._mend = _torn(run.directory / RECORD)
        except OSError as error:
            self._warn(error)
        self._write(
            "run_started",
            attempt=self._attempt,
            name=run.name,
            study=run.study,
            number=run.number,
            config=run.config,
            overrides=run.overrides,
            params=run.params,
            command=run.command,
        )

    def stage_waits(self, stage: StageInfo, seconds: float) -> None:
        """Write ``stage_waits`` when a stage begins to wait for another worker."""
        if self._waiting != stage.signature:
            self._waiting = stage.signature
            self._write("stage_waits", name=stage.name, signature=stage.signature)

    def stage_started(self, stage: StageInfo) -> None:
        """Write ``stage_started``."""
        self._write("stage_started", **dataclasses.asdict(stage))

    def evaluated(self, stage: StageInfo, fraction: float, metrics: Mapping[str, float]) -> None:
        """Write ``evaluated``."""
        self._write(
            "evaluated",
            stage=stage.name,
            fraction=fraction,
            metrics=metrics,
            reused=stage.reused,
        )

    def stage_finished(self, stage: StageInfo, outcome: StageOutcome) -> None:
        """Write ``stage_finished``."""
        finished: dict[str, object] = {
            "name": stage.name,
            "kind": stage.kind,
            "signature": stage.signature,
            "reused": stage.reused,
            "seconds": outcome.seconds,
            "model_dir": str(outcome.model_dir),
            "metrics": dict(outcome.metrics),
        }
        self._stages.append(finished)
        self._write("stage_finished", **finished)

    def run_finished(self, status: str, summary: Mapping[str, object]) -> None:
        """Write ``run_finished`` and, in one piece, ``summary.json``."""
        self._write("run_finished", status=status, attempt=self._attempt, summary=summary)
        if self._run is None:
            return
        content = {
            "status": status,
            "attempt": self._attempt,
            "name": self._run.name,
            "study": self._run.study,
            "number": self._run.number,
            "params": self._run.params,
            "command": self._run.command,
            "seconds": round(time.monotonic() - self._started, 3),
            "finished": _now(),
            "stages": self._stages,
            "summary": summary,
        }
        try:
            _replace(self._run.directory / SUMMARY, _json(content, indent=2) + "\n")
        except OSError as error:
            self._warn(error)

    def _write(self, event: str, **fields: object) -> None:
        if self._directory is None:
            return
        line = (_json({"time": _now(), "event": event, **fields}) + "\n").encode()
        if self._mend:
            line = b"\n" + line
        try:
            self._mend = not _append(self._directory / RECORD, line)
        except OSError as error:
            self._warn(error)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "the record in %s cannot be written (%s); the run goes on, its record will have "
                "gaps. Free some space or check the directory's permissions",
                self._directory,
                error,
            )


def read(directory: Path) -> list[dict[str, object]]:
    """Return the events recorded in a run's directory, oldest first.

    A line that a killed writer left unfinished is left out; a directory without a record gives
    an empty list. Numbers that are not finite come back as the strings ``NaN``, ``Infinity``
    and ``-Infinity``, which ``float`` understands.

    Raises:
        OSError: The record exists but cannot be read.
    """
    try:
        lines = (directory / RECORD).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [event for line in lines if (event := _event(line)) is not None]


def _event(line: bytes) -> dict[str, object] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _torn(path: Path) -> bool:
    """Return whether the file ends in the middle of a line."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            if file.tell() == 0:
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except FileNotFoundError:
        return False


def _append(path: Path, line: bytes) -> bool:
    """Append in one write and return whether all of it fitted.

    Raises:
        OSError: Nothing, or not everything, was written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        written = os.write(descriptor, line)
    finally:
        os.close(descriptor)
    if written < len(line):
        raise OSError(f"only {written} of {len(line)} bytes fitted on the disk")
    return True


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(value: object, indent: int | None = None) -> str:
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _plain(value: object) -> object:
    """Return ``value`` in JSON's types; what has none becomes text rather than an error."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    return _plain_scalar(value)


def _plain_scalar(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _not_finite(value)
    if hasattr(value, "item"):  # a number of numpy or torch
        return _plain(value.item())
    return str(value)


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
