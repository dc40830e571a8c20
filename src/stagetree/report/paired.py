"""Scores of candidates as the statistics want them: paired by seed and, if can be, by example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stagetree.core.errors import ModelError
from stagetree.report.resampling import REPLICATES, resampled
from stagetree.report.statistics import Runs

if TYPE_CHECKING:
    from stagetree.tasks.base import Task
    from stagetree.tasks.examples import Examples

Kept = Mapping[str, Sequence["Examples | None"]]
"""By candidate, what was predicted with each seed."""


@dataclass(frozen=True)
class Paired:
    """Scores to compare.

    Attributes:
        runs: By candidate.
        examples: How many examples they are paired by; 0: by seeds alone.
        note: Why examples are left out, if they are.
    """

    runs: Mapping[str, Runs]
    examples: int
    note: str = ""


def paired(task: Task, metric: str, values: Mapping[str, Sequence[float]], kept: Kept) -> Paired:
    """Return scores with what resampling the examples does to them, or the reason why not.

    Args:
        task: What the metric belongs to.
        metric: The metric.
        values: By candidate, its value with each seed.
        kept: By candidate, what was predicted of each example with each seed.
    """
    scores = {name: np.array(seen, dtype=np.float64) for name, seen in values.items()}
    plain = {name: Runs(seen) for name, seen in scores.items()}
    flat = [examples for name in scores for examples in kept[name]]
    if why := _unusable(task, metric, flat):
        return Paired(plain, 0, f"over seeds alone: {why}")
    whole = [examples for examples in flat if examples is not None]
    try:
        tallies = [task.tallies(examples) for examples in whole]
        again = np.array([float(task.from_tallies(counts.sum(axis=0))) for counts in tallies])
    except ModelError as error:
        return Paired(plain, 0, f"over seeds alone: {error}")
    if not np.allclose(again, np.concatenate(list(scores.values())), atol=1e-6):
        why = f"the kept answers do not add up to {metric}"
        return Paired(plain, 0, f"over seeds alone: {why}")
    noise = resampled(tallies, task.from_tallies)
    ends = np.cumsum([len(seen) for seen in scores.values()])[:-1]
    parts = np.split(noise, ends, axis=1)
    size = len(whole[0])
    runs = {name: Runs(scores[name], part, size) for name, part in zip(scores, parts, strict=True)}
    return Paired(runs, size, f"{REPLICATES} resamples")


def _unusable(task: Task, metric: str, kept: Sequence[Examples | None]) -> str:
    """Return why scores cannot be taken apart by example."""
    if metric != task.primary_metric:
        return f"{metric} is not counted example by example"
    whole = [examples for examples in kept if examples is not None]
    if len(whole) < len(kept) or not whole:
        return "some results do not keep what they predicted of each example"
    first = list(whole[0].gold)
    if not first or any(list(examples.gold) != first for examples in whole):
        return "candidates were scored on different examples"
    return ""
