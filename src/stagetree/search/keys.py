"""Looking keys up in a composed configuration."""

from __future__ import annotations

from typing import Any

from omegaconf import Container, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stagetree.core.errors import nearest

NOWHERE = object()
"""What :func:`default` returns for a key that the configuration does not have."""


def has_key(config: DictConfig, key: str) -> bool:
    """Return whether a dotted key can be set in a configuration, a missing value included."""
    parent, _, last = key.rpartition(".")
    try:
        holder = OmegaConf.select(config, parent) if parent else config
    except OmegaConfBaseException:
        return False
    if isinstance(holder, ListConfig):
        return last.isdigit() and int(last) < len(holder)
    return isinstance(holder, DictConfig) and not holder._is_none() and last in list(holder)


def default(config: DictConfig, key: str) -> Any:
    """Return the value that a configuration has for a key, or the chosen option of a group."""
    bare = key.lstrip("+")
    choices = OmegaConf.select(config, "hydra.runtime.choices") or {}
    if bare in choices:
        return choices[bare]
    try:
        value = OmegaConf.select(config, bare, default=NOWHERE)
    except OmegaConfBaseException:
        return NOWHERE
    return OmegaConf.to_container(value) if isinstance(value, Container) else value


def nearest_key(config: DictConfig, key: str) -> str:
    """Return the key of a configuration that is most like one it lacks; empty if none is.

    >>> nearest_key(OmegaConf.create({"a": {"rate": 1}}), "a.rtae")
    'a.rate'
    """
    node: object = config
    parts = key.split(".")
    for depth, part in enumerate(parts):
        if not isinstance(node, DictConfig) or node._is_none():
            return ""
        names = [str(name) for name in node]
        if part not in names:
            close = nearest(part, names)
            return ".".join([*parts[:depth], close]) if close else ""
        node = node._get_node(part)
    return ""
