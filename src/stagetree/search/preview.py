"""A search line as its sweeper would take it, checked and looked at without being started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra._internal.callbacks import Callbacks
from hydra.types import HydraContext
from hydra.utils import get_method
from omegaconf import open_dict, read_write

from stagetree.core.errors import ConfigError, Fault
from stagetree.search import question
from stagetree.search.attempt import App
from stagetree.search.reading import Reading, read
from stagetree.search.simulation import Upcoming, upcoming
from stagetree.search.validate import validate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hydra.core.config_loader import ConfigLoader
    from omegaconf import DictConfig

SWEEPER = "hydra_plugins.stagetree_sweeper.sweeper.StagetreeSweeper"


@dataclass(frozen=True)
class Preview:
    """A search that could be started.

    Attributes:
        app: Composes its configurations.
        reading: What the line says.
        name: Name of its study.
        workers: How many workers would run at once.
        upcoming: The trials it still has to run.
        budgeted: Whether a time limit may end it before.
    """

    app: App
    reading: Reading
    name: str
    workers: int
    upcoming: Upcoming
    budgeted: bool


def preview(config: DictConfig, loader: ConfigLoader, program: str) -> Preview:
    """Read and validate a search as the sweeper does before its first trial.

    Args:
        config: The composed configuration of the line, sweeps left out, with ``hydra``.
        loader: The loader that composed it.
        program: File name of the app, part of what names a study.

    Raises:
        ConfigError: With every fault of the line, or all that makes it another question than
            the study of its name answers.
    """
    app, reading, options = checked(config, loader)
    name = options["study_name"] or question.default_name(reading.question, program)
    with read_write(config), open_dict(config):
        config.hydra.sweeper.study_name = name
    found = upcoming(reading, options, name, question.directory(config, name))
    trials = len(found.points) + found.unknown
    return Preview(
        app=app,
        reading=reading,
        name=name,
        workers=max(1, min(int(options["n_workers"]), trials)),
        upcoming=found,
        budgeted=options["timeout"] is not None or options["device_hours"] is not None,
    )


def checked(config: DictConfig, loader: ConfigLoader) -> tuple[App, Reading, Mapping[str, Any]]:
    """Read and validate a search line without looking at any study.

    Args:
        config: The composed configuration of the line, sweeps left out, with ``hydra``.
        loader: The loader that composed it.

    Returns:
        The app that composes its configurations, what the line says, and its sweeper's options.

    Raises:
        ConfigError: With every fault of the line.
    """
    options = _options(config)
    app = App(_never, HydraContext(loader, Callbacks()), config)
    reading = read(app, options, list(config.hydra.overrides.task))
    check = get_method(options["check"]) if options["check"] else None
    validate(app, reading.fixed, reading.space, check)
    return app, reading, options


def _options(config: DictConfig) -> dict[str, Any]:
    """Return the options that Hydra would give the sweeper."""
    sweeper = config.hydra.sweeper
    if sweeper.get("_target_") != SWEEPER:
        message = f"expected hydra/sweeper=stagetree but got {sweeper.get('_target_')}"
        raise ConfigError([Fault("hydra.sweeper", message)])
    return {str(key): sweeper[key] for key in sweeper if not str(key).startswith("_")}


def _never(config: DictConfig) -> None:
    raise RuntimeError("expected a preview to run no trial")
