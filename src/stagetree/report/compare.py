"""Runs, trials, studies and stored results side by side: where they differ and by how much."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stagetree.pipeline import seeds

if TYPE_CHECKING:
    from stagetree.core.trials import StageRow, TrialRow

Curve = Sequence[tuple[float, Mapping[str, float]]]
"""Fraction of the stage's budget and metrics of each evaluation, in rising order."""

USUAL = ("f1", "macro_f1", "accuracy", "loss")
"""Metrics to draw a curve of, the first that is there, where the objective is not."""

LAST = "last stage"
ABSENT = "-"


@dataclass(frozen=True)
class StudyFacts:
    """What is compared of studies beside their best trials.

    Attributes:
        states: How many trials are in which state.
        space: The search space, as text a key.
    """

    states: Mapping[str, int]
    space: Mapping[str, str]

    @classmethod
    def of(cls, rows: Sequence[TrialRow], space: Mapping[str, str]) -> StudyFacts:
        """Count the trials of a study."""
        return cls(Counter(row.state for row in rows), space)


@dataclass(frozen=True)
class Side:
    """One of those that are compared.

    Attributes:
        name: What it is called.
        what: ``run``, ``trial``, ``study`` (its best trial) or ``result`` (of the store).
        status: How it ended.
        config: Its configuration by displayed name.
        stages: Its finished stages, in order.
        curves: Learning curves by stage.
        values: Objective values by metric.
        whole: Whether ``config`` is all of its configuration; else only what all sides have is
            compared.
        recorded: The configuration as the run recorded it; empty without a record.
        study: Facts of the study, if it stands for one.
    """

    name: str
    what: str
    status: str
    config: Mapping[str, object]
    stages: Sequence[StageRow]
    curves: Mapping[str, Curve] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    whole: bool = True
    recorded: Mapping[str, object] = field(default_factory=dict)
    study: StudyFacts | None = None

    def averaged(self) -> dict[str, StageRow]:
        """Return stages by name, means where it ran with several seeds."""
        return {stage.name: stage for stage in seeds.averaged(self.stages)}


def config_differences(sides: Sequence[Side]) -> dict[str, list[object]]:
    """Return each setting in which sides differ: a value a side, ``-`` where it has none."""
    names = list(dict.fromkeys(name for side in sides for name in side.config))
    if not all(side.whole for side in sides):
        names = [name for name in names if all(name in side.config for side in sides)]
    found = {name: [side.config.get(name, ABSENT) for side in sides] for name in names}
    return {name: values for name, values in found.items() if _differ(values)}


def space_differences(sides: Sequence[Side]) -> dict[str, list[object]]:
    """Return each searched key in which studies differ, as text; none if not all are studies."""
    spaces = [side.study.space for side in sides if side.study is not None]
    if len(spaces) < len(sides):
        return {}
    names = dict.fromkeys(name for space in spaces for name in space)
    found: dict[str, list[object]] = {n: [s.get(n, ABSENT) for s in spaces] for n in names}
    return {name: values for name, values in found.items() if _differ(values)}


def metrics(sides: Sequence[Side]) -> dict[str, dict[str, list[float | None]]]:
    """Return every metric, and the seconds, of each stage that all sides have.

    Their last stages stand under ``last stage`` when they have different names.
    """
    stages = [side.averaged() for side in sides]
    if not all(stages):
        return {}
    common = [name for name in stages[0] if all(name in other for other in stages)]
    rows = {name: [own[name] for own in stages] for name in common}
    last = [list(own.values())[-1] for own in stages]
    if len({row.name for row in last}) > 1:
        rows[LAST] = last
    return {name: _columns(row) for name, row in rows.items()}


def curves(sides: Sequence[Side]) -> dict[str, dict[str, list[list[list[float | None]]]]]:
    """Return every curve: by stage and metric, a list of fraction and value for each side."""
    stages = list(dict.fromkeys(name for side in sides for name in side.curves))
    return {
        stage: _stage_curves([side.curves.get(stage, ()) for side in sides]) for stage in stages
    }


def drawn(by_metric: Mapping[str, object], objectives: Sequence[str]) -> str | None:
    """Return the metric whose curve says most: the objective, or a usual one."""
    wanted = [name for name in (*objectives, *USUAL) if name in by_metric]
    return wanted[0] if wanted else next(iter(by_metric), None)


def to_json(sides: Sequence[Side]) -> dict[str, Any]:
    """Return the whole comparison, less the examples, in JSON's types."""
    return {
        "sides": [
            {
                "name": side.name,
                "what": side.what,
                "status": side.status,
                "values": {name: finite(value) for name, value in side.values.items()},
                "signature": side.stages[-1].signature if side.stages else None,
                "model_dir": side.stages[-1].model_dir if side.stages else None,
                "trials": dict(side.study.states) if side.study else None,
            }
            for side in sides
        ],
        "config": config_differences(sides),
        "space": space_differences(sides),
        "metrics": metrics(sides),
        "curves": curves(sides),
    }


def finite(value: float | None) -> float | None:
    """Return a number, ``None`` for what JSON has no number for."""
    return value if value is not None and math.isfinite(value) else None


def _differ(values: Sequence[object]) -> bool:
    return any(value != values[0] or type(value) is not type(values[0]) for value in values[1:])


def _columns(rows: Sequence[StageRow]) -> dict[str, list[float | None]]:
    names = dict.fromkeys(name for row in rows for name in row.metrics)
    found = {name: [finite(row.metrics.get(name)) for row in rows] for name in names}
    return {**found, "seconds": [finite(row.seconds) for row in rows]}


def _stage_curves(sides: Sequence[Curve]) -> dict[str, list[list[list[float | None]]]]:
    names = dict.fromkeys(name for curve in sides for _, point in curve for name in point)
    return {
        name: [
            [[fraction, finite(point[name])] for fraction, point in curve if name in point]
            for curve in sides
        ]
        for name in names
    }
