"""The plugin's class. Hydra imports this module at every start of every app: nothing heavy here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hydra_plugins.stagetree_launcher._launcher import BatchLauncher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hydra.core.utils import JobReturn


class LocalLauncher(BatchLauncher):
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
        super().__init__()
        self.gpus_per_worker = gpus_per_worker
        self.threads_per_worker = threads_per_worker
        self.max_restarts = max_restarts

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs and return how each ended, in order.

        Raises:
            ConfigError: A worker shall have more GPUs than there are.
            KeyboardInterrupt: Ctrl-C; the processes were told and have ended.
            Terminated: SIGTERM; the processes were told and have ended.
        """
        from hydra_plugins.stagetree_launcher._impl import launch

        batch = self.batch(job_overrides, initial_job_idx)
        return launch(batch, self.gpus_per_worker, self.threads_per_worker, self.max_restarts)
