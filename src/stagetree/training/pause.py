"""Ending a stage between two steps, with everything saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from stagetree.core.interrupt import Terminated
from stagetree.core.stopping import stopping


class Pause(TrainerCallback):  # type: ignore[misc]
    """Saves and ends the process between two steps when it was asked to."""

    def __init__(self, save: Callable[[], None]) -> None:
        self._save = save

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save, unless an evaluation is due, which saves more.

        Raises:
            Terminated: The process was asked to end.
        """
        if stopping() and not control.should_save:
            self._save()
            raise Terminated
