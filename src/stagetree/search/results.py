"""Studies and their trials as plain records."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from stagetree.core.errors import ConfigError, Fault, unknown
from stagetree.core.trials import StageRow, TrialRow
from stagetree.search import recorded
from stagetree.search.journal import open_storage
from stagetree.search.notes import COPY_OF, FAILED, REJECTED, ended, failed, notes_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def rows(study: Study) -> list[TrialRow]:
    """Return every trial of a study, by number."""
    return [row(trial) for trial in study.get_trials(deepcopy=False)]


def row(trial: FrozenTrial) -> TrialRow:
    """Return a trial as a plain record."""
    notes = notes_of(trial)
    return TrialRow(
        number=trial.number,
        state=state_of(trial),
        params=dict(trial.params),
        values=tuple(trial.values or ()),
        stages=tuple(_stage(stage) for stage in notes.get("stages", ())),
        seconds=float(notes.get("seconds", 0.0)),
        pruned_in=notes.get("pruned_in"),
        error=notes.get("error"),
        copy_of=notes.get(COPY_OF),
        violations={name: value for name, value in trial.constraints.items() if value > 0},
        command=str(notes.get("command", "")),
    )


def state_of(trial: FrozenTrial) -> str:
    """Return a trial's state as people see it: one that did not fit in memory has failed."""
    if failed(trial):
        return FAILED
    return REJECTED if ended(trial) == REJECTED else STATES[trial.state]


def best(rows: Sequence[TrialRow], direction: str) -> TrialRow | None:
    """Return the feasible complete trial with the best first value, the earliest of equal ones."""
    sign = -1.0 if direction == "maximize" else 1.0
    candidates = [row for row in rows if row.state == "complete" and row.feasible]
    return min(candidates, key=lambda row: (sign * row.values[0], row.number), default=None)


def front(rows: Sequence[TrialRow], directions: Sequence[str]) -> list[TrialRow]:
    """Return the Pareto front by number: feasible trials that no other one beats in every value.

    Of trials with equal values the earliest stands for all. With one objective it is the best
    trial alone.
    """
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in directions]
    costs: dict[tuple[float, ...], TrialRow] = {}
    for row in rows:
        if row.state == "complete" and row.feasible:
            cost = tuple(sign * value for sign, value in zip(signs, row.values, strict=True))
            costs.setdefault(cost, row)
    points = np.array(list(costs))
    return [
        row
        for cost, row in costs.items()
        if not ((points <= cost).all(axis=1) & (points < cost).any(axis=1)).any()
    ]


def list_studies(root: Path) -> list[str]:
    """Return the names of the studies with a directory in ``root``, sorted."""
    return recorded.names(root)


def open_study(name: str, root: Path, url: str | None = None) -> Study:
    """Open an existing study for reading; a journal is neither locked nor mended.

    Args:
        name: Name of the study, or path of its directory.
        root: Directory that holds the studies' directories.
        url: Where its trials are, should that not be recorded in its directory.

    Raises:
        ConfigError: There is no such study; names the nearest one.
        StorageAwayError: Its storage's server does not answer.
    """
    directory = Path(name) if recorded.is_study(Path(name)) else root / name
    if url or recorded.is_study(directory):
        storage = open_storage(directory, url) if url else recorded.readable(directory)
        with contextlib.suppress(KeyError):
            return optuna.load_study(study_name=directory.resolve().name, storage=storage)
        names = optuna.get_all_study_names(storage)
        if len(names) == 1 and not url:
            return optuna.load_study(study_name=names[0], storage=storage)
        raise ConfigError([Fault("study", unknown("study", name, names))])
    raise ConfigError([Fault("study", unknown("study", name, list_studies(root)))])


def _stage(stage: Mapping[str, Any]) -> StageRow:
    return StageRow(**stage)
