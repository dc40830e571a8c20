"""The plugin's class. Hydra imports this module at every start of every app: nothing heavy here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.plugins.launcher import Launcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hydra.core.utils import JobReturn
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


class SlurmLauncher(Launcher):
    """Runs every job as a job of Slurm; see :class:`SlurmLauncherConf` for the options.

    The code and the configuration files of the moment of submission are what runs, however long
    the jobs wait. A job that reaches its time limit, is preempted or loses its node is queued
    again. It suits stagetree's workers, which continue the trial that they had.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options
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
        """Submit the jobs, wait for them, and return how each ended, in order.

        Raises:
            ConfigError: Slurm or submitit is not here, or the options do not fit the cluster;
                nothing was submitted.
            SystemExit: 0, after submission, when ``detach`` is set.
            KeyboardInterrupt: Ctrl-C; the jobs were cancelled.
            Terminated: SIGTERM; the jobs were cancelled.
        """
        from hydra_plugins.stagetree_launcher._slurm_check import check
        from hydra_plugins.stagetree_launcher._slurm_submit import Line, launch

        if self.hydra_context is None or self.task_function is None or self.config is None:
            raise RuntimeError("expected setup() to be called before launch()")
        check(self.options)
        line = Line(self.hydra_context, self.task_function, self.config, self.options)
        return launch(line, job_overrides, initial_job_idx)
