"""Progress of a run on the console, always on standard error."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from stagetree.core.numbers import short
from stagetree.core.reporting import Reporter, RunInfo, StageInfo, StageOutcome
from stagetree.report.numbers import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.progress import TaskID

_WAITS = "waits for another worker that computes what it needs"


class ConsoleProgress(Reporter):
    """Shows where a run is.

    On a terminal a bar shows stage, step, remaining time, loss and metric, and log messages
    scroll above it. Elsewhere there is one line when a stage starts, ends or is reused and one
    an evaluation.
    """

    def __init__(
        self,
        metric: str | None = None,
        *,
        silent: bool = False,
        brief: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        """Prepare; nothing is shown before the first stage.

        Args:
            metric: Name of the metric to show; by default the first one that is reported.
            silent: Show nothing.
            brief: Draw no bar and say only which stages were computed, and for which trial: for
                one of several workers that share a terminal.
            stream: Where to write; by default standard error as it is when a stage starts.
        """
        self._metric = metric
        self._silent = silent
        self._brief = brief
        self._trial = ""
        self._stream = stream
        self._bar: _Bar | None = None
        self._waiting: str | None = None

    def run_started(self, run: RunInfo) -> None:
        """Remember which trial this is."""
        self._trial = f"trial {run.number}  " if self._brief and run.number is not None else ""

    def stage_waits(self, stage: StageInfo, seconds: float) -> None:
        """Say once that a stage waits."""
        if self._waiting == stage.signature:
            return
        self._waiting = stage.signature
        if self._bar is not None:
            self._bar.wait()
        else:
            self._say(f"{self._trial}{_label(stage)}  {_WAITS}")

    def stage_started(self, stage: StageInfo) -> None:
        """Show that a stage starts; a reused one is told of when it is done."""
        self._close()
        if self._silent or self._brief or stage.reused:
            return
        stream = self._stream or sys.stderr
        if stream.isatty():
            self._bar = _Bar(stage, stream)
        else:
            self._say(f"{_label(stage)}  starts")

    def stepped(self, stage: StageInfo, step: int, total: int, logs: Mapping[str, float]) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.step(step, total, logs)

    def evaluated(self, stage: StageInfo, fraction: float, metrics: Mapping[str, float]) -> None:
        """Show the metric and the loss."""
        if self._silent or self._brief or stage.reused:
            return
        shown = self._choose(metrics)
        if self._bar is not None:
            self._bar.evaluate(fraction, shown)
        else:
            self._say(f"{_label(stage)}  {fraction:4.0%}  {shown}".rstrip())

    def stage_finished(self, stage: StageInfo, outcome: StageOutcome) -> None:
        """Say what a stage gave and what it cost."""
        self._close()
        if self._brief and stage.reused:
            return
        spent = duration(outcome.seconds)
        how = f"reused, {spent} saved" if stage.reused else f"done in {spent}"
        self._say(f"{self._trial}{_label(stage)}  {how}  {self._choose(outcome.metrics)}".rstrip())

    def run_finished(self, status: str, summary: Mapping[str, object]) -> None:
        """Take the bar away."""
        self._close()

    def _choose(self, metrics: Mapping[str, float]) -> str:
        first = self._metric if self._metric in metrics else None
        first = first or next((name for name in metrics if name != "loss"), None)
        names = [name for name in (first, "loss") if name is not None and name in metrics]
        return "  ".join(f"{name} {_three(metrics[name])}" for name in names)

    def _say(self, line: str) -> None:
        if self._silent:
            return
        stream = self._stream or sys.stderr
        with contextlib.suppress(OSError, ValueError):  # a closed standard error ends no run
            stream.write(line + "\n")
            stream.flush()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _Bar:
    """The progress bar of one stage, with log messages kept above it."""

    def __init__(self, stage: StageInfo, stream: TextIO) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[step]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[news]}", markup=False),
            console=Console(file=stream),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task: TaskID = self._progress.add_task(_label(stage), total=1.0, step="", news="")
        self._loss = ""
        self._scores = ""
        self._open = contextlib.ExitStack()
        self._open.enter_context(self._progress)
        self._open.enter_context(_logs_above())

    def step(self, step: int, total: int, logs: Mapping[str, float]) -> None:
        if "loss" in logs:
            self._loss = f"train loss {_three(logs['loss'])}"
        done = step / max(total, 1)
        self._update(completed=done, step=f"{step}/{total}")

    def evaluate(self, fraction: float, scores: str) -> None:
        self._scores = scores
        self._update(completed=fraction)

    def wait(self) -> None:
        self._progress.update(self._task, news=_WAITS)

    def close(self) -> None:
        self._open.close()

    def _update(self, **fields: Any) -> None:
        news = "  ".join(part for part in (self._scores, self._loss) if part)
        self._progress.update(self._task, news=news, **fields)


@contextlib.contextmanager
def _logs_above() -> Iterator[None]:
    """Send log handlers that write to the terminal through the bar's own streams meanwhile.

    The handlers were made before the bar and hold the bare streams, whose text would tear it.
    """
    bare = {sys.__stdout__: sys.stdout, sys.__stderr__: sys.stderr}
    moved: list[tuple[logging.StreamHandler[Any], Any]] = []
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream in bare:
            moved.append((handler, handler.stream))
            handler.setStream(bare[handler.stream])
    try:
        yield
    finally:
        for handler, stream in moved:
            handler.setStream(stream)


def _label(stage: StageInfo) -> str:
    return f"[{stage.index + 1}/{stage.total}] {stage.name}"


def _three(value: float) -> str:
    return f"{value:.3f}" if 0.001 <= abs(value) < 100 else short(float(value))
