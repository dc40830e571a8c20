"""Options of ``hydra/launcher=ray``.

No ``from __future__ import annotations`` here: Hydra runs plugin modules before it registers them,
and dataclasses look textual annotations up in the registered module.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import SI


@dataclass
class RayLauncherConf:
    """Options of the launcher.

    Attributes:
        address: The cluster to join: ``auto`` (the one that this machine belongs to),
            ``HOST:PORT``, ``ray://HOST:PORT``; unset: ``RAY_ADDRESS``, else a Ray of our own is
            started on this machine and shut down at the end.
        num_cpus: Cores that Ray keeps for each worker, and its CPU threads.
        num_gpus: GPUs of each worker; unset: ``resources.gpus_per_trial`` where the app has it,
            else one where the cluster has any.
        memory: Bytes that Ray keeps for each worker; unset: it is not counted.
        resources: Custom resources of each worker, ``{a100: 1}``.
        runtime_env: Ray's runtime environment of the workers: ``working_dir``, ``py_modules``,
            ``pip``, ``env_vars``, ...
        max_restarts: How often a worker of a search that was lost with its node, or killed, is
            started again; it continues its trial. Jobs of other sweepers are not started again.
        connect_timeout: Seconds within which the cluster must answer.
        options: Further options of each worker's actor, ``{scheduling_strategy: SPREAD}``.
        init: Further arguments of ``ray.init``, ``{include_dashboard: true}``.
    """

    _target_: str = "hydra_plugins.stagetree_launcher.ray.RayLauncher"
    address: str | None = SI("${oc.env:RAY_ADDRESS,null}")
    num_cpus: float = 1
    num_gpus: float | None = SI("${oc.select:resources.gpus_per_trial,null}")
    memory: int | None = None
    resources: dict[str, Any] = field(default_factory=dict)
    runtime_env: dict[str, Any] = field(default_factory=dict)
    max_restarts: int = 10
    connect_timeout: float = 10.0
    options: dict[str, Any] = field(default_factory=dict)
    init: dict[str, Any] = field(default_factory=dict)


ConfigStore.instance().store(
    group="hydra/launcher", name="ray", node=RayLauncherConf, provider="stagetree"
)
