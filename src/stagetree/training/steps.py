"""How many optimiser steps a stage takes, and at which of them it is evaluated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from stagetree.training.config import TrainingConfig


@dataclass(frozen=True)
class Steps:
    """The steps of a stage.

    Attributes:
        total: Optimiser steps.
        per_epoch: Optimiser steps in one pass over the data.
        micro_batch: Examples a forward pass.
        accumulation: Forward passes an optimiser step, in each process.
        evaluations: Fraction of the stage's budget by the step after which it is evaluated.
    """

    total: int
    per_epoch: int
    micro_batch: int
    accumulation: int
    evaluations: Mapping[int, float]


def count(config: TrainingConfig, examples: int, processes: int = 1) -> Steps:
    """Count the steps of a stage that trains on ``examples`` rows, its batches shared out evenly.

    Evaluation ``i`` of ``n`` comes after step ``round(i * total / n)`` and stands for the
    fraction ``i / n``. Where a stage has fewer steps than evaluations, several meet at one
    step and the last of them is made. With ``evaluate_every`` they come after that many passes,
    twice as many and so on, and at the end.

    >>> from stagetree.training.config import TrainingConfig
    >>> steps = count(TrainingConfig(epochs=2, batch_size=8, evaluations=4), examples=60)
    >>> steps.total, steps.evaluations
    (16, {4: 0.25, 8: 0.5, 12: 0.75, 16: 1.0})
    >>> config = TrainingConfig(epochs=2.5, batch_size=8, evaluate_every=1.0)
    >>> count(config, examples=60).evaluations
    {8: 0.4, 16: 0.8, 20: 1.0}
    """
    share = config.batch_size // processes
    micro_batch = config.micro_batch_size or share
    per_epoch = max(1, math.ceil(examples / config.batch_size))
    total = max(1, math.ceil(config.epochs * per_epoch))
    if config.max_steps:
        total = min(total, config.max_steps)
    if config.evaluate_every:
        evaluations = _regular(total, max(1.0, config.evaluate_every * per_epoch))
    else:
        evaluations = _spread(total, config.evaluations)
    return Steps(total, per_epoch, micro_batch, share // micro_batch, evaluations)


def _spread(total: int, wanted: int) -> dict[int, float]:
    return {
        max(1, (2 * index * total + wanted) // (2 * wanted)): index / wanted
        for index in range(1, wanted + 1)
    }


def _regular(total: int, stride: float) -> dict[int, float]:
    steps = (round(index * stride) for index in range(1, math.ceil(total / stride) + 1))
    return {step: step / total for step in (*(step for step in steps if step < total), total)}
