"""The tasks of ``task=multitask`` and their data, read from the configuration and checked."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

from omegaconf import DictConfig

from stagetree.core.errors import Fault, unknown
from stagetree.data.config import DataConfig
from stagetree.data.sources.base import SOURCES
from stagetree.data.sources.multitask import MultitaskDataConfig
from stagetree.pipeline.typed import below, kind_of, least, typed
from stagetree.tasks.base import TASKS, Task
from stagetree.tasks.multitask import KINDS, MultitaskConfig, MultitaskTask, PartConfig

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_LIMITS = ("max_train", "max_validation", "max_test")


def read(config: MultitaskConfig, node: DictConfig, faults: list[Fault]) -> MultitaskTask | None:
    """Return several tasks with typed parts, or note everything wrong with them.

    Args:
        config: The task's options; its ``tasks`` are replaced by typed ones.
        node: The configuration ``task``.
        faults: Gets the faults.
    """
    found = len(faults)
    if not (math.isfinite(config.exponent) and config.exponent >= 0):
        message = f"expected a number of at least 0 but got {config.exponent}"
        faults.append(Fault("task.exponent", message))
    if len(config.tasks) < 2:
        message = f"expected at least two tasks but got {', '.join(config.tasks) or 'none'}"
        faults.append(Fault("task.tasks", message))
    parts = {name: _part(name, node.tasks[name], faults) for name in config.tasks}
    if len(faults) > found:
        return None
    return MultitaskTask(dataclasses.replace(config, tasks=parts))


def _part(name: str, node: Any, faults: list[Fault]) -> PartConfig | None:
    path = f"task.tasks.{name}"
    if not _NAME.fullmatch(name):
        message = "expected a name of letters, digits and '_' that begins with a letter"
        faults.append(Fault(path, message))
    part = typed(node, PartConfig, path, faults)
    if not isinstance(node, DictConfig):
        return None
    task = _task(node.get("task"), f"{path}.task", faults)
    data = _data(node.get("data"), f"{path}.data", task, faults)
    if part is None:
        return None
    if not (math.isfinite(part.weight) and part.weight > 0):
        faults.append(Fault(f"{path}.weight", f"expected a number above 0 but got {part.weight}"))
    return PartConfig(None if task is None else task.config, data, part.weight)


def _task(node: Any, path: str, faults: list[Fault]) -> Task | None:
    kind = _mapped_kind(node, path, KINDS, faults)
    config = None if kind is None else typed(node, TASKS[kind].Config, path, faults)
    return None if kind is None or config is None else TASKS[kind](config)


def _data(node: Any, path: str, task: Task | None, faults: list[Fault]) -> DataConfig | None:
    kinds = [kind for kind in SOURCES if kind != MultitaskDataConfig.kind]
    kind = _mapped_kind(node, path, kinds, faults)
    config = None if kind is None else typed(node, SOURCES[kind].Config, path, faults)
    if kind is not None and config is not None and task is not None:
        faults += below(path, SOURCES[kind].check(config, task.layout))
    return config


def _mapped_kind(node: Any, path: str, known: Any, faults: list[Fault]) -> str | None:
    if isinstance(node, DictConfig):
        return kind_of(node, path, known, faults)
    if node is not None:  # that it is missing is a fault of the part
        faults.append(Fault(path, f"expected a mapping with a kind but got {node!r}"))
    return None


def lay(task: MultitaskTask, data: DataConfig, faults: list[Fault]) -> None:
    """Put each task's data into the data of all, limited as all of it is.

    Args:
        task: The tasks.
        data: The configuration's data; changed in place.
        faults: Gets the fault of data that is not that of several tasks.
    """
    if not isinstance(data, MultitaskDataConfig):
        message = f"task=multitask brings its own data and cannot use {data.kind!r}"
        faults.append(Fault("data.kind", f"{message}; say data=multitask"))
        return
    faults += below("data", SOURCES[data.kind].check(data, task.layout))
    if data.parts:
        hint = unknown("option", "parts", [f.name for f in dataclasses.fields(DataConfig)])
        faults.append(Fault("data.parts", f"{hint} The data lies at task.tasks.NAME.data."))
    limits = {name: getattr(data, name) for name in _LIMITS}
    for name, part in task.config.tasks.items():
        own = {key: least(getattr(part.data, key), limit) for key, limit in limits.items()}
        data.parts[name] = dataclasses.replace(part.data, **own)
    for name in _LIMITS:
        setattr(data, name, None)


def unlimited(data: DataConfig) -> DataConfig:
    """Return data without limits that are signed elsewhere or cannot change a stage's result."""
    whole = dataclasses.replace(data, max_train=None, max_validation=None, max_test=None)
    if isinstance(whole, MultitaskDataConfig):
        parts = {
            name: dataclasses.replace(part, max_test=None) for name, part in whole.parts.items()
        }
        return dataclasses.replace(whole, parts=parts)
    return whole
