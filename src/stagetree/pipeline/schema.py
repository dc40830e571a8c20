"""The typed shape of the whole configuration, and its entries in Hydra's ConfigStore."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from stagetree.data.sources.base import SOURCES
from stagetree.models.config import ModelConfig
from stagetree.stages.base import STAGES
from stagetree.tasks.base import TASKS
from stagetree.tracking.base import TRACKERS


class Numerics(Enum):
    """How numbers are computed; part of every signature, once resolved."""

    auto = "auto"
    fp32 = "fp32"
    fp32_fast = "fp32_fast"
    bf16 = "bf16"


class Measure(Enum):
    """What is found out of every result beside its scores; changes no result.

    Attributes:
        all: Size, latency, throughput, memory and operations, one to three seconds a stage.
        needed: The size, and the rest only where the objective or a constraint names any of it.
    """

    all = "all"
    needed = "needed"


@dataclass
class ObjectiveConfig:
    """What a run returns and a search optimises.

    Attributes:
        metric: Name of a metric of the last stage, e.g. ``f1``, ``latency_ms``, ``bytes``, or
            ``seconds``, what all stages took; a list for several objectives.
        direction: ``maximize`` or ``minimize``; a list for several objectives.
        constraints: Bounds on metrics, ``min`` and ``max`` by name; a trial outside of them is
            never the best. On a command line: ``+objective.constraints.bytes.max=20e6``.
    """

    metric: Any = MISSING
    direction: Any = "maximize"
    constraints: dict[str, Any] = field(default_factory=dict)


@dataclass
class PathsConfig:
    """Where things are written.

    Attributes:
        root: Everything below moves with it.
        store: Results of stages, shared by all runs and studies.
        studies: One directory a study.
        outputs: One directory a single run.
        cache: What can be recomputed at any time (tokenised data).
        scratch: Local disk of a machine whose other paths are shared, e.g. ``$TMPDIR``: output is
            made there, and models are copied there before stages read them. ``null``: none.
    """

    root: str = MISSING
    store: str = MISSING
    studies: str = MISSING
    outputs: str = MISSING
    cache: str = MISSING
    scratch: str | None = None


@dataclass
class StoreConfig:
    """How much the store may hold and what stands behind it; nothing here changes a result.

    Attributes:
        budget_gb: Gigabytes (10^9 bytes) that stored results may take together; ``null``: any
            number. Above it, results that nothing refers to are freed during runs.
        keep_best: How many of its best trials each study keeps the results of.
        remote: URL of a store from which results are fetched and to which they are sent, such as
            ``s3://bucket/prefix``; ``null``: none.
        scratch_gb: Gigabytes that copies of models on ``paths.scratch`` may take together.
        unfinished_gb: Gigabytes that checkpoints may take together from which later runs go on:
            those that runs of other length share, and those of pruned trials. 0 keeps none.
    """

    budget_gb: float | None = None
    keep_best: int = 3
    remote: str | None = None
    scratch_gb: float = 20.0
    unfinished_gb: float = 4.0


class Strategy(Enum):
    """How several processes share the training of one model."""

    ddp = "ddp"
    fsdp = "fsdp"


@dataclass
class ResourcesConfig:
    """What one trial runs on.

    Attributes:
        gpus_per_trial: GPUs of a trial; ``null``: one where there are any.
        processes_per_trial: Processes that train together in a trial; ``null``: one for each of
            its ``gpus_per_trial``, one where that is not set.
        strategy: ``ddp`` keeps the whole model in each process, ``fsdp`` shares it out, for
            models that do not fit.
        patience: Seconds that a process may keep the others waiting before it counts as hung and
            the trial as crashed.
    """

    gpus_per_trial: int | None = None
    processes_per_trial: int | None = None
    strategy: Strategy = Strategy.ddp
    patience: float = 1800.0


@dataclass
class DebugConfig:
    """Limits laid over any run, to try it quickly; ``null`` is no limit.

    Attributes:
        max_train: Training examples.
        max_validation: Validation examples.
        max_test: Test examples.
        max_steps: Optimiser steps a stage.
        evaluations: Evaluations a stage.
    """

    max_train: int | None = None
    max_validation: int | None = None
    max_test: int | None = None
    max_steps: int | None = None
    evaluations: int | None = None


@dataclass
class RootConfig:
    """Everything a run is made of.

    Attributes:
        task: What is predicted and how it is scored (group ``task``).
        data: What is trained and scored on (group ``data``).
        model: The pretrained model (group ``model``).
        stages: The pipeline: stages by name, in order (group ``stage``).
        objective: What a run returns (group ``objective``).
        sampler: How a search proposes (group ``sampler``).
        pruner: How a search cuts bad trials short (group ``pruner``).
        tracker: Where runs are mirrored to (group ``tracker``).
        paths: Where things are written.
        store: How much may be stored, and what stands behind the store.
        resources: What one trial runs on.
        debug: Limits for quick tries (group ``debug``).
        seed: Seed of everything random in the stages.
        seeds: Run once with each of these instead and return the mean; ``null``: once.
        numerics: How numbers are computed.
        measure: What is measured of every result beside its scores.
        threads: CPU threads of a run; ``null`` leaves torch's own choice.
        progress: Whether to draw progress.
    """

    task: Any = MISSING
    data: Any = MISSING
    model: ModelConfig = field(default_factory=ModelConfig)
    stages: dict[str, Any] = field(default_factory=dict)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    sampler: Any = None
    pruner: Any = None
    tracker: Any = MISSING
    paths: PathsConfig = field(default_factory=PathsConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    resources: ResourcesConfig = field(default_factory=ResourcesConfig)
    debug: DebugConfig = field(default_factory=DebugConfig)
    seed: int = 13
    seeds: list[int] | None = None
    numerics: Numerics = Numerics.auto
    measure: Measure = Measure.all
    threads: int | None = None
    progress: bool = True


def register() -> None:
    """File every schema in Hydra's ConfigStore, and the resolvers that configurations use."""
    store = ConfigStore.instance()
    # Hydra copies the store, schemas and all, for every composition and every group it lists;
    # it only reads the copies. Sharing the one store saves 65 ms each time.
    vars(store)["__deepcopy__"] = lambda memo: store
    store.store(group="schema", name="root", node=RootConfig)
    for kind in TASKS:
        store.store(group="schema/task", name=kind, node=TASKS[kind].Config)
    for kind in SOURCES:
        store.store(group="schema/data", name=kind, node=SOURCES[kind].Config)
    for kind in STAGES:
        store.store(group="schema", name=kind, node=STAGES[kind].Config)
    for kind in TRACKERS:
        store.store(group="schema/tracker", name=kind, node=TRACKERS[kind].Config)
    store.store(group="schema", name="model", node=ModelConfig)
    OmegaConf.register_new_resolver(
        "primary_metric", lambda kind: TASKS[kind].primary_metric, replace=True
    )
