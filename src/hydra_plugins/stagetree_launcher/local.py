"""The plugin's class. Hydra imports this module at every start of every app: nothing heavy here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hydra.plugins.launcher import Launcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hydra.core.utils import JobReturn
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


class LocalLauncher(Launcher):
    """Runs every job in a process of its own, all at once.

    The machine's cores are shared out as threads and its GPUs in disjoint sets, and the death of
    one process leaves the others alone; a killed worker of a search is started again. There is
    no limit on how many jobs run together. See :class:`LocalLauncherConf` for the options.
    """

    def __init__(
        self,
        gpus_per_worker: int | None = None,
        threads_per_worker: int | None = None,
        max_restarts: int = 0,
    ) -> None:
        self.gpus_per_worker = gpus_per_worker
        self.threads_per_worker = threads_per_worker
        self.max_restarts = max_restarts
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

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs and return how each ended, in order.

        Raises:
            ConfigError: A worker shall have more GPUs than there are.
            KeyboardInterrupt: Ctrl-C; the processes were told and have ended.
            Terminated: SIGTERM; the processes were told and have ended.
        """
        from hydra_plugins.stagetree_launcher._batch import Batch
        from hydra_plugins.stagetree_launcher._impl import launch

        if self.hydra_context is None or self.task_function is None or self.config is None:
            raise RuntimeError("expected setup() to be called before launch()")
        batch = Batch(
            self.hydra_context, self.task_function, self.config, job_overrides, initial_job_idx
        )
        return launch(batch, self.gpus_per_worker, self.threads_per_worker, self.max_restarts)
