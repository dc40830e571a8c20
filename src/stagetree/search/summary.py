"""What a search comes to, for trackers."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, cast

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from stagetree.core.summary import StudySummary
from stagetree.search import importance, results
from stagetree.search import study as studies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optuna import Study


def summarise(study: Study, config: DictConfig, command: str) -> StudySummary:
    """Return a study as plain data.

    Args:
        study: The study.
        config: The composed configuration of the search, with ``hydra``.
        command: A command line that goes on with the search.
    """
    rows = results.rows(study)
    directions = studies.directions_of(study)
    return StudySummary(
        name=study.study_name,
        directory=Path(str(config.hydra.sweep.dir)),
        config=_without_hydra(config),
        metrics=studies.metrics_of(study),
        directions=directions,
        rows=rows,
        front=results.front(rows, directions),
        importances=functools.partial(_importances, study),
        command=command,
    )


def _without_hydra(config: DictConfig) -> Mapping[str, object]:
    bare = config.copy()
    with read_write(bare), open_dict(bare):
        bare.pop("hydra", None)
    return cast("Mapping[str, object]", OmegaConf.to_container(bare, resolve=True))


def _importances(study: Study) -> Mapping[str, float]:
    """Return the share of each hyperparameter in the first objective; empty when unknown."""
    return importance.of_objectives(study)[0].shares
