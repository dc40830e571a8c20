"""Named values of many kinds as columns of numbers that a regression can use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BENT = 4
"""From so many different values on, a number may bend a line instead of only tilting it."""


class Columns:
    """Turns rows of named values into numbers, as the rows it was made from suggest.

    Numbers that are never negative become logarithms, so that a weight is an exponent; zero and
    absent are told apart from them by a column of their own. Other numbers are brought to unit
    variance. Everything else becomes a column for each value seen and one for any other.

    Args:
        rows: The rows to learn the columns from; a name may be missing or ``None`` in some.
    """

    def __init__(self, rows: Sequence[Mapping[str, object]]) -> None:
        names = dict.fromkeys(name for row in rows for name in row)
        self._kinds = {name: _kind([row.get(name) for row in rows]) for name in names}

    def __call__(self, rows: Sequence[Mapping[str, object]]) -> NDArray[np.float64]:
        """Return a matrix, a line for each row; names that were not learnt are left out."""
        parts = [
            kind.columns([row.get(name) for row in rows]) for name, kind in self._kinds.items()
        ]
        return np.hstack([np.zeros((len(rows), 0)), *parts])


class _Kind(Protocol):
    """How the values of one name become columns."""

    def columns(self, values: Sequence[Any]) -> NDArray[np.float64]: ...


def _kind(values: Sequence[Any]) -> _Kind:
    known = [value for value in values if value is not None]
    if not all(_is_number(value) for value in known):
        seen = dict.fromkeys(map(repr, known))
        return _Choice({value: place for place, value in enumerate(seen)})
    numbers = np.array(known, dtype=float)
    if (numbers < 0).any():
        return _Plain(float(numbers.mean()), float(numbers.std()) or 1.0)
    return _Positive.of(numbers[numbers > 0])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class _Choice:
    places: Mapping[str, int]

    def columns(self, values: Sequence[Any]) -> NDArray[np.float64]:
        made = np.zeros((len(values), len(self.places) + 1))
        found = [self.places.get(repr(value), len(self.places)) for value in values]
        made[np.arange(len(values)), found] = 1.0
        return made


@dataclass(frozen=True)
class _Plain:
    mean: float
    deviation: float

    def columns(self, values: Sequence[Any]) -> NDArray[np.float64]:
        numbers = _numbers(values)
        return np.nan_to_num((numbers - self.mean) / self.deviation)[:, None]


@dataclass(frozen=True)
class _Positive:
    centre: float = 0.0
    low: float = 0.0
    high: float = 0.0
    bent: bool = False

    @classmethod
    def of(cls, numbers: NDArray[np.float64]) -> _Positive:
        if not len(numbers):
            return cls()
        logs = np.log(numbers)
        return cls(
            float(logs.mean()),
            float(logs.min()),
            float(logs.max()),
            len(np.unique(numbers)) >= BENT,
        )

    def columns(self, values: Sequence[Any]) -> NDArray[np.float64]:
        numbers = _numbers(values)
        there = numbers > 0
        logs = np.log(np.where(there, numbers, np.exp(self.centre))) - self.centre
        parts = [logs, (~there).astype(float)]
        if self.bent:  # not beyond what was seen: a parabola runs away there
            parts.append(np.clip(logs, self.low - self.centre, self.high - self.centre) ** 2)
        return np.stack(parts, axis=1)


def _numbers(values: Sequence[Any]) -> NDArray[np.float64]:
    """Return numbers, NaN where a value is none."""
    return np.array([value if _is_number(value) else np.nan for value in values], dtype=float)
