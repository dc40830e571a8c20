"""What is wrong with the options of ``hydra/launcher=slurm``, before anything is submitted."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from stagetree.core import slurm
from stagetree.core.errors import ConfigError, Fault, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def check(options: Mapping[str, Any]) -> None:
    """Make sure that this machine can submit and that the options name what the cluster has.

    Raises:
        ConfigError: All that is wrong.
    """
    faults = [*_absent(), *_numbers(options)]
    if not faults:
        faults = [*_partition(options["partition"])]
    if faults:
        raise ConfigError(faults)


def _absent() -> Iterator[Fault]:
    if importlib.util.find_spec("submitit") is None:
        message = 'slurm needs the package submitit: pip install "stagetree[slurm]"'
        yield Fault("hydra/launcher", message)
    absent = slurm.missing()
    if absent:
        message = (
            f"expected Slurm's commands on this machine but found no {', '.join(absent)}; "
            "submit from a login node, or use hydra/launcher=local"
        )
        yield Fault("hydra/launcher", message)


def _numbers(options: Mapping[str, Any]) -> Iterator[Fault]:
    for name in ("timeout_min", "array_parallelism", "nodes", "cpus_per_task", "mem_gb"):
        value = options[name]
        if value is not None and value <= 0:
            yield Fault(f"hydra.launcher.{name}", f"expected more than 0 but got {value}")
    limit, delay = options["timeout_min"] * 60, options["signal_delay_s"]
    if not 0 < delay < max(limit, 1):
        message = (
            f"expected between 0 and timeout_min ({limit} s) for saving work but got {delay} s"
        )
        yield Fault("hydra.launcher.signal_delay_s", message)


def _partition(wanted: str | None) -> Iterator[Fault]:
    try:
        known = slurm.partitions()
    except slurm.SlurmError as error:
        yield Fault("hydra/launcher", f"Slurm does not answer: {error}")
        return
    for name in (wanted or "").split(","):
        if name and name not in known:
            yield Fault("hydra.launcher.partition", unknown("partition", name, known))
