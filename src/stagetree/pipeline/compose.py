"""From a composed configuration to a checked pipeline, with every fault reported at once."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from omegaconf import DictConfig, OmegaConf

from stagetree.core.errors import ConfigError, Fault, StagetreeError, nearest
from stagetree.core.signature import digest, signature
from stagetree.data.config import DataConfig
from stagetree.data.sources.base import SOURCES
from stagetree.models import source as model_source
from stagetree.models.config import ModelConfig
from stagetree.models.measure import asks_for_time
from stagetree.pipeline import narrowing, objective, parts, resources, seeds, transport
from stagetree.pipeline.nodes import Node, Pipeline
from stagetree.pipeline.resources import Resources
from stagetree.pipeline.schema import DebugConfig, StoreConfig
from stagetree.pipeline.typed import below, kind_of, least, typed
from stagetree.stages.base import STAGES, Stage, StageConfig, Upstream
from stagetree.tasks.base import TASKS, Task
from stagetree.tasks.multitask import MultitaskConfig, MultitaskTask
from stagetree.tracking.base import TRACKERS
from stagetree.training import numerics
from stagetree.training.config import TrainingConfig


def compose(cfg: DictConfig) -> Pipeline:
    """Return the pipeline a configuration describes.

    Imports no torch and reads no data beyond what a fingerprint needs.

    Raises:
        ConfigError: With every fault of the configuration, each with its path.
    """
    faults: list[Fault] = []
    debug = typed(cfg.debug, DebugConfig, "debug", faults) or DebugConfig()
    task = _task(cfg, faults)
    data = _data(cfg, debug, task, faults)
    model = typed(cfg.model, ModelConfig, "model", faults)
    if model is not None:
        faults += below("model", model_source.check(model))
    stages = _stages(cfg, debug, task, faults)
    goal = objective.read(cfg.objective, faults)
    faults += narrowing.objective_faults(task, stages, goal)
    several = seeds.read(cfg, faults)
    faults += _tracker_faults(cfg)
    faults += _store_faults(cfg)
    use = resources.read(cfg, stages, faults)
    if faults or task is None or data is None or model is None:
        raise ConfigError(faults)
    return _sign(cfg, task, data, model, stages, goal, several, use)


def outline(cfg: DictConfig) -> list[tuple[str, str]]:
    """Return name and signature of each stage that a configuration runs, in order.

    Of a run over several seeds it is the first one's: the others depend on the same.

    Raises:
        ConfigError: With every fault of the configuration.
    """
    nodes = compose(cfg).nodes
    return [(node.key, node.signature) for node in nodes if node.seed == nodes[0].seed]


def _tracker_faults(cfg: DictConfig) -> list[Fault]:
    faults: list[Fault] = []
    node = OmegaConf.select(cfg, "tracker")
    kind = kind_of(node, "tracker", TRACKERS, faults)
    config = None if kind is None else typed(node, TRACKERS[kind].Config, "tracker", faults)
    if kind is not None and config is not None:
        faults += below("tracker", TRACKERS[kind].check(config))
    return faults


def task_of(cfg: DictConfig) -> Task:
    """Return the task of a composed configuration.

    Raises:
        ConfigError: With all that is wrong with it.
    """
    faults: list[Fault] = []
    task = _task(cfg, faults)
    if faults or task is None:
        raise ConfigError(faults)
    return task


def _store_faults(cfg: DictConfig) -> list[Fault]:
    """Return what is wrong with the limits of the store."""
    faults: list[Fault] = []
    limits = typed(cfg.store, StoreConfig, "store", faults) or StoreConfig()
    budget, best = limits.budget_gb, limits.keep_best
    if budget is not None and not 0 < budget < math.inf:
        message = f"expected a positive number of gigabytes, or null for no limit, got {budget}"
        faults.append(Fault("store.budget_gb", message))
    if best < 1:
        message = f"expected at least 1 best trial a study to keep but got {best}"
        faults.append(Fault("store.keep_best", message))
    if not 0 < limits.scratch_gb < math.inf:
        message = f"expected a positive number of gigabytes but got {limits.scratch_gb}"
        faults.append(Fault("store.scratch_gb", message))
    if not 0 <= limits.unfinished_gb < math.inf:
        message = f"expected gigabytes, 0 to keep nothing, but got {limits.unfinished_gb}"
        faults.append(Fault("store.unfinished_gb", message))
    wrong = "" if limits.remote is None else transport.fault(limits.remote)
    return [*faults, Fault("store.remote", wrong)] if wrong else faults


def _task(cfg: DictConfig, faults: list[Fault]) -> Task | None:
    kind = kind_of(cfg.task, "task", TASKS, faults)
    if kind is None:
        return None
    config = typed(cfg.task, TASKS[kind].Config, "task", faults)
    if isinstance(config, MultitaskConfig):
        return parts.read(config, cfg.task, faults)
    return TASKS[kind](config) if config is not None else None


def _data(
    cfg: DictConfig, debug: DebugConfig, task: Task | None, faults: list[Fault]
) -> DataConfig | None:
    kind = kind_of(cfg.data, "data", SOURCES, faults)
    if kind is None:
        return None
    config = typed(cfg.data, SOURCES[kind].Config, "data", faults)
    if config is None:
        return None
    for limit in ("max_train", "max_validation", "max_test"):
        setattr(config, limit, least(getattr(config, limit), getattr(debug, limit)))
    if isinstance(task, MultitaskTask):
        parts.lay(task, config, faults)
    elif task is not None:
        faults += below("data", SOURCES[kind].check(config, task.layout))
    return config


def _stages(
    cfg: DictConfig, debug: DebugConfig, task: Task | None, faults: list[Fault]
) -> list[tuple[str, type[Stage], Any]]:
    if not cfg.stages:
        faults.append(
            Fault("stages", "expected at least one stage but got none; say stage=finetune")
        )
    stages: list[tuple[str, type[Stage], Any]] = []
    before: list[Upstream] = []
    narrowed: dict[str, str | None] = {}
    for name in cfg.stages:
        path = f"stages.{name}"
        node = cfg.stages[name]
        kind = kind_of(node, path, STAGES, faults)
        if kind is None:
            continue
        config = typed(node, STAGES[kind].Config, path, faults)
        if config is not None:
            _shorten(config, debug)
            faults += below(path, _order_faults(STAGES[kind], config, before))
            faults += below(path, STAGES[kind].check(config, before))
            _settle(config)
            stages.append((str(name), STAGES[kind], config))
            roles = STAGES[kind].roles(config, before)
            wrong = narrowing.stage_faults(task, STAGES[kind], config, roles, narrowed)
            faults += below(path, wrong)
            narrowed[str(name)] = narrowing.part_of(STAGES[kind], config, roles, narrowed)
        final = STAGES[kind].final(config) if config is not None else ""
        before.append(Upstream(str(name), kind, final))
    return stages


def _shorten(config: Any, debug: DebugConfig) -> None:
    """Shorten a training, and those among a stage's options."""
    if not isinstance(config, TrainingConfig):
        for option in dataclasses.fields(config):
            if isinstance(getattr(config, option.name), TrainingConfig):
                _shorten(getattr(config, option.name), debug)
        return
    if debug.max_steps is not None:
        config.max_steps = min(config.max_steps or debug.max_steps, debug.max_steps)
    if debug.evaluations is not None:
        config.evaluations = min(config.evaluations, debug.evaluations)


def _settle(config: StageConfig) -> None:
    """Forget options that say nothing, so that equal results have equal signatures."""
    if isinstance(config, TrainingConfig):
        config.adapter = config.adapter.settled()


def _order_faults(stage: type[Stage], config: Any, before: list[Upstream]) -> list[Fault]:
    """Return why a stage cannot stand where it stands."""
    if not before:
        if stage.needs_input:
            return [
                Fault(
                    "",
                    f"a {stage.kind} stage needs a stage before it; "
                    f"say stage=[finetune,{stage.kind}]",
                )
            ]
        return []
    kinds = {upstream.name: upstream.kind for upstream in before}
    final = {upstream.name: upstream.final for upstream in before}
    faults: list[Fault] = []
    for role, name in stage.roles(config, before).items():
        if name not in kinds:
            close = nearest(name, kinds)
            hint = f" Did you mean {close!r}?" if close else ""
            faults.append(
                Fault(
                    role,
                    f"expected a stage before this one but got {name!r}.{hint} "
                    f"Before it: {', '.join(kinds)}.",
                )
            )
        elif role == "input" and stage.changes(config):
            faults += _final_faults(config, name, kinds[name], final[name])
    return faults


def _final_faults(config: Any, name: str, kind: str, final: str) -> list[Fault]:
    """Return why a stage's result cannot be changed by the stage of ``config``."""
    if final:
        return [Fault("input", f"the result of {name!r} cannot be changed: {final}")]
    if STAGES[kind].trainable_result:
        return []
    adapter = getattr(config, "adapter", None)
    if adapter is not None and adapter.active:
        why = (
            f"{name!r} is a {kind} stage, and an adapter of method {adapter.method.name} needs a "
            f"base of plain weights to train on; train the adapter first and place {name!r} last"
        )
        return [Fault("input", why)]
    return [
        Fault(
            "input",
            f"{name!r} is a {kind} stage, whose result cannot be "
            f"changed further; place {name!r} last",
        )
    ]


def _sign(
    cfg: DictConfig,
    task: Task,
    data: DataConfig,
    model: ModelConfig,
    stages: list[tuple[str, type[Stage], Any]],
    goal: objective.Objective,
    several: tuple[int, ...],
    use: Resources,
) -> Pipeline:
    """Give every stage its signature, each from those before it."""
    data_fingerprint, revision = _origins(task, data, model)
    resolved = numerics.resolve(cfg.numerics.name)
    nodes = [
        dataclasses.replace(node, name=seeds.named(node.key, seed)) if several else node
        for seed in several or (cfg.seed,)
        for node in _nodes(stages, resolved, revision, data_fingerprint, seed, use)
    ]
    named = [*goal.metrics, *cfg.objective.constraints]
    return Pipeline(
        nodes=tuple(nodes),
        model=model,
        data=data,
        task=task,
        data_fingerprint=data_fingerprint,
        model_revision=revision,
        seed=cfg.seed,
        seeds=several,
        numerics=resolved,
        objective=goal,
        resources=use,
        timed=cfg.measure.name == "all" or asks_for_time(named),
    )


def _origins(task: Task, data: DataConfig, model: ModelConfig) -> tuple[str, str]:
    """Return what tells data and task, and the model's first weights, from all others."""
    try:
        fingerprint = digest(
            {
                "data": SOURCES[data.kind].fingerprint(parts.unlimited(data)),
                "limits": [data.max_train, data.max_validation, data.split_seed],
                "task": task.identity(),
            }
        )
        return fingerprint, model_source.revision(model)
    except ConfigError:
        raise
    except StagetreeError as error:
        raise ConfigError([Fault("", str(error))]) from error


def _nodes(
    stages: list[tuple[str, type[Stage], Any]],
    resolved: str,
    revision: str,
    data_fingerprint: str,
    seed: int,
    use: Resources,
) -> list[Node]:
    """Return the stages with one seed."""
    nodes: list[Node] = []
    known: dict[str, str] = {}
    narrowed: dict[str, str | None] = {}
    for key, stage, config in stages:
        roles = stage.roles(config, [Upstream(node.key, node.stage.kind) for node in nodes])
        inputs = tuple(known[upstream] for upstream in roles.values()) or (revision,)
        own = {**stage.fields(config, roles), "numerics": resolved}
        fields = {**own, **use.fields(stage, config)}
        known[key] = signature(stage.kind, stage.VERSION, fields, inputs, data_fingerprint, seed)
        narrowed[key] = part = narrowing.part_of(stage, config, roles, narrowed)
        nodes.append(Node(key, key, stage, config, fields, roles, inputs, seed, known[key], part))
    return nodes
