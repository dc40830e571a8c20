"""What a search comes to, for trackers."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, cast

import optuna
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from optuna.exceptions import ExperimentalWarning

from stagetree.core.summary import StudySummary
from stagetree.search import results
from stagetree.search import study as studies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optuna import Study

FEWEST = 4
"""Fewer complete trials say nothing of what matters."""


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
    """Return the share of each hyperparameter in the first objective, by PED-ANOVA.

    Source: Watanabe et al. 2023, https://arxiv.org/abs/2304.10255.
    """
    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.values]
    if len(complete) < FEWEST:
        return {}
    sign = -1.0 if studies.directions_of(study)[0] == "maximize" else 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", message=".*low `target` values", category=UserWarning)
        try:
            return optuna.importance.get_param_importances(
                study,
                evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                target=lambda trial: sign * trial.values[0],
            )
        except (ValueError, RuntimeError):  # no parameter varies, or none that all trials have
            return {}
