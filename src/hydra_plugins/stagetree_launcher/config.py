"""Options of ``hydra/launcher=local``.

No ``from __future__ import annotations`` here: Hydra runs plugin modules before it registers them,
and dataclasses look textual annotations up in the registered module.
"""

from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from omegaconf import SI


@dataclass
class LocalLauncherConf:
    """Options of the launcher.

    Attributes:
        gpus_per_worker: GPUs of each worker, no two workers' the same as long as there are
            enough; unset: ``resources.gpus_per_trial`` where the app has it, else one where
            there are any. 0 hides all GPUs.
        threads_per_worker: CPU threads of each worker; unset: the cores are shared out evenly,
            and limits in the environment, such as ``OMP_NUM_THREADS``, stay.
        max_restarts: How often a worker of a search that was killed is started again; it
            continues its trial. Ten outlast one trial that kills every worker that runs it.
            Jobs of other sweepers are not started again.
    """

    _target_: str = "hydra_plugins.stagetree_launcher.local.LocalLauncher"
    gpus_per_worker: int | None = SI("${oc.select:resources.gpus_per_trial,null}")
    threads_per_worker: int | None = None
    max_restarts: int = 10


ConfigStore.instance().store(
    group="hydra/launcher", name="local", node=LocalLauncherConf, provider="stagetree"
)
