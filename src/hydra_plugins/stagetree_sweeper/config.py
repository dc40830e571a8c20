"""Options of ``hydra/sweeper=stagetree``.

No ``from __future__ import annotations`` here: Hydra runs plugin modules before it registers them,
and dataclasses look textual annotations up in the registered module.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore


@dataclass
class StagetreeSweeperConf:
    """Options of the sweeper.

    Attributes:
        n_trials: How many trials the study shall have; unset: all points of a grid, else 20.
        n_workers: How many workers the launcher starts.
        study_name: Name of the study; unset: made from the question, so that the same command
            line finds its study again. A changed search space opens ``NAME-v2`` with the old
            trials.
        storage: Database URL, e.g. ``postgresql+psycopg2://USER@HOST/BASE``, or
            ``grpc://HOST:PORT`` of a ``stagetree storage serve``; unset: a journal file in the
            study's directory.
        storage_patience: Seconds for which a worker waits for a storage whose server is away,
            e.g. restarted.
        direction: ``maximize`` or ``minimize``, or a list of them.
        metric: Which reported metric is the objective, or a list of them; unset: the only one
            that is reported.
        constraints: Bounds on metrics, ``{bytes: {max: 20e6}}``; a trial outside of them is never
            the best, and samplers keep away from there.
        sampler: An Optuna sampler's ``_target_`` and options; unset: the exhaustive grid where
            all values can be listed, else TPE.
        pruner: An Optuna pruner's ``_target_`` and options; unset: no pruning.
        seed: Seed of the sampler; unset: drawn once and kept by the study.
        params: The search space: key to override text, list or value. The command line wins.
            ``{values: ..., when: {stage: [distill]}}`` is for a key that exists only there; of
            keys that the options of swept config groups do or do not have, this is found out.
        zip: Lists of keys that move together: the n-th value of one with the n-th of the others.
        custom_search_space: Dotted path of a ``function(config, trial)`` that suggests further
            values to each Optuna trial, by key, as in hydra-optuna-sweeper.
        max_attempts: How often a crashing trial is run before it counts as failed.
        max_failures: Share of the trials that may fail before the study stops with exit code 1.
        timeout: Seconds after which no trial is started that would not fit; unset: no limit.
        device_hours: Hours that all trials of the study may use together, over all workers and
            restarts, times the accelerators of each worker (a CPU counts as one); unset: no limit.
        enqueue: Points to run first, each a mapping of keys to values; what a point leaves out
            is sampled.
        defaults_first: Whether trial 0 has the configuration's own values; unset: yes, except
            in a grid, which keeps the order of the command line.
        copies: Whether a point that was run before takes over the earlier outcome instead of
            being run again.
        wait: Whether a worker without work waits for other workers' trials, to take over those
            of workers that die.
        heartbeat: Seconds between a worker's signs of life.
        grace: Seconds of silence after which a worker on another machine counts as dead.
        ignore: Top-level keys of the configuration that may differ when a study is reopened.
        check: Dotted path of a function that takes a composed configuration and raises
            ``ConfigError`` where it cannot be run; called before any trial starts.
        stages: Dotted path of a function that takes a composed configuration and returns name and
            signature of each stage it would run, in order. Samplers that know what is paid for
            find out with it which stage each key matters to.
        finished: Dotted path of a function that takes the composed configuration and the
            ``StudySummary`` of the study; called once at the end, whatever became of the trials.
    """

    _target_: str = "hydra_plugins.stagetree_sweeper.sweeper.StagetreeSweeper"
    _recursive_: bool = False
    n_trials: int | None = None
    n_workers: int = 1
    study_name: str | None = None
    storage: str | None = None
    storage_patience: float = 300.0
    direction: Any = "minimize"
    metric: Any = None
    constraints: dict[str, Any] = field(default_factory=dict)
    sampler: Any = None
    pruner: Any = None
    seed: int | None = None
    params: dict[str, Any] = field(default_factory=dict)
    zip: list[Any] = field(default_factory=list)
    custom_search_space: str | None = None
    max_attempts: int = 3
    max_failures: float = 0.5
    timeout: float | None = None
    device_hours: float | None = None
    enqueue: list[Any] = field(default_factory=list)
    defaults_first: bool | None = None
    copies: bool = True
    wait: bool = True
    heartbeat: float = 2.0
    grace: float = 20.0
    ignore: list[str] = field(
        default_factory=lambda: [
            "paths",
            "store",
            "tracker",
            "progress",
            "threads",
            "resources",
            "measure",
        ]
    )
    check: str | None = None
    stages: str | None = None
    finished: str | None = None


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="stagetree",
    node=StagetreeSweeperConf,
    provider="stagetree",
)
