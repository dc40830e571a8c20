"""What computing a stage takes, estimated from what others like it took."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stagetree.pipeline.nodes import Node, Pipeline
from stagetree.pipeline.record import Record


@dataclass(frozen=True)
class Cost:
    """What something takes.

    Attributes:
        seconds: Time, for one worker.
        bytes: Disk.
    """

    seconds: float
    bytes: float


class Costs:
    """Estimates from past results.

    An estimate is the mean over the results of the same kind, computed by as many processes if
    there are any: those of the same data and model if there are any, else those of the same data,
    else all. Training time is taken to grow with
    the examples seen, ``epochs`` times training rows or ``max_steps`` times ``batch_size``,
    where both sides say how many; rows are known where ``data.max_train`` limits them. Loading,
    scoring and evaluating are not told apart from training, so an estimate from a run of very
    different length is rough.

    Args:
        records: Past results.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._by_kind: dict[str, list[Record]] = {}
        self._alike: dict[tuple[str, str, str, str], list[Record]] = {}
        for record in records:
            self._by_kind.setdefault(record.kind, []).append(record)

    def of(self, pipeline: Pipeline, node: Node) -> Cost | None:
        """Return the estimate for a stage; ``None`` when its kind was never computed."""
        known = self._by_kind.get(node.stage.kind)
        if not known:
            return None
        processes = str(node.fields.get("processes", 1))
        like = (node.stage.kind, pipeline.data_fingerprint, pipeline.model_revision, processes)
        if like not in self._alike:
            self._alike[like] = _alike(_as_many(known, node), pipeline)
        alike = self._alike[like]
        return Cost(
            statistics.fmean(
                record.seconds * _longer(node.fields, record, pipeline) for record in alike
            ),
            statistics.fmean(record.bytes for record in alike),
        )

    def mean(self, examples: Sequence[tuple[Pipeline, Node]]) -> Cost | None:
        """Return the mean over several stages; ``None`` when one of them has no estimate."""
        costs = [self.of(pipeline, node) for pipeline, node in examples]
        known = [cost for cost in costs if cost is not None]
        if len(known) < len(costs):
            return None
        return Cost(
            statistics.fmean(cost.seconds for cost in known),
            statistics.fmean(cost.bytes for cost in known),
        )


def _as_many(records: list[Record], node: Node) -> list[Record]:
    """Return those computed by as many processes as a stage would be, or all if there are none."""
    wanted = node.fields.get("processes", 1)
    return [record for record in records if record.config.get("processes", 1) == wanted] or records


def _alike(records: list[Record], pipeline: Pipeline) -> list[Record]:
    data = [record for record in records if record.data == pipeline.data_fingerprint]
    model = [record for record in data if record.model == pipeline.model_revision]
    return model or data or records


def _longer(fields: Mapping[str, Any], record: Record, pipeline: Pipeline) -> float:
    """Return how many times as long as in a past result a stage trains."""
    same_data = record.data == pipeline.data_fingerprint
    wanted = _examples(fields, pipeline.data.max_train)
    seen = _examples(record.config, pipeline.data.max_train if same_data else None)
    if wanted and seen:
        return wanted / seen
    limited = fields.get("max_steps") or record.config.get("max_steps")
    epochs, before = fields.get("epochs"), record.config.get("epochs")
    return float(epochs) / float(before) if same_data and epochs and before and not limited else 1.0


def _examples(fields: Mapping[str, Any], rows: int | None) -> float | None:
    """Return how many training examples a stage sees, if that can be told."""
    known: list[float] = []
    if fields.get("max_steps"):
        known.append(fields["max_steps"] * fields.get("batch_size", 1))
    if rows and fields.get("epochs"):
        known.append(fields["epochs"] * rows)
    return min(known, default=None)
