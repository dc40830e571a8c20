"""What a trial runs on, read from the configuration and checked against the stages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from stagetree.core.errors import ConfigError, Fault
from stagetree.pipeline.schema import ResourcesConfig, Strategy
from stagetree.pipeline.typed import below, typed
from stagetree.stages.base import Stage

PATH = "resources"


@dataclass(frozen=True)
class Resources:
    """What one trial runs on.

    Attributes:
        processes: Processes that train together.
        gpus: GPUs that were asked for; ``None``: whatever there is.
        sharded: Whether they share the model out among them, instead of each having all of it.
        patience: Seconds that one of them may keep the others waiting.
    """

    processes: int = 1
    gpus: int | None = None
    sharded: bool = False
    patience: float = 1800.0

    @property
    def devices(self) -> int:
        """How many devices a trial keeps busy; a process without GPU counts as one."""
        return max(1, self.processes, self.gpus or 0)

    def of(self, stage: type[Stage], config: Any) -> int:
        """Return how many processes a stage runs in."""
        return self.processes if stage.several_processes(config) else 1

    def fields(self, stage: type[Stage], config: Any) -> dict[str, object]:
        """Return what of it can change a stage's result: sums are rounded in another order."""
        if self.of(stage, config) == 1:
            return {}
        sharded = {"strategy": Strategy.fsdp.value} if self.sharded else {}
        return {"processes": self.processes, **sharded}

    def check_machine(self, visible: int) -> None:
        """Check that the GPUs are there.

        Args:
            visible: How many this process sees.

        Raises:
            ConfigError: More are needed.
        """
        faults: list[Fault] = []
        seen = f"the GPUs that this worker on this machine sees ({visible})"
        if (self.gpus or 0) > visible:
            message = f"expected at most {seen} but got {self.gpus}"
            faults.append(Fault(f"{PATH}.gpus_per_trial", message))
        if 0 < visible < self.processes:
            message = f"expected at most one process for each of {seen} but got {self.processes}"
            faults.append(Fault(f"{PATH}.processes_per_trial", message))
        if faults:
            raise ConfigError(faults)


def read(
    cfg: DictConfig, stages: Sequence[tuple[str, type[Stage], Any]], faults: list[Fault]
) -> Resources:
    """Return what a trial runs on, or note what is wrong with it.

    Args:
        cfg: The composed configuration.
        stages: The stages that could be read: name, kind and typed config.
        faults: Gets the faults.
    """
    config = typed(cfg.resources, ResourcesConfig, PATH, faults)
    if config is None:
        return Resources()
    faults += below(PATH, _number_faults(config))
    found = Resources(
        processes=config.processes_per_trial or config.gpus_per_trial or 1,
        gpus=config.gpus_per_trial,
        sharded=config.strategy is Strategy.fsdp,
        patience=config.patience,
    )
    if found.processes > 1:
        faults += _stage_faults(found, stages)
    return found


def _number_faults(config: ResourcesConfig) -> list[Fault]:
    faults: list[Fault] = []
    gpus, processes = config.gpus_per_trial, config.processes_per_trial
    if gpus is not None and gpus < 0:
        faults.append(Fault("gpus_per_trial", f"expected at least 0 GPUs but got {gpus}"))
    if processes is not None and processes < 1:
        message = f"expected at least 1 process but got {processes}"
        faults.append(Fault("processes_per_trial", message))
    elif processes is not None and 0 < (gpus or 0) < processes:
        message = f"expected at most one process for each of {gpus} GPUs but got {processes}"
        faults.append(Fault("processes_per_trial", message))
    if not 0 < config.patience < math.inf:
        message = f"expected a positive number of seconds but got {config.patience}"
        faults.append(Fault("patience", message))
    return faults


def _stage_faults(
    resources: Resources, stages: Sequence[tuple[str, type[Stage], Any]]
) -> list[Fault]:
    """Return which stages cannot be shared out among the processes as they are configured."""
    faults: list[Fault] = []
    for name, stage, config in stages:
        if resources.of(stage, config) == 1:
            continue
        count, size = resources.processes, config.batch_size
        if size > 0 and size % count:
            message = (
                f"expected a multiple of the {count} processes of a trial "
                f"({PATH}.processes_per_trial) but got {size}; {size + count - size % count} is one"
            )
            faults.append(Fault(f"stages.{name}.batch_size", message))
        if resources.sharded:
            faults += below(f"stages.{name}", stage.sharded_faults(config))
    return faults
