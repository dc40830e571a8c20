"""What is worth confirming: the default, and the best trials or those a person names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stagetree.core.errors import ConfigError, Fault, StagetreeError
from stagetree.core.trials import TrialRow
from stagetree.pipeline.experiments import overrides

DEFAULT = "default"
"""Name of the configuration that the study began from."""

_SEEDS = ("seed", "seeds")


@dataclass(frozen=True)
class Candidate:
    """A configuration to confirm.

    Attributes:
        name: ``default`` or ``trial 7``.
        words: Overrides that compose it, no seed among them.
        seeding: Overrides that gave it its seed, or seeds, in the study.
        trial: Its number, if it is a trial's configuration.
        value: Its objective in the study, if it is a trial's.
        params: Its hyperparameters by displayed name.
    """

    name: str
    words: tuple[str, ...]
    seeding: tuple[str, ...] = ()
    trial: int | None = None
    value: float | None = None
    params: Mapping[str, object] = field(default_factory=dict)


def candidate(row: TrialRow, objective: int = 0) -> Candidate:
    """Return a trial's configuration.

    Raises:
        ConfigError: It was not run by this project's ``run.py``.
    """
    given = overrides(row.command)
    words = tuple(word for word in given if _key(word) not in _SEEDS)
    seeding = tuple(word for word in given if _key(word) in _SEEDS)
    value = row.values[objective]
    return Candidate(f"trial {row.number}", words, seeding, row.number, value, row.params)


def default(row: TrialRow) -> Candidate:
    """Return the configuration that a study began from, given any of its trials.

    It has none of the values that the study varies; those of the configuration remain.

    Raises:
        ConfigError: The trial was not run by this project's ``run.py``.
    """
    known = candidate(row)
    words, seeding = (
        tuple(word for word in given if not _varied(word, row.params))
        for given in (known.words, known.seeding)
    )
    return Candidate(DEFAULT, words, seeding)


def best(rows: Sequence[TrialRow], direction: str, objective: int = 0) -> list[TrialRow]:
    """Return the complete trials within their bounds, best first, equal points once.

    Raises:
        StagetreeError: There is none.
    """
    sign = -1.0 if direction == "maximize" else 1.0
    complete = [row for row in rows if row.state == "complete" and row.feasible]
    if not complete:
        raise StagetreeError(
            f"nothing to confirm: the study has no complete trial within its bounds yet "
            f"({len(rows)} trials in all)"
        )
    distinct: list[TrialRow] = []
    for row in sorted(complete, key=lambda row: (sign * row.values[objective], row.number)):
        if all(_point(row) != _point(other) for other in distinct):
            distinct.append(row)
    return distinct


def named(rows: Sequence[TrialRow], numbers: Sequence[int], option: str) -> list[TrialRow]:
    """Return trials by number.

    Raises:
        ConfigError: One is not there or not complete.
    """
    faults, found = [], []
    for number in dict.fromkeys(numbers):
        if not 0 <= number < len(rows):
            message = f"expected a trial from 0 to {len(rows) - 1} but got {number}"
            faults.append(Fault(option, message))
        elif rows[number].state != "complete":
            message = f"expected a complete trial but trial {number} is {rows[number].state}"
            faults.append(Fault(option, message))
        else:
            found.append(rows[number])
    if faults:
        raise ConfigError(faults)
    return found


def fresh_seeds(count: int, used: Sequence[int]) -> list[int]:
    """Return the first seeds from 1 on that the study has not used.

    A trial is among the best partly by luck of its seed; that luck is no part of what it is
    worth.

    >>> fresh_seeds(3, [2, 13])
    [1, 3, 4]
    """
    free = (seed for seed in range(1, count + len(used) + 1) if seed not in used)
    return [seed for seed, _ in zip(free, range(count), strict=False)]


def _key(word: str) -> str:
    return word.split("=", 1)[0].lstrip("+")


def _varied(word: str, params: Mapping[str, object]) -> bool:
    key = _key(word)
    return key in params or key.removeprefix("stages.") in params


def _point(row: TrialRow) -> dict[str, object]:
    return {name: value for name, value in row.params.items() if name not in _SEEDS}
