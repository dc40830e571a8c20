"""What a stage's evaluations have shown so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from operator import itemgetter
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
        since: Evaluations after fewer steps can only be best while there is no other: the model
            was not yet what it shall be.
    """

    metric: str
    evaluations: list[Evaluation] = field(default_factory=list)
    since: int = 0

    @property
    def best(self) -> int:
        """Place of the best evaluation; of equals the earliest."""
        counted = [
            (place, evaluation.metrics[self.metric])
            for place, evaluation in enumerate(self.evaluations)
            if evaluation.step >= self.since
        ]
        return max(counted, key=itemgetter(1))[0] if counted else len(self.evaluations) - 1

    @property
    def last_is_best(self) -> bool:
        """Whether the last evaluation is better than all before it."""
        return self.best == len(self.evaluations) - 1

    def evaluated_at(self, step: int) -> bool:
        """Return whether the last evaluation was made after ``step`` steps."""
        return bool(self.evaluations) and self.evaluations[-1].step == step

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
        evaluations = [Evaluation(**entry) for entry in value["evaluations"]]
        return cls(value["metric"], evaluations, value.get("since", 0))
