"""What happens between optimiser steps: one class, one moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from transformers import TrainerCallback

from stagetree.training import ranks
from stagetree.training.freezing import Unfreezer
from stagetree.training.masks import Masks
from stagetree.training.steps import Steps
from stagetree.training.trunk import Trunk


class Unfreeze(TrainerCallback):  # type: ignore[misc]
    """Freezes and unfreezes before every step."""

    def __init__(self, unfreezer: Unfreezer, trunk: Trunk) -> None:
        self._unfreezer = unfreezer
        self._trunk = trunk

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Freeze for the coming step."""
        self._trunk.enter(self._unfreezer.before_step(state.global_step))


class Sparsify(TrainerCallback):  # type: ignore[misc]
    """Lets sparsity rise after every step."""

    def __init__(self, masks: Masks) -> None:
        self._masks = masks

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Choose masks anew, if it is time."""
        self._masks.after_step(state.global_step, state.max_steps)


class EvaluateAt(TrainerCallback):  # type: ignore[misc]
    """Asks for an evaluation and a checkpoint after chosen steps, and tells of them after.

    Args:
        steps: Says after which.
        evaluated: Tells; returns whether training is over.
        wanted: Returns whether a checkpoint is wanted after a step, evaluation or not.
    """

    def __init__(
        self, steps: Steps, evaluated: Callable[[], bool], wanted: Callable[[int], bool]
    ) -> None:
        self._steps = steps
        self._evaluated = evaluated
        self._wanted = wanted

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask."""
        if state.global_step in self._steps.evaluations:
            control.should_evaluate = True
            control.should_save = True
        elif self._wanted(state.global_step):
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell, now that nothing can be lost; stop where training is over."""
        if self._evaluated():
            control.should_training_stop = True


class Tell(TrainerCallback):  # type: ignore[misc]
    """Tells of about a hundred steps in a stage, or of one every half second.

    Several processes go by steps only: all of them must take part in what is told.
    """

    def __init__(
        self,
        stepped: Callable[[int, int, Mapping[str, float]], None],
        logs: Callable[[], Mapping[str, float]],
    ) -> None:
        self._stepped = stepped
        self._logs = logs
        self._told = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell, if it is time."""
        step, total = state.global_step, state.max_steps
        due = step % max(1, total // 100) == 0 or step == total
        if due or (ranks.count() == 1 and time.monotonic() - self._told >= 0.5):
            self._told = time.monotonic()
            self._stepped(step, total, self._logs())
