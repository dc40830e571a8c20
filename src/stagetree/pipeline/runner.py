"""Runs a pipeline node by node: what the store has is replayed, the rest is computed once."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from stagetree.core.errors import TrialPruned
from stagetree.core.imports import large_imports
from stagetree.core.reporting import SEEDS, Reporter, RunInfo, StageInfo, StageOutcome
from stagetree.core.trials import StageRow
from stagetree.models.measure import asks_for_time, measure
from stagetree.pipeline.budget import Budget
from stagetree.pipeline.details import details
from stagetree.pipeline.execution import Execution
from stagetree.pipeline.needs import bring
from stagetree.pipeline.nodes import Node, Pipeline
from stagetree.pipeline.record import Record
from stagetree.pipeline.seeds import averaged
from stagetree.pipeline.store import Store, Work


@dataclass(frozen=True)
class PipelineResult:
    """A finished run.

    Attributes:
        by_seed: The objective, or each of several, with one seed after the other; one row when
            there are not several seeds.
        stages: What each stage gave, in order.
    """

    by_seed: tuple[tuple[float, ...], ...]
    stages: tuple[StageRow, ...]

    @property
    def values(self) -> tuple[float, ...]:
        """The mean over the seeds of the objective, or of each of several."""
        return tuple(fmean(values) for values in zip(*self.by_seed, strict=True))

    @property
    def deviations(self) -> tuple[float, ...]:
        """The sample standard deviation of each objective over the seeds; none without several."""
        if len(self.by_seed) < 2:
            return ()
        return tuple(stdev(values) for values in zip(*self.by_seed, strict=True))


def limit_threads(threads: int) -> None:
    """Let torch use this many CPU threads in this process."""
    with large_imports():
        import torch

    torch.set_num_threads(threads)


def run(
    pipeline: Pipeline,
    store: Store,
    cache: Path,
    reporter: Reporter,
    info: RunInfo,
    budget: Budget | None = None,
) -> PipelineResult:
    """Bring every stage's result into the store and return the objective's values.

    A stage whose signature the store knows is not run: its learning curve is told to the
    reporter again, so that whoever compares runs sees the same whether it was reused or not.
    After the last stage of each of several seeds ``SEEDS`` is told the objective with that seed.

    Args:
        pipeline: What to run.
        store: Where results are found and kept.
        cache: Directory for what may be recomputed at any time.
        reporter: Hears everything; may raise ``TrialPruned``.
        info: Who is running.
        budget: Makes room in the store, never at the cost of this run's own results.

    Raises:
        ConfigError: The last stage has no such metric as the objective names.
        TrialPruned: The reporter ended the run.
        TrialFailed: A loss or the objective is not a number.
        StoreError: The store cannot be written.
    """
    with store.using([node.signature for node in pipeline.nodes]):
        return _run(_Bringer(pipeline, store, cache, reporter, budget), pipeline, reporter, info)


def _run(bring: _Bringer, pipeline: Pipeline, reporter: Reporter, info: RunInfo) -> PipelineResult:
    reporter.run_started(info)
    rows: list[StageRow] = []
    by_seed: list[tuple[float, ...]] = []
    length = len(pipeline.nodes) // max(1, len(pipeline.seeds))
    try:
        bring.settle()
        for index, node in enumerate(pipeline.nodes):
            rows.append(bring(index, node))
            if len(rows) % length == 0:
                by_seed.append(pipeline.objective.values(rows[-length:]))
                _tell_seed(pipeline, by_seed, reporter)
    except BaseException as error:
        reporter.run_finished(_status(error), {"error": str(error), "stages": len(rows)})
        raise
    result = PipelineResult(tuple(by_seed), tuple(rows))
    reporter.run_finished("complete", _summary(result))
    return result


def _tell_seed(
    pipeline: Pipeline, by_seed: Sequence[tuple[float, ...]], reporter: Reporter
) -> None:
    """Tell of the last seed's objective, unless there is but the one seed."""
    if not pipeline.seeds:
        return
    total = len(pipeline.nodes)
    stage = StageInfo(SEEDS, SEEDS, index=total, total=total + 1, signature="")
    named = dict(zip(pipeline.objective.metrics, by_seed[-1], strict=True))
    reporter.evaluated(stage, len(by_seed) / len(pipeline.seeds), named)


def _summary(result: PipelineResult) -> dict[str, object]:
    """Return the last stage's metrics and the objective, means where there are several seeds."""
    found: dict[str, object] = {
        **averaged(result.stages)[-1].metrics,
        "value": _lone(result.values),
        "model_dir": result.stages[-1].model_dir,
    }
    return {**found, "std": _lone(result.deviations)} if result.deviations else found


def _lone(values: Sequence[float]) -> object:
    return values[0] if len(values) == 1 else list(values)


def _status(error: BaseException) -> str:
    if isinstance(error, TrialPruned):
        return "pruned"
    return "failed" if isinstance(error, Exception) else "interrupted"


class _Bringer:
    """Brings the result of one node after the other into the store."""

    def __init__(
        self,
        pipeline: Pipeline,
        store: Store,
        cache: Path,
        reporter: Reporter,
        budget: Budget | None,
    ) -> None:
        self._pipeline = pipeline
        self._store = store
        self._cache = cache
        self._reporter = reporter
        self._budget = budget
        self._ahead, self._told = bring(pipeline, store)

    def settle(self) -> None:
        """Make room in the store if it holds more than it may."""
        if self._budget is not None:
            self._budget.settle()

    def __call__(self, index: int, node: Node) -> StageRow:
        known = self._store.get(node.signature)
        if known is None and node.signature not in self._ahead:
            # nothing here starts from its model
            known = self._told.get(node.signature) or self._store.recall(node.signature)
        if known is not None:
            return self._replay(index, node, known)
        waiting = functools.partial(self._reporter.stage_waits, self._info(index, node))
        with self._store.open(node.signature, waiting) as work:
            if work.record is not None:  # another worker finished it while this one waited
                return self._replay(index, node, work.record)
            return self._compute(index, node, work)

    def _info(self, index: int, node: Node, *, reused: bool = False) -> StageInfo:
        total = len(self._pipeline.nodes) + bool(self._pipeline.seeds)
        return StageInfo(node.name, node.stage.kind, index, total, node.signature, reused)

    def _stage(self, index: int, node: Node, *, reused: bool) -> StageInfo:
        stage = self._info(index, node, reused=reused)
        self._reporter.stage_started(stage)
        return stage

    def _replay(self, index: int, node: Node, record: Record) -> StageRow:
        stage = self._stage(index, node, reused=True)
        self._store.offer(record)
        record = self._timed(record)
        for point in record.curve[:-1]:
            self._reporter.evaluated(stage, point["fraction"], point["metrics"])
        return self._finish(stage, node, record)

    def _timed(self, record: Record) -> Record:
        """Measure what a run left out that did not need it (``measure=needed``)."""
        place = self._store.model_dir(record.signature)
        if not self._pipeline.timed or asks_for_time(record.metrics) or not place.exists():
            return record
        found = _measured(self._store.readable(record))
        return dataclasses.replace(record, metrics={**record.metrics, **found})

    def _compute(self, index: int, node: Node, work: Work) -> StageRow:
        stage = self._stage(index, node, reused=False)
        execution = Execution(self._pipeline, node, stage, work, self._reporter, self._store)
        record = work.publish(execution.run(self._inputs(node), self._cache))
        self.settle()
        return self._finish(stage, node, record)

    def _inputs(self, node: Node) -> Mapping[str, Path]:
        pairs = zip(node.roles, node.inputs, strict=False)  # a model's revision has no role
        return {role: self._readable(signature) for role, signature in pairs}

    def _readable(self, signature: str) -> Path:
        record = self._store.get(signature)
        place = self._store.model_dir(signature)
        return place if record is None else self._store.readable(record)

    def _finish(self, stage: StageInfo, node: Node, record: Record) -> StageRow:
        """Tell of the last evaluation, which may end the trial, and of the stored result."""
        directory = self._store.model_dir(record.signature)
        task, data = self._pipeline.concern(node)
        behind = functools.partial(details, record, self._store, task, data)
        outcome = StageOutcome(record.metrics, record.seconds, directory, behind)
        try:
            for point in record.curve[-1:]:
                self._reporter.evaluated(stage, point["fraction"], point["metrics"])
        finally:
            self._reporter.stage_finished(stage, outcome)
        return StageRow(
            name=stage.name,
            kind=stage.kind,
            signature=record.signature,
            seconds=record.seconds,
            reused=stage.reused,
            model_dir=str(directory) if directory.exists() else "",
            metrics=record.metrics,
        )


@functools.cache
def _measured(place: Path) -> Mapping[str, float]:
    """Return what a stored result costs to ask; each result is asked once in a process."""
    return measure(place)
