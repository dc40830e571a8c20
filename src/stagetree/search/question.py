"""What a search asks: its fingerprint, the name made from it, and where it is kept."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from stagetree.core.errors import ConfigError, Fault
from stagetree.core.signature import digest
from stagetree.search.constraints import Bounds, describe
from stagetree.search.study import Fingerprint

if TYPE_CHECKING:
    from stagetree.search.space import Space

FALLBACK = "stagetree_studies"
"""Where studies go when the app's sweep directory carries the time of the start."""


def fingerprint(
    config: DictConfig,
    space: Space,
    directions: Sequence[str],
    metrics: Sequence[str],
    constraints: Bounds,
    ignore: Sequence[str],
) -> Fingerprint:
    """Return what must be the same for trials to belong to one study.

    The whole composed configuration counts, not only what the command line says: a default that
    changed in a file changes the question, too.

    Args:
        config: The composed configuration without the swept keys.
        space: The search space.
        directions: One an objective.
        metrics: The objectives among the reported metrics; empty: the only reported one.
        constraints: Bounds on metrics.
        ignore: Top-level keys that cannot change a value.
    """
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)  # a root configuration is a mapping
    skipped = {"hydra", *ignore, *_sweeper_parts(config)}
    swept = {parameter.key.lstrip("+") for parameter in space.parameters}
    leaves = {
        path: text
        for key, value in plain.items()
        if key not in skipped
        for path, text in _leaves(str(key), value)
        if path not in swept
    }
    return Fingerprint(
        space.describe(),
        tuple(directions),
        tuple(metrics),
        leaves,
        describe(constraints),
        space.custom.describe() if space.custom else "",
    )


def default_name(question: Fingerprint, app: str) -> str:
    """Return the name of the study of a question: the same line gives the same name."""
    return f"study-{digest({**question.plain(), 'app': app})[:8]}"


def directions(direction: Any) -> tuple[str, ...]:
    """Return the directions of ``hydra.sweeper.direction``, one an objective.

    Raises:
        ConfigError: One is neither ``maximize`` nor ``minimize``.
    """
    listed = OmegaConf.to_container(direction) if OmegaConf.is_list(direction) else direction
    names = [str(name) for name in listed] if isinstance(listed, list) else [str(listed)]
    for name in names:
        if name not in ("maximize", "minimize"):
            message = f"expected maximize or minimize but got {name!r}"
            raise ConfigError([Fault("hydra.sweeper.direction", message)])
    return tuple(names)


def metrics(metric: Any, directions: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics of ``hydra.sweeper.metric``, none when it names none.

    Raises:
        ConfigError: They are not one a direction, or one is named twice.
    """
    listed = OmegaConf.to_container(metric) if OmegaConf.is_list(metric) else metric
    if listed is None:
        return ()
    names = tuple(str(name) for name in (listed if isinstance(listed, list) else [listed]))
    if len(names) != len(directions) or len(set(names)) < len(names):
        message = (
            f"expected {len(directions)} different metrics, one a direction, "
            f"but got {', '.join(names)}"
        )
        raise ConfigError([Fault("hydra.sweeper.metric", message)])
    return names


def directory(config: DictConfig, name: str) -> Path:
    """Return the absolute directory of study ``name``.

    It is the app's ``hydra.sweep.dir``, unless that carries the time of the start, as Hydra's
    default does: no later run would find the study there.
    """
    raw = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    assert isinstance(raw, dict)  # hydra.sweep is a mapping
    if "${now:" in str(raw["dir"]):
        return (Path(FALLBACK) / name).absolute()
    return Path(str(config.hydra.sweep.dir)).absolute()


def _sweeper_parts(config: DictConfig) -> Iterator[str]:
    """Yield the root keys that only feed sampler and pruner; those may change in a study."""
    sweeper = OmegaConf.to_container(config.hydra.sweeper, resolve=False)
    assert isinstance(sweeper, dict)  # hydra.sweeper is a mapping
    for part in ("sampler", "pruner"):
        raw = sweeper.get(part)
        if isinstance(raw, str) and raw.startswith("${") and raw.endswith("}"):
            yield raw[2:-1]


def leaf_text(value: Any) -> str:
    """Return the text that a fingerprint keeps of a configuration's value."""
    return value if isinstance(value, str) else json.dumps(value, default=_name)


def _name(value: object) -> str:
    return value.name if isinstance(value, enum.Enum) else str(value)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(f"{path}.{key}", item)
    else:
        yield path, leaf_text(value)
