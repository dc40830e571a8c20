"""What computing a stage takes, estimated from what others like it took."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stagetree.pipeline.nodes import Node, Pipeline
from stagetree.pipeline.record import Record

if TYPE_CHECKING:
    from stagetree.pipeline.regression import LogRegression


MOSTLY = 1.2816
"""So many standard deviations either side hold four of five outcomes."""

APART = 0.7
"""Standard deviation of log seconds between data sets or models, as far as nothing is known."""


@dataclass(frozen=True)
class Cost:
    """What something takes.

    Attributes:
        seconds: Time, for one worker.
        bytes: Disk.
        deviation: Standard deviation of the logarithm of the seconds.
    """

    seconds: float
    bytes: float
    deviation: float = field(default=0.0, compare=False)

    @property
    def low(self) -> float:
        """Seconds that one time of ten is enough."""
        return self.seconds * math.exp(-MOSTLY * self.deviation)

    @property
    def high(self) -> float:
        """Seconds that nine times of ten are enough."""
        return self.seconds * math.exp(MOSTLY * self.deviation)


def together(costs: Iterable[tuple[str, int, Cost]]) -> Cost:
    """Return what several things take.

    Args:
        costs: Kind, number and cost of each. If one takes longer than thought, all of its kind
            are taken to; errors of different kinds have no common cause.
    """
    seconds, size = 0.0, 0.0
    errors: dict[str, float] = {}
    for kind, count, cost in costs:
        seconds += count * cost.seconds
        size += count * cost.bytes
        errors[kind] = errors.get(kind, 0.0) + count * cost.seconds * cost.deviation
    return Cost(seconds, size, math.hypot(*errors.values()) / seconds if seconds else 0.0)


class Costs:
    """Estimates from past results.

    Where an estimate starts from is the mean over the results of the same kind, computed by as
    many processes if there are any: those of the same data and model if there are any, else those
    of the same data, else all. Training time is taken to grow with the examples seen, ``epochs``
    times training rows or ``max_steps`` times ``batch_size``, where both sides say how many; rows
    are known where ``data.max_train`` limits them. What this rule cannot know (what a run takes
    however short it is, what longer sequences or other batches cost) is learnt from how the
    results of the kind, of every data set, model and machine, deviate from it; see
    :class:`~stagetree.pipeline.regression.LogRegression`.

    Args:
        records: Past results.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._by_kind: dict[str, list[Record]] = {}
        self._models: dict[tuple[Any, ...], LogRegression] = {}
        for record in records:
            self._by_kind.setdefault(record.kind, []).append(record)

    def of(self, pipeline: Pipeline, node: Node) -> Cost | None:
        """Return the estimate for a stage; ``None`` when its kind was never computed."""
        known = self._by_kind.get(node.stage.kind)
        if not known:
            return None
        alike = _alike(_as_many(known, node), pipeline)
        size = statistics.fmean(record.bytes for record in alike)
        timed = [record for record in known if record.whole_seconds > 0]
        chosen = {id(record) for record in alike}
        like = [place for place, record in enumerate(timed) if id(record) in chosen]
        if not like:
            return Cost(0.0, size)
        ratios = [longer(node.fields, record, pipeline) for record in timed]
        model = self._model(node.stage.kind, pipeline, timed, ratios)
        features = [_features(node.fields, pipeline.data.max_train)]
        mean, deviation = model.predict(features, expected=[ratios[0]], like=like)
        near = _same(alike[0], pipeline) and alike[0].model == pipeline.model_revision
        spread = math.hypot(float(deviation[0]), 0.0 if near else APART)
        return Cost(float(mean[0]), size, spread)

    def mean(self, examples: Sequence[tuple[Pipeline, Node]]) -> Cost | None:
        """Return the mean over several stages; ``None`` when one of them has no estimate."""
        costs = [self.of(pipeline, node) for pipeline, node in examples]
        known = [cost for cost in costs if cost is not None]
        if len(known) < len(costs):
            return None
        whole = together(("", 1, cost) for cost in known)
        return Cost(whole.seconds / len(known), whole.bytes / len(known), whole.deviation)

    def _model(
        self,
        kind: str,
        pipeline: Pipeline,
        records: Sequence[Record],
        ratios: Sequence[float],
    ) -> LogRegression:
        """Return what was learnt from the results of a kind; the rule enters by its shape only."""
        from stagetree.pipeline.regression import LogRegression

        shape = tuple(round(ratios[0] / one, 9) for one in ratios)
        key = (kind, pipeline.data_fingerprint, pipeline.data.max_train, shape)
        if key not in self._models:
            rows = pipeline.data.max_train
            self._models[key] = LogRegression().fit(
                [_features(one.config, rows if _same(one, pipeline) else None) for one in records],
                [record.whole_seconds for record in records],
                expected=shape,
                groups=[_group(record) for record in records],
            )
        return self._models[key]


def _same(record: Record, pipeline: Pipeline) -> bool:
    return record.data == pipeline.data_fingerprint


def _group(record: Record) -> tuple[object, ...]:
    """Return what changes the time of everything alike: a factor of its own for each."""
    place = (record.environment.get(name) for name in ("device", "threads", "numerics"))
    return (record.data, record.model, record.config.get("processes", 1), *place)


def _features(fields: Mapping[str, Any], rows: int | None) -> dict[str, Any]:
    """Return what a stage's time may depend on, nested options by dotted name."""
    return {**_flat(fields), "examples": _examples(fields, rows)}


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            found[prefix + name] = json.dumps(value, default=str)
        else:
            found[prefix + name] = value
    return found


def _as_many(records: list[Record], node: Node) -> list[Record]:
    """Return those computed by as many processes as a stage would be, or all if there are none."""
    wanted = node.fields.get("processes", 1)
    return [record for record in records if record.config.get("processes", 1) == wanted] or records


def _alike(records: list[Record], pipeline: Pipeline) -> list[Record]:
    data = [record for record in records if record.data == pipeline.data_fingerprint]
    model = [record for record in data if record.model == pipeline.model_revision]
    return model or data or records


def longer(fields: Mapping[str, Any], record: Record, pipeline: Pipeline) -> float:
    """Return how many times as long as in a past result a stage trains, by the rule."""
    same_data = _same(record, pipeline)
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
