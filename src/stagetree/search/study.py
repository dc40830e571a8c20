"""A study: the question it answers, its seed, and the lease under which it is changed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import optuna
from optuna import Study
from optuna.study import StudyDirection

from stagetree.core.lease import Lease
from stagetree.search.journal import open_storage
from stagetree.search.patient_storage import OPENING, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from optuna.storages import BaseStorage

LOCK = "study.lock"
_FINGERPRINT = "stagetree:fingerprint"
_SEED = "stagetree:seed"


@dataclass(frozen=True)
class Fingerprint:
    """What makes two searches the same question; trials of different questions never mix.

    Attributes:
        space: Search space as text a key, see :meth:`~stagetree.search.space.Space.describe`.
        directions: ``maximize`` or ``minimize``, one an objective.
        metrics: The objectives among the reported metrics; empty: the only reported one.
        config: All other configuration that may change a value, as text a dotted key.
        constraints: Bounds, as text a metric.
        custom: The function that adds to the space, as text that changes with it; empty: none.
    """

    space: Mapping[str, str]
    directions: Sequence[str]
    metrics: Sequence[str] = ()
    config: Mapping[str, str] = field(default_factory=dict)
    constraints: Mapping[str, str] = field(default_factory=dict)
    custom: str = ""

    def plain(self) -> dict[str, Any]:
        """Return the fingerprint as JSON data."""
        return {
            "space": dict(self.space),
            "directions": list(self.directions),
            "metrics": list(self.metrics),
            "config": dict(self.config),
            "constraints": dict(self.constraints),
            **({"custom": self.custom} if self.custom else {}),
        }


def study_lease(directory: Path, heartbeat: float = 2.0, grace: float = 20.0) -> Lease:
    """Return the lease under which trials of a study are created and handed out."""
    return Lease(directory / LOCK, heartbeat=heartbeat, grace=grace)


def create(name: str, directions: Sequence[str], storage: BaseStorage) -> Study:
    """Create a study that has no question yet, or return what an earlier try left of it."""
    return optuna.create_study(
        study_name=name,
        storage=storage,
        directions=[StudyDirection[direction.upper()] for direction in directions],
        load_if_exists=True,
    )


def begin(study: Study, fingerprint: Fingerprint, seed: int | None) -> None:
    """Give a study its seed and, last of all, its question: from now on it is in use.

    Args:
        study: The study.
        fingerprint: The question it answers.
        seed: Seed of the samplers; ``None`` draws one, which the study keeps.
    """
    drawn = int.from_bytes(os.urandom(4), "big") if seed is None else seed
    study.set_user_attr(_SEED, drawn)
    study.set_user_attr(_FINGERPRINT, fingerprint.plain())


def question_of(study: Study) -> dict[str, Any] | None:
    """Return the question a study answers, as plain data; ``None`` before it has begun."""
    return study.user_attrs.get(_FINGERPRINT)


def load(
    directory: Path,
    name: str,
    url: str | None,
    *,
    opening: float = OPENING,
    patience: float = PATIENCE,
) -> Study:
    """Open a study that exists.

    Args:
        directory: Its directory.
        name: Its name.
        url: The storage's URL, or ``None`` for the journal in the directory.
        opening: Seconds to wait for a server that does not answer yet.
        patience: Seconds to wait for one that was there before.

    Raises:
        KeyError: There is none of this name.
    """
    storage = open_storage(directory, url, opening=opening, patience=patience)
    return optuna.load_study(study_name=name, storage=storage)


def seed_of(study: Study) -> int:
    """Return the seed of the study's samplers."""
    return int(study.user_attrs.get(_SEED, 0))


def metrics_of(study: Study) -> tuple[str, ...]:
    """Return a name for each objective: its metric, if the study names any."""
    named = tuple(study.user_attrs.get(_FINGERPRINT, {}).get("metrics", ()))
    count = len(study.directions)
    return named or (("value",) if count == 1 else tuple(f"value {n}" for n in range(count)))


def directions_of(study: Study) -> list[str]:
    """Return ``maximize`` or ``minimize`` for each objective."""
    return [
        "maximize" if direction == StudyDirection.MAXIMIZE else "minimize"
        for direction in study.directions
    ]
