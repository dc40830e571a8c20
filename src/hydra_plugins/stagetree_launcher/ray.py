"""The plugin's class. Hydra imports this module at every start of every app: nothing heavy here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from hydra_plugins.stagetree_launcher._launcher import BatchLauncher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hydra.core.utils import JobReturn
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


class RayLauncher(BatchLauncher):
    """Runs every job in a process of its own, where Ray finds room for it.

    Without an address a Ray is started on this machine and shut down at the end; a cluster that
    was joined stays up. A worker of a search that is lost with its node is started again on
    another. See :class:`RayLauncherConf` for the options.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options: Any = OmegaConf.to_container(OmegaConf.create(options), resolve=True)

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra hands over; called once, before ``launch``.

        Raises:
            ConfigError: Ray is not installed, or an option makes no sense.
            StagetreeError: No cluster answers at the address.
        """
        from hydra_plugins.stagetree_launcher._ray_cluster import check

        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        check(self.options)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs and return how each ended, in order.

        Raises:
            ConfigError: Ray does not take an option.
            StagetreeError: No cluster can be joined, or no Ray started.
            KeyboardInterrupt: Ctrl-C; the workers were told and have ended.
            Terminated: SIGTERM; the workers were told and have ended.
        """
        from hydra_plugins.stagetree_launcher._ray import launch

        batch = self.batch(job_overrides, initial_job_idx)
        return launch(batch, self.options)
