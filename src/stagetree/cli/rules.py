"""Reading a file of post-processing rules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from stagetree.core.errors import ConfigError, Fault

_SHAPE = "expected a list whose items are NAME or NAME: {OPTION: VALUE, ...}"


def read_rules(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """Return name and options of every rule of a YAML file, in order.

    Raises:
        ConfigError: The file is missing, is not YAML, or is no list of rules.
    """
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except Exception as error:  # the errors of YAML and of OmegaConf share no base class
        raise ConfigError([Fault("--rules", f"{path} cannot be read: {error}")]) from error
    if not isinstance(content, list):
        raise ConfigError([Fault("--rules", f"{path}: {_SHAPE}, got {content!r}")])
    return [_rule(path, index, item) for index, item in enumerate(content)]


def _rule(path: Path, index: int, item: Any) -> tuple[str, Mapping[str, Any]]:
    if isinstance(item, str):
        return item, {}
    if isinstance(item, Mapping) and len(item) == 1:
        name, options = next(iter(item.items()))
        if options is None or isinstance(options, Mapping):
            named = {str(key): value for key, value in (options or {}).items()}
            return str(name), named
    raise ConfigError([Fault(f"--rules[{index}]", f"{path}: {_SHAPE}, got {item!r}")])
