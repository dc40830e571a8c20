"""What all launchers of ours take from Hydra, and how they hand it on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hydra.plugins.launcher import Launcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig

    from hydra_plugins.stagetree_launcher._batch import Batch


class BatchLauncher(Launcher):
    """A launcher that runs its jobs as one :class:`Batch`."""

    def __init__(self) -> None:
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.task_function: TaskFunction | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra hands over; called once, before ``launch``."""
        self.config = config
        self.hydra_context = hydra_context
        self.task_function = task_function

    def batch(self, job_overrides: Sequence[Sequence[str]], first: int) -> Batch:
        """Return the jobs of a launch.

        Raises:
            RuntimeError: ``setup`` was not called.
        """
        from hydra_plugins.stagetree_launcher._batch import Batch

        if self.hydra_context is None or self.task_function is None or self.config is None:
            raise RuntimeError("expected setup() to be called before launch()")
        return Batch(self.hydra_context, self.task_function, self.config, job_overrides, first)
