"""A Hydra job that was packed in one process and runs in another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cloudpickle
from hydra.core.config_search_path import SearchPathElement
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def pack(
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    overrides: Sequence[str],
    number: int,
) -> bytes:
    """Return a job, and the state of Hydra that it needs, as bytes."""
    packed: bytes = cloudpickle.dumps(
        (Singleton.get_state(), (context, task, config, list(overrides), number))
    )
    return packed


def run(packed: bytes, move: Callable[[str], str] | None = None) -> JobReturn:
    """Run a packed job in this process.

    Args:
        packed: The job.
        move: Gives the path to read in place of a path of configuration files.
    """
    setup_globals()
    state, (context, task, config, overrides, number) = cloudpickle.loads(packed)
    Singleton.set_state(state)
    if move is not None:
        _move(context.config_loader, move)
    composed = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(composed):
        composed.hydra.job.id = str(number)
        composed.hydra.job.num = number
    return run_job(
        task_function=task,
        config=composed,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        hydra_context=context,
    )


def _move(loader: Any, move: Callable[[str], str]) -> None:
    """Let a config loader read its files elsewhere."""
    from hydra._internal.config_repository import ConfigRepository

    path = loader.config_search_path
    for element in path.get_path():
        assert isinstance(element, SearchPathElement)  # Hydra's own
        scheme, mark, place = element.path.rpartition("://")
        if scheme in ("", "file"):
            element.path = f"{scheme}{mark}{move(place)}"
    loader.repository = ConfigRepository(config_search_path=path)
