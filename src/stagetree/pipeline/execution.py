"""One stage being computed: its curve kept, its result scored, its record written."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import TrialFailed, TrialPruned
from stagetree.core.imports import large_imports
from stagetree.core.reporting import Reporter, StageInfo
from stagetree.pipeline import unfinished
from stagetree.pipeline.nodes import Node, Pipeline
from stagetree.pipeline.processes import Processes
from stagetree.pipeline.rank import Job
from stagetree.pipeline.record import Record
from stagetree.pipeline.shared import Shared
from stagetree.pipeline.store import Store, Work
from stagetree.stages.base import StageContext

if TYPE_CHECKING:
    from stagetree.training.forks import Trunks


class Execution:
    """Computes one node inside the work area that the store gave for it."""

    def __init__(
        self,
        pipeline: Pipeline,
        node: Node,
        stage: StageInfo,
        work: Work,
        reporter: Reporter,
        store: Store,
    ) -> None:
        self._pipeline = pipeline
        self._node = node
        self._stage = stage
        self._work = work
        self._reporter = reporter
        self._store = store
        self._sharing = Shared(store, pipeline, node, self._waits)
        self._pruned = work.scratch / unfinished.PRUNED
        self._curve: list[dict[str, Any]] = list(work.read_curve())
        self._earlier = self._curve[-1]["seconds"] if self._curve else 0.0
        self._start = self._idled = 0.0

    def run(self, inputs: Mapping[str, Path], cache: Path) -> Record:
        """Run the stage and return its record, its model directory filled and scored.

        The points of an interrupted earlier attempt are told to the reporter first.

        Raises:
            TrialPruned: The reporter ended the trial; who asks for this result again goes on
                from its last checkpoint.
        """
        from stagetree.data.load import load as load_corpus

        _import_heavy()
        self._pruned.unlink(missing_ok=True)
        self._start = time.perf_counter()
        try:
            for point in self._curve:
                self._tell(point["fraction"], point["metrics"])
            task, data = self._pipeline.concern(self._node)
            corpus = load_corpus(data)
            context = StageContext(
                name=self._node.key,
                inputs=inputs,
                output=self._work.output,
                scratch=self._work.scratch / "stage",
                cache=cache,
                model=self._pipeline.model,
                task=task,
                corpus=corpus,
                seed=self._node.seed,
                numerics=self._pipeline.numerics,
                stepped=self._stepped,
                evaluated=self._evaluated,
                sharing=self._sharing,
                trunks=self._trunks(),
            )
            context.scratch.mkdir(parents=True, exist_ok=True)
            self._compute(context)
            return self._record(context)
        except TrialPruned:
            self._leave()
            raise

    def _leave(self) -> None:
        """Keep the checkpoint of a pruned trial, as far as there is room."""
        if self._store.unfinished:
            self._pruned.touch()
            unfinished.trim(self._store.root, self._store.unfinished)
        else:
            shutil.rmtree(self._work.scratch / "stage", ignore_errors=True)

    def _trunks(self) -> Trunks | None:
        from stagetree.pipeline.trunks import StageTrunks

        if not self._store.unfinished:
            return None
        data, limit = self._pipeline.data_fingerprint, self._store.unfinished
        return StageTrunks(self._store.root, self._node, data, limit, self._idle)

    def _idle(self, seconds: float) -> None:
        """Leave time for which the stage waits for another worker out of its record."""
        self._idled += seconds
        self._waits(self._idled)

    def _waits(self, seconds: float) -> None:
        self._work.check()
        self._reporter.stage_waits(self._stage, seconds)

    def _compute(self, context: StageContext) -> None:
        """Run the stage here, or in several processes where it can share out its work."""
        node, resources = self._node, self._pipeline.resources
        resources.check_machine(torch_devices())
        count = resources.of(node.stage, node.config)
        if count == 1:
            node.stage.run(node.config, context)
            return
        job = Job(
            pipeline=self._pipeline,
            node=node,
            inputs=context.inputs,
            output=context.output,
            scratch=context.scratch,
            cache=context.cache,
            store=self._store,
        )
        logs = self._work.scratch / "processes"
        Processes(job, count, logs, self._stepped, self._evaluated, self._work.check).run()

    def _seconds(self) -> float:
        return float(self._earlier) + time.perf_counter() - self._start - self._idled

    def _stepped(self, step: int, total: int, logs: Mapping[str, float]) -> None:
        self._work.check()  # a worker that slept too long has a successor; leave it the work area
        self._reporter.stepped(self._stage, step, total, logs)

    def _evaluated(self, fraction: float, metrics: Mapping[str, float]) -> None:
        if self._curve and fraction <= self._curve[-1]["fraction"]:
            return  # an earlier attempt reported it
        plain = {name: float(value) for name, value in metrics.items()}
        point = {"fraction": fraction, "metrics": plain, "seconds": round(self._seconds(), 3)}
        if not all(math.isfinite(value) for value in plain.values()):
            raise TrialFailed(
                f"stage {self._node.name!r}: a metric is not finite at {fraction:.0%}: {plain}"
            )
        self._work.append_curve(point)
        self._curve.append(point)
        self._tell(fraction, plain)

    def _tell(self, fraction: float, metrics: Mapping[str, float]) -> None:
        """Tell of an evaluation; the last one is told of when the result lies in the store."""
        if fraction < 1.0:
            self._reporter.evaluated(self._stage, fraction, metrics)

    def _record(self, context: StageContext) -> Record:
        """Score the artefact as a user will open it, and write down how it came to be."""
        from stagetree.pipeline.environment import environment
        from stagetree.pipeline.scoring import score
        from stagetree.training.forks import forked

        found, costs = score(context, timed=self._pipeline.timed)
        scores = found.scores
        metrics = {**scores.metrics, **costs}
        if found.examples is not None:
            found.examples.write(self._work.examples)
        if not self._curve or self._curve[-1]["fraction"] < 1.0:
            self._evaluated(1.0, scores.metrics)
        node = self._node
        record = Record(
            signature=node.signature,
            kind=node.stage.kind,
            name=node.key,
            version=node.stage.VERSION,
            config=node.fields,
            inputs=list(node.inputs),
            data=self._pipeline.data_fingerprint,
            model=self._pipeline.model_revision,
            seed=node.seed,
            metrics={name: float(value) for name, value in metrics.items()},
            per_class={name: dict(row) for name, row in scores.per_class.items()},
            curve=list(self._curve),
            seconds=round(self._seconds(), 3),
            environment=environment(self._pipeline.numerics, Path.cwd()),
            forked=forked(context.scratch),
        )
        self._write_card(context, record)
        return record

    def _write_card(self, context: StageContext, record: Record) -> None:
        from stagetree.models import format as model_format
        from stagetree.pipeline.card import card

        manifest = model_format.read(context.output)
        text = card(self._pipeline, self._node, record, manifest, context.corpus)
        (context.output / model_format.CARD).write_text(text, encoding="utf-8")


def torch_devices() -> int:
    """Return how many GPUs this process sees."""
    import torch

    return torch.cuda.device_count()


def _import_heavy() -> None:
    """Import what every stage needs, so that the first stage of a process is not charged for it."""
    with large_imports():
        import stagetree.training.engine
        import stagetree.training.evaluation  # noqa: F401
