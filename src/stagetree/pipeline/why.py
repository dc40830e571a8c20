"""Why a stage's result is not reused: the fields in which the nearest stored one differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stagetree.core.signature import canonical_json

if TYPE_CHECKING:
    from stagetree.pipeline.record import Record
    from stagetree.pipeline.store import Store

_ABSENT = object()


def explain(store: Store, wanted: Mapping[str, Any]) -> list[str]:
    """Return a line a field in which the nearest stored result of the same kind differs.

    The nearest is the one with the fewest differing fields, of several the newest.

    Args:
        store: Where to look.
        wanted: What identifies the result that was not found: ``kind`` and any of ``version``,
            ``config``, ``inputs``, ``data``, ``model``, ``seed``, ``numerics``.

    Returns:
        Lines such as ``config.learning_rate: stored 0.0003, wanted 0.0001``; a single sentence
        when nothing of the kind is stored or nothing differs.
    """
    best: tuple[list[str], str, str] | None = None
    for record in store.records():
        if record.kind != wanted["kind"]:
            continue
        lines = differences(record, wanted)
        newer = best is not None and record.created > best[1]
        if best is None or len(lines) < len(best[0]) or (len(lines) == len(best[0]) and newer):
            best = (lines, record.created, record.signature)
    if best is None:
        return [f"no result of kind {wanted['kind']!r} is stored"]
    return best[0] or [f"nothing differs from the stored result {best[2][:12]}"]


def differences(record: Record, wanted: Mapping[str, Any]) -> list[str]:
    """Return a line a field of ``wanted`` that differs from ``record``."""
    stored = {
        "kind": record.kind,
        "version": record.version,
        "config": record.config,
        "inputs": record.inputs,
        "data": record.data,
        "model": record.model,
        "seed": record.seed,
        "numerics": record.environment.get("numerics"),
    }
    before = _flat("", {name: stored[name] for name in wanted if name in stored})
    after = _flat("", {name: value for name, value in wanted.items() if name in stored})
    return [
        f"{name}: stored {_shown(before, name)}, wanted {_shown(after, name)}"
        for name in (*after, *(name for name in before if name not in after))
        if _text(before, name) != _text(after, name)
    ]


def _flat(prefix: str, value: object) -> dict[str, object]:
    """Return leaf values by dotted path, list items by ``[index]``; empty containers are leaves."""
    if isinstance(value, Mapping) and value:
        parts = {f"{prefix}.{key}" if prefix else str(key): item for key, item in value.items()}
    elif isinstance(value, list | tuple) and value:
        parts = {f"{prefix}[{index}]": item for index, item in enumerate(value)}
    else:
        return {prefix: value}
    return {path: leaf for name, item in parts.items() for path, leaf in _flat(name, item).items()}


def _text(leaves: Mapping[str, object], name: str) -> str:
    return canonical_json(leaves[name]) if name in leaves else ""


def _shown(leaves: Mapping[str, object], name: str) -> str:
    value = leaves.get(name, _ABSENT)
    if value is _ABSENT:
        return "(nothing)"
    if isinstance(value, str) and len(value) == 64:
        return value[:12]
    return str(value)
