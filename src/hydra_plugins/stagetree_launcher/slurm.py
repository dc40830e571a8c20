"""The plugin's class. Hydra imports this module at every start of every app: nothing heavy here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra_plugins.stagetree_launcher._launcher import BatchLauncher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hydra.core.utils import JobReturn


class SlurmLauncher(BatchLauncher):
    """Runs every job as a job of Slurm; see :class:`SlurmLauncherConf` for the options.

    The code and the configuration files of the moment of submission are what runs, however long
    the jobs wait. A job that reaches its time limit, is preempted or loses its node is queued
    again. It suits stagetree's workers, which continue the trial that they had.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Submit the jobs, wait for them, and return how each ended, in order.

        Raises:
            ConfigError: Slurm or submitit is not here, or the options do not fit the cluster;
                nothing was submitted.
            SystemExit: 0, after submission, when ``detach`` is set.
            KeyboardInterrupt: Ctrl-C; the jobs were cancelled.
            Terminated: SIGTERM; the jobs were cancelled.
        """
        from hydra_plugins.stagetree_launcher._slurm_check import check
        from hydra_plugins.stagetree_launcher._slurm_submit import launch

        batch = self.batch(job_overrides, initial_job_idx)
        check(self.options)
        return launch(batch, self.options)
