"""From a composed configuration to a checked pipeline, with every fault reported at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stagetree.core.errors import ConfigError, Fault, StagetreeError, nearest, unknown
from stagetree.core.signature import digest, result_fields, signature
from stagetree.data.config import DataConfig
from stagetree.data.sources.base import SOURCES
from stagetree.models import source as model_source
from stagetree.models.config import ModelConfig
from stagetree.pipeline import objective, seeds
from stagetree.pipeline.nodes import Node, Pipeline
from stagetree.pipeline.schema import DebugConfig
from stagetree.stages.base import STAGES, Stage, StageConfig, Upstream
from stagetree.tasks.base import TASKS, Task
from stagetree.training import numerics
from stagetree.training.config import TrainingConfig

T = TypeVar("T")


def compose(cfg: DictConfig) -> Pipeline:
    """Return the pipeline a configuration describes.

    Imports no torch and reads no data beyond what a fingerprint needs.

    Raises:
        ConfigError: With every fault of the configuration, each with its path.
    """
    faults: list[Fault] = []
    debug = _typed(cfg.debug, DebugConfig, "debug", faults) or DebugConfig()
    task = _task(cfg, faults)
    data = _data(cfg, debug, task, faults)
    model = _typed(cfg.model, ModelConfig, "model", faults)
    if model is not None:
        faults += _below("model", model_source.check(model))
    stages = _stages(cfg, debug, faults)
    goal = objective.read(cfg.objective, faults)
    several = seeds.read(cfg, faults)
    if faults or task is None or data is None or model is None:
        raise ConfigError(faults)
    return _sign(cfg, task, data, model, stages, goal, several)


def _below(prefix: str, faults: list[Fault]) -> list[Fault]:
    """Give faults with paths relative to ``prefix`` their whole path."""
    return [
        Fault(
            fault.path if fault.path.startswith(prefix) else f"{prefix}.{fault.path}".rstrip("."),
            fault.message,
        )
        for fault in faults
    ]


def _typed(node: Any, schema: type[T], path: str, faults: list[Fault]) -> T | None:
    """Return a config node as an instance of its dataclass, or note what does not fit."""
    if not isinstance(node, DictConfig):
        faults.append(Fault(path, f"expected a mapping but got {node!r}"))
        return None
    found = len(faults)
    missing = OmegaConf.missing_keys(node)
    faults += [Fault(f"{path}.{key}", "expected a value but got none") for key in sorted(missing)]
    try:
        plain = OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        faults.append(Fault(path, str(error).splitlines()[0]))
        return None
    typed = OmegaConf.structured(schema)
    for key, value in plain.items() if isinstance(plain, dict) else ():
        try:
            OmegaConf.update(typed, str(key), value)
        except OmegaConfBaseException as error:
            faults.append(_field_fault(path, str(key), value, schema, error))
    return cast("T", OmegaConf.to_object(typed)) if len(faults) == found else None


def _field_fault(path: str, key: str, value: Any, schema: type, error: Exception) -> Fault:
    known = [field.name for field in dataclasses.fields(schema)]
    if key not in known:
        return Fault(f"{path}.{key}", unknown("option", key, known))
    return Fault(f"{path}.{key}", f"{str(error).splitlines()[0]} (got {value!r})")


def _task(cfg: DictConfig, faults: list[Fault]) -> Task | None:
    kind = _kind(cfg.task, "task", TASKS, faults)
    if kind is None:
        return None
    config = _typed(cfg.task, TASKS[kind].Config, "task", faults)
    return TASKS[kind](config) if config is not None else None


def _kind(node: Any, path: str, known: Any, faults: list[Fault]) -> str | None:
    kind = OmegaConf.select(node, "kind", throw_on_missing=False) if node is not None else None
    if kind in known:
        return str(kind)
    faults.append(Fault(f"{path}.kind", unknown(f"{path} kind", str(kind), known)))
    return None


def _data(
    cfg: DictConfig, debug: DebugConfig, task: Task | None, faults: list[Fault]
) -> DataConfig | None:
    kind = _kind(cfg.data, "data", SOURCES, faults)
    if kind is None:
        return None
    config = _typed(cfg.data, SOURCES[kind].Config, "data", faults)
    if config is None:
        return None
    for limit in ("max_train", "max_validation", "max_test"):
        setattr(config, limit, _least(getattr(config, limit), getattr(debug, limit)))
    if task is not None:
        faults += _below("data", SOURCES[kind].check(config, task.layout))
    return config


def _least(*limits: int | None) -> int | None:
    given = [limit for limit in limits if limit is not None]
    return min(given) if given else None


def _stages(
    cfg: DictConfig, debug: DebugConfig, faults: list[Fault]
) -> list[tuple[str, type[Stage], Any]]:
    if not cfg.stages:
        faults.append(
            Fault("stages", "expected at least one stage but got none; say stage=finetune")
        )
    stages: list[tuple[str, type[Stage], Any]] = []
    before: list[Upstream] = []
    for name in cfg.stages:
        path = f"stages.{name}"
        node = cfg.stages[name]
        kind = _kind(node, path, STAGES, faults)
        if kind is None:
            continue
        config = _typed(node, STAGES[kind].Config, path, faults)
        if config is not None:
            _shorten(config, debug)
            faults += _below(path, _order_faults(STAGES[kind], config, before))
            faults += _below(path, STAGES[kind].check(config, before))
            stages.append((str(name), STAGES[kind], config))
        before.append(Upstream(str(name), kind))
    return stages


def _shorten(config: StageConfig, debug: DebugConfig) -> None:
    if not isinstance(config, TrainingConfig):
        return
    if debug.max_steps is not None:
        config.max_steps = min(config.max_steps or debug.max_steps, debug.max_steps)
    if debug.evaluations is not None:
        config.evaluations = min(config.evaluations, debug.evaluations)


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
        elif role == "input" and not STAGES[kinds[name]].trainable_result:
            faults.append(
                Fault(
                    role,
                    f"{name!r} is a {kinds[name]} stage, whose result cannot be "
                    f"changed further; place {name!r} last",
                )
            )
    return faults


def _sign(
    cfg: DictConfig,
    task: Task,
    data: DataConfig,
    model: ModelConfig,
    stages: list[tuple[str, type[Stage], Any]],
    goal: objective.Objective,
    several: tuple[int, ...],
) -> Pipeline:
    """Give every stage its signature, each from those before it."""
    try:
        data_fingerprint = digest(
            {
                "data": SOURCES[data.kind].fingerprint(_unlimited(data)),
                "limits": [data.max_train, data.max_validation, data.split_seed],
                "task": [task.kind, task.VERSION, result_fields(task.config)],
            }
        )
        revision = model_source.revision(model)
    except ConfigError:
        raise
    except StagetreeError as error:
        raise ConfigError([Fault("", str(error))]) from error
    resolved = numerics.resolve(cfg.numerics.name)
    nodes = [
        dataclasses.replace(node, name=seeds.named(node.key, seed)) if several else node
        for seed in several or (cfg.seed,)
        for node in _nodes(stages, resolved, revision, data_fingerprint, seed)
    ]
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
    )


def _nodes(
    stages: list[tuple[str, type[Stage], Any]],
    resolved: str,
    revision: str,
    data_fingerprint: str,
    seed: int,
) -> list[Node]:
    """Return the stages with one seed."""
    nodes: list[Node] = []
    known: dict[str, str] = {}
    for key, stage, config in stages:
        roles = stage.roles(config, [Upstream(node.key, node.stage.kind) for node in nodes])
        inputs = tuple(known[upstream] for upstream in roles.values()) or (revision,)
        fields = {**_own_fields(config, roles), "numerics": resolved}
        known[key] = signature(stage.kind, stage.VERSION, fields, inputs, data_fingerprint, seed)
        nodes.append(Node(key, key, stage, config, fields, roles, inputs, seed, known[key]))
    return nodes


def _own_fields(config: Any, roles: Mapping[str, str]) -> dict[str, object]:
    """Return a stage's fields for its signature: names of other stages say nothing."""
    fields = result_fields(config)
    return {key: value for key, value in fields.items() if key not in {*roles, "input", "kind"}}


def _unlimited(data: DataConfig) -> DataConfig:
    """Return the data without limits; those that matter are signed by themselves."""
    return dataclasses.replace(data, max_train=None, max_validation=None, max_test=None)
