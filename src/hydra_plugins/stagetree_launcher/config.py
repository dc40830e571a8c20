"""Options of ``hydra/launcher=local``.

No ``from __future__ import annotations`` here: Hydra runs plugin modules before it registers them,
and dataclasses look textual annotations up in the registered module.
"""

from dataclasses import dataclass

from hydra.core.config_store import ConfigStore


@dataclass
class LocalLauncherConf:
    """Options of the launcher: none."""

    _target_: str = "hydra_plugins.stagetree_launcher.local.LocalLauncher"


ConfigStore.instance().store(
    group="hydra/launcher", name="local", node=LocalLauncherConf, provider="stagetree"
)
