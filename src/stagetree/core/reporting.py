"""What happens in a run, told to whoever listens: trackers, progress bars, the pruner."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stagetree.core.details import Details

SEEDS = "seeds"
"""Name of the stage in which a run over several seeds reports each seed's objective."""


@dataclass(frozen=True)
class RunInfo:
    """A run as trackers see it.

    Attributes:
        name: Short name, e.g. ``ner_tpe/7``.
        directory: The run's own directory; the local record is written there.
        config: The resolved configuration as plain nested mappings.
        overrides: What the user (or the sampler) set, as Hydra overrides.
        study: Name of the study, or ``None`` outside a search.
        number: The trial's number in its study, or ``None`` outside a search.
        params: Sampled hyperparameters by displayed name.
        command: A command line that runs the same again.
    """

    name: str
    directory: Path
    config: Mapping[str, object]
    overrides: Sequence[str] = ()
    study: str | None = None
    number: int | None = None
    params: Mapping[str, object] = field(default_factory=dict)
    command: str = ""


@dataclass(frozen=True)
class StageInfo:
    """A stage about to run (or to be reused).

    Attributes:
        name: Its name in the pipeline.
        kind: Its kind.
        index: Its place in the pipeline, from 0.
        total: How many stages the pipeline has.
        signature: Signature of its result.
        reused: Whether the result comes from the store.
    """

    name: str
    kind: str
    index: int
    total: int
    signature: str
    reused: bool = False


@dataclass(frozen=True)
class StageOutcome:
    """A finished stage.

    Attributes:
        metrics: Final metrics, e.g. ``f1``, ``parameters``, ``bytes``, ``latency_ms``.
        seconds: What computing it took, whenever that was.
        model_dir: The directory ``models.load`` opens.
        details: Works out what lies behind the scores, with at most so many samples; ``None``
            where nobody knows. It reads the validation data, so ask only for what is shown.
    """

    metrics: Mapping[str, float]
    seconds: float
    model_dir: Path
    details: Callable[[int], Details] | None = field(default=None, compare=False, repr=False)


class Reporter:
    """Listens to a run. Every moment is one method; each does nothing unless overridden.

    ``evaluated`` may raise :class:`~stagetree.core.errors.TrialPruned`; the others must not
    raise for reasons of their own (a tracker's fault is a warning).
    """

    def run_started(self, run: RunInfo) -> None:
        """Be told once, before the first stage."""

    def stage_waits(self, stage: StageInfo, seconds: float) -> None:
        """Be told, time and again, for how long it has waited for what another worker computes."""

    def stage_started(self, stage: StageInfo) -> None:
        """Be told when a stage begins to run, or is about to be replayed from the store."""

    def stepped(self, stage: StageInfo, step: int, total: int, logs: Mapping[str, float]) -> None:
        """Be told after optimiser step ``step`` of ``total``; cheap, and not for every step."""

    def evaluated(self, stage: StageInfo, fraction: float, metrics: Mapping[str, float]) -> None:
        """Be told the validation metrics at ``fraction`` (0..1] of the stage's budget."""

    def stage_finished(self, stage: StageInfo, outcome: StageOutcome) -> None:
        """Be told when a stage's result lies in the store."""

    def run_finished(self, status: str, summary: Mapping[str, object]) -> None:
        """Be told once at the end: ``complete``, ``pruned``, ``failed`` or ``interrupted``."""


class Reporters(Reporter):
    """Passes every moment on to several reporters, in order.

    Put those that may raise (the pruner) last, so that the others have heard the news.
    """

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self.reporters = tuple(reporters)

    def run_started(self, run: RunInfo) -> None:
        """See :meth:`Reporter.run_started`."""
        for reporter in self.reporters:
            reporter.run_started(run)

    def stage_waits(self, stage: StageInfo, seconds: float) -> None:
        """See :meth:`Reporter.stage_waits`."""
        for reporter in self.reporters:
            reporter.stage_waits(stage, seconds)

    def stage_started(self, stage: StageInfo) -> None:
        """See :meth:`Reporter.stage_started`."""
        for reporter in self.reporters:
            reporter.stage_started(stage)

    def stepped(self, stage: StageInfo, step: int, total: int, logs: Mapping[str, float]) -> None:
        """See :meth:`Reporter.stepped`."""
        for reporter in self.reporters:
            reporter.stepped(stage, step, total, logs)

    def evaluated(self, stage: StageInfo, fraction: float, metrics: Mapping[str, float]) -> None:
        """See :meth:`Reporter.evaluated`."""
        for reporter in self.reporters:
            reporter.evaluated(stage, fraction, metrics)

    def stage_finished(self, stage: StageInfo, outcome: StageOutcome) -> None:
        """See :meth:`Reporter.stage_finished`."""
        for reporter in self.reporters:
            reporter.stage_finished(stage, outcome)

    def run_finished(self, status: str, summary: Mapping[str, object]) -> None:
        """See :meth:`Reporter.run_finished`."""
        for reporter in self.reporters:
            reporter.run_finished(status, summary)


@dataclass(frozen=True)
class TrialContext:
    """The trial that the current code runs in, set by a search worker.

    Attributes:
        study: Name of the study.
        number: The trial's number.
        params: Its hyperparameters by displayed name.
        reporter: Hears the run; its ``evaluated`` raises ``TrialPruned`` when the trial is cut.
    """

    study: str
    number: int
    params: Mapping[str, object]
    reporter: Reporter


_current: contextvars.ContextVar[TrialContext | None] = contextvars.ContextVar(
    "stagetree_trial", default=None
)


def current_trial() -> TrialContext | None:
    """Return the trial this code runs in, or ``None`` outside a search."""
    return _current.get()


@contextlib.contextmanager
def trial_context(context: TrialContext) -> Iterator[TrialContext]:
    """Make ``context`` the current trial inside the block."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)


def report(metrics: Mapping[str, float], fraction: float, stage: str = "main") -> None:
    """Report validation metrics from any Hydra app that stagetree's sweeper runs.

    Outside a search this does nothing.

    Args:
        metrics: The metrics; the study's objective is looked up in them.
        fraction: How far the stage is, in (0, 1].
        stage: Name of the stage; trials are compared stage by stage.

    Raises:
        TrialPruned: The trial is not worth going on with.
    """
    trial = current_trial()
    if trial is not None:
        info = StageInfo(name=stage, kind=stage, index=0, total=1, signature="")
        trial.reporter.evaluated(info, fraction, metrics)
