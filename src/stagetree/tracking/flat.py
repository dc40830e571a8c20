"""A run's configuration under the names a person sees, as flat keys and plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stagetree.core.reporting import StageInfo


def flat_config(
    config: Mapping[str, object], params: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Return a run's configuration and hyperparameters, e.g. ``finetune.epochs``: 3."""
    flat = {key.removeprefix("stages."): value for key, value in leaves(config)}
    return flat | {key: plain(value) for key, value in (params or {}).items()}


def leaves(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield dotted key and plain value of each leaf; a list is a leaf.

    >>> list(leaves({"a": {"b": 1, "c": [2]}}))
    [('a.b', 1), ('a.c', [2])]
    """
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", plain(value)


def plain(value: object) -> object:
    """Return an enumeration's member by name and a path as text; others as they are."""
    if isinstance(value, Enum):
        return value.name
    return str(value) if isinstance(value, Path) else value


def stage_key(stage: StageInfo) -> str:
    """Return a stage's name in letters that every service takes: ``finetune_13`` with seed 13."""
    return stage.name.replace("@", "_")
