"""What a stage's evaluations have shown so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Evaluation:
    """One evaluation on the validation split.

    Attributes:
        step: Optimiser steps before it.
        fraction: Fraction of the stage's budget it stands for.
        metrics: Its metrics.
    """

    step: int
    fraction: float
    metrics: Mapping[str, float]


@dataclass
class Progress:
    """The evaluations of a stage in order, and which of them is best.

    Attributes:
        metric: Name of the metric that chooses; higher is better.
        evaluations: All evaluations so far.
    """

    metric: str
    evaluations: list[Evaluation] = field(default_factory=list)

    @property
    def best(self) -> int:
        """Place of the best evaluation; of equals the earliest."""
        values = [evaluation.metrics[self.metric] for evaluation in self.evaluations]
        return values.index(max(values))

    @property
    def last_is_best(self) -> bool:
        """Whether the last evaluation is better than all before it."""
        return self.best == len(self.evaluations) - 1

    def over(self, total_steps: int, patience: int) -> bool:
        """Return whether training ends here: all steps made, or patience lost (0 never is)."""
        if not self.evaluations:
            return False
        without_best = len(self.evaluations) - 1 - self.best
        return self.evaluations[-1].step >= total_steps or 0 < patience <= without_best

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Progress:
        """Return what ``to_json`` was made from."""
        return cls(value["metric"], [Evaluation(**entry) for entry in value["evaluations"]])
