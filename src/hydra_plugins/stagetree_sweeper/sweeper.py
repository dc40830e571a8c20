"""The plugin's class. Hydra imports this module at every start of every app: nothing heavy here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.plugins.sweeper import Sweeper

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


class StagetreeSweeper(Sweeper):
    """Searches the space of a command line; see :class:`StagetreeSweeperConf` for the options."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.hydra_context: HydraContext | None = None
        self.task_function: TaskFunction | None = None
        self.config: DictConfig | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra hands over; called once, before ``sweep``."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the search and return the study's trials.

        Args:
            arguments: The command line's overrides, those that sweep among them.

        Raises:
            SystemExit: 1 when the search failed, 2 when the line cannot be run, 130 after
                Ctrl-C, 143 after SIGTERM.
        """
        from hydra_plugins.stagetree_sweeper._impl import sweep

        if self.hydra_context is None or self.task_function is None or self.config is None:
            raise RuntimeError("expected setup() to be called before sweep()")
        return sweep(self.options, self.hydra_context, self.task_function, self.config, arguments)
