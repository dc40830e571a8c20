"""How often training steps are told to a service, and under which names."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stagetree.core.reporting import StageInfo


class Pace:
    """Lets the steps of each stage through at most once in some seconds, and always the last one.

    Attributes:
        steps: The step that each stage has come to, by its name.
    """

    def __init__(self, seconds: float) -> None:
        self.steps: dict[str, int] = {}
        self._seconds = seconds
        self._told: dict[str, float] = {}

    def begin(self, stage: StageInfo) -> None:
        """Let the next step of a stage through."""
        self._told.pop(stage.name, None)

    def due(self, stage: StageInfo, step: int, total: int) -> bool:
        """Note a stage's step and return whether it is to be told."""
        self.steps[stage.name] = step
        now = time.monotonic()
        last = self._told.get(stage.name)
        if last is not None and now - last < self._seconds and step < total:
            return False
        self._told[stage.name] = now
        return True


def of_training(logs: Mapping[str, float]) -> dict[str, float]:
    """Return a step's numbers under names that differ from those of validation.

    >>> of_training({"loss": 0.5, "lr": 0.1})
    {'train_loss': 0.5, 'lr': 0.1}
    """
    return {("train_loss" if key == "loss" else key): value for key, value in logs.items()}
