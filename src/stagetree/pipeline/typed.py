"""Reading parts of a composed configuration as typed values, noting every fault."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stagetree.core.errors import Fault, unknown

T = TypeVar("T")

_ABSENT = "expected a value but got none"
_MOST = 256
_read: dict[tuple[type, str], Any] = {}  # what fitted: most parts of a trial are its neighbour's


def below(prefix: str, faults: list[Fault]) -> list[Fault]:
    """Give faults with paths relative to ``prefix`` their whole path."""
    return [Fault(_whole(prefix, fault.path), fault.message) for fault in faults]


def _whole(prefix: str, path: str) -> str:
    if f"{path}.".startswith(f"{prefix}."):
        return path
    return f"{prefix}.{path}".rstrip(".")


def typed(node: Any, schema: type[T], path: str, faults: list[Fault]) -> T | None:
    """Return a config node as an instance of its dataclass, or note what does not fit."""
    if not isinstance(node, DictConfig):
        faults.append(Fault(path, f"expected a mapping but got {node!r}"))
        return None
    found = len(faults)
    missing = OmegaConf.missing_keys(node)
    faults += below(path, [Fault(key, _ABSENT) for key in sorted(missing)])
    try:
        plain = OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        faults.append(Fault(path, str(error).splitlines()[0]))
        return None
    known = (schema, repr(plain))
    if known not in _read:
        config = _filled(plain if isinstance(plain, dict) else {}, schema, path, faults)
        if len(faults) > found:
            return None
        if len(_read) >= _MOST:
            _read.clear()
        _read[known] = config
    return cast("T", copy.deepcopy(_read[known]))


def _filled(plain: Mapping[Any, Any], schema: type[T], path: str, faults: list[Fault]) -> T | None:
    """Return an instance of a dataclass with these values, or note those that do not fit."""
    found = len(faults)
    config = OmegaConf.structured(schema)
    for key, value in plain.items():
        try:
            OmegaConf.update(config, str(key), value)
        except OmegaConfBaseException as error:
            faults.append(_field_fault(path, str(key), value, schema, error))
    if len(faults) == found:
        absent = sorted(OmegaConf.missing_keys(config))
        faults += below(path, [Fault(key, _ABSENT) for key in absent])
    return cast("T", OmegaConf.to_object(config)) if len(faults) == found else None


def _field_fault(path: str, key: str, value: Any, schema: type, error: Exception) -> Fault:
    known = [field.name for field in dataclasses.fields(schema)]
    if key not in known:
        return Fault(f"{path}.{key}", unknown("option", key, known))
    return Fault(f"{path}.{key}", f"{str(error).splitlines()[0]} (got {value!r})")


def kind_of(node: Any, path: str, known: Any, faults: list[Fault]) -> str | None:
    """Return the registered kind that a config node names, or note that there is none."""
    kind = OmegaConf.select(node, "kind", throw_on_missing=False) if node is not None else None
    if kind in known:
        return str(kind)
    faults.append(Fault(f"{path}.kind", unknown(f"{path} kind", str(kind), known)))
    return None


def least(*limits: int | None) -> int | None:
    """Return the smallest limit; ``None`` is no limit."""
    given = [limit for limit in limits if limit is not None]
    return min(given) if given else None
