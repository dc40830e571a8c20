"""Options of ``hydra/launcher=slurm``.

No ``from __future__ import annotations`` here: Hydra runs plugin modules before it registers them,
and dataclasses look textual annotations up in the registered module.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import II


@dataclass
class SlurmLauncherConf:
    """Options of the launcher; unset ones are left to the cluster's defaults.

    Attributes:
        detach: Submit and end, instead of waiting for the workers.
        partition: Partition, or several separated by commas.
        account: Account that is charged.
        qos: Quality of service.
        timeout_min: Time limit of a worker, in minutes. At its end the worker is queued again and
            continues its trial.
        mem_gb: Memory of a worker, in gigabytes.
        cpus_per_task: CPUs of a worker, which are its threads.
        gpus_per_node: GPUs of a worker; by default those of a trial.
        constraint: Features that nodes must have.
        exclude: Nodes to keep away from.
        gres: Generic resources, in place of ``gpus_per_node``.
        nodes: Nodes of a job; each runs a worker.
        name: Name of the job; by default the study's.
        comment: A comment on the job.
        array_parallelism: How many workers may run at once (the array's ``%`` limit).
        signal_delay_s: Seconds before the time limit at which a worker is told to save its work.
        max_num_timeout: How often a worker is queued again at its time limit; unset: without end.
        setup: Shell lines that the script runs first: ``module load``, ``conda activate``.
        srun_args: Further arguments of ``srun``, such as ``--container-image=...``.
        additional_parameters: Further ``#SBATCH`` lines, option to value (``true``: no value).
        stderr_to_stdout: Whether a worker has one log instead of two.
        python: Command that starts Python 3.11 or newer on a node; by default this Python.
        submitit_folder: Where scripts, logs and job files go; by default ``workers/slurm`` in the
            study's directory.
    """

    _target_: str = "hydra_plugins.stagetree_launcher.slurm.SlurmLauncher"
    detach: bool = False
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    timeout_min: int = 60
    mem_gb: float | None = None
    cpus_per_task: int | None = None
    gpus_per_node: int | None = II("oc.select:resources.gpus_per_trial,null")
    constraint: str | None = None
    exclude: str | None = None
    gres: str | None = None
    nodes: int = 1
    name: str | None = None
    comment: str | None = None
    array_parallelism: int = 256
    signal_delay_s: int = 90
    max_num_timeout: int | None = None
    setup: list[str] = field(default_factory=list)
    srun_args: list[str] = field(default_factory=list)
    additional_parameters: dict[str, Any] = field(default_factory=dict)
    stderr_to_stdout: bool = False
    python: str | None = None
    submitit_folder: str | None = None


ConfigStore.instance().store(
    group="hydra/launcher", name="slurm", node=SlurmLauncherConf, provider="stagetree"
)
