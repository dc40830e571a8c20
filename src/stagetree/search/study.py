"""Opening a study: created once, reopened only for the question it was created for."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import optuna
from optuna import Study
from optuna.study import StudyDirection

from stagetree.core.errors import Fault, StagetreeError, StudyMismatchError
from stagetree.core.lease import Lease
from stagetree.search.journal import open_storage
from stagetree.search.space import readable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

LOCK = "study.lock"
_FINGERPRINT = "stagetree:fingerprint"
_SEED = "stagetree:seed"
_WAIT = 300.0


@dataclass(frozen=True)
class Fingerprint:
    """What makes two searches the same question; trials of different questions never mix.

    Attributes:
        space: Search space as text a key, see :meth:`~stagetree.search.space.Space.describe`.
        directions: ``maximize`` or ``minimize``, one an objective.
        metric: The objective among the reported metrics.
        config: All other configuration that may change a value, as text a dotted key.
    """

    space: Mapping[str, str]
    directions: Sequence[str]
    metric: str | None
    config: Mapping[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Return the fingerprint as JSON data."""
        return {
            "space": dict(self.space),
            "directions": list(self.directions),
            "metric": self.metric,
            "config": dict(self.config),
        }


def study_lease(directory: Path, heartbeat: float = 2.0, grace: float = 20.0) -> Lease:
    """Return the lease under which trials of a study are created and handed out."""
    return Lease(directory / LOCK, heartbeat=heartbeat, grace=grace)


def open_or_create(
    directory: Path, name: str, fingerprint: Fingerprint, url: str | None, seed: int | None
) -> Study:
    """Open a study, creating it when it is new; several processes may do so at once.

    Args:
        directory: The study's directory.
        name: Its name.
        fingerprint: The question it answers.
        url: Database URL, or ``None`` for the journal file in the directory.
        seed: Seed of the samplers; ``None`` draws one, which the study keeps.

    Raises:
        StudyMismatchError: A study of this name answers another question; lists every
            difference.
        StagetreeError: The study is held by another process for minutes.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lease = study_lease(directory)
    if not lease.acquire(timeout=_WAIT, poll=0.05):
        raise StagetreeError(f"expected to open {directory} but another process holds {lease.path}")
    try:
        study = optuna.create_study(
            study_name=name,
            storage=open_storage(directory, url),
            directions=[StudyDirection[name.upper()] for name in fingerprint.directions],
            load_if_exists=True,
        )
        known = study.user_attrs.get(_FINGERPRINT)
        if known is None:
            drawn = int.from_bytes(os.urandom(4), "big") if seed is None else seed
            study.set_user_attr(_SEED, drawn)
            study.set_user_attr(_FINGERPRINT, fingerprint.plain())
        else:
            _compare(name, known, fingerprint.plain())
    finally:
        lease.release()
    return study


def load(directory: Path, name: str, url: str | None) -> Study:
    """Open a study that exists.

    Raises:
        KeyError: There is none of this name.
    """
    return optuna.load_study(study_name=name, storage=open_storage(directory, url))


def seed_of(study: Study) -> int:
    """Return the seed of the study's samplers."""
    return int(study.user_attrs.get(_SEED, 0))


def metric_of(study: Study) -> str | None:
    """Return the name of the metric that is the objective, if the study names one."""
    metric = study.user_attrs.get(_FINGERPRINT, {}).get("metric")
    return None if metric is None else str(metric)


def directions_of(study: Study) -> list[str]:
    """Return ``maximize`` or ``minimize`` for each objective."""
    return [
        "maximize" if direction == StudyDirection.MAXIMIZE else "minimize"
        for direction in study.directions
    ]


def _compare(name: str, known: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    faults = [
        *_differences(known["space"], asked["space"], readable),
        *_differences(known["config"], asked["config"], str),
    ]
    for key in ("directions", "metric"):
        if known[key] != asked[key]:
            shown, wanted = json.dumps(known[key]), json.dumps(asked[key])
            faults.append(Fault(key, f"study has {shown}, this line asks {wanted}"))
    if faults:
        hint = (
            f"study {name!r} answers another question; its trials cannot be mixed with new ones. "
            "Repeat its own settings, or start another study with hydra.sweeper.study_name=NAME."
        )
        raise StudyMismatchError([Fault("hydra.sweeper.study_name", hint), *faults])


def _differences(
    known: Mapping[str, str], asked: Mapping[str, str], show: Callable[[str], str]
) -> list[Fault]:
    """Return a fault for every key that differs, and one for a section only one side has."""
    messages: dict[str, str] = {}
    for key in sorted({*known, *asked}):
        if known.get(key) == asked.get(key):
            continue
        if key in known and key in asked:
            messages[key] = f"study has {show(known[key])}, this line asks {show(asked[key])}"
        elif key in known:
            section = _section(key, asked)
            value = show(known[key]) if section == key else "it"
            messages[section] = f"study has {value}, this line does not"
        else:
            section = _section(key, known)
            value = show(asked[key]) if section == key else "it"
            messages[section] = f"study has none, this line asks {value}"
    return [Fault(key, message) for key, message in messages.items()]


def _section(key: str, other: Mapping[str, str]) -> str:
    """Return the shortest part of a dotted key under which ``other`` has nothing."""
    parts = key.split(".")
    for length in range(1, len(parts)):
        prefix = ".".join(parts[:length])
        if not any(name == prefix or name.startswith(f"{prefix}.") for name in other):
            return prefix
    return key
