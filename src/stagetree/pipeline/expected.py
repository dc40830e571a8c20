"""What an experiment scores when it is run again: written into its file, and read back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stagetree.core.errors import ConfigError, Fault

LABEL = "Expected:"
"""What the comment line of an experiment's file that says it begins with."""

CLOCKS = frozenset({"seconds", "latency_ms"})
"""Metrics that tell of the machine, which nobody can expect elsewhere."""

_ONE = re.compile(r"(\S+) (\S+) within (\S+)")


@dataclass(frozen=True)
class Expected:
    """A score to be reproduced.

    Attributes:
        metric: Name of the objective.
        value: What it was.
        tolerance: By how much it may differ: other machines add in another order, and int8
            results follow the last bit of what they were made from.
    """

    metric: str
    value: float
    tolerance: float

    def met(self, value: float) -> bool:
        """Return whether a run scored as expected."""
        return abs(value - self.value) <= self.tolerance


def line(values: Mapping[str, float]) -> str:
    """Return the comment that says what an experiment scores.

    >>> line({"f1": 0.8125, "latency_ms": 3.2, "bytes": 22870000.0})
    'Expected:  f1 0.8125 within 0.02, bytes 22870000 within 457400'
    """
    scores = [
        f"{metric} {_text(value)} within {_text(0.02 * max(1.0, abs(value)))}"
        for metric, value in values.items()
        if metric not in CLOCKS
    ]
    return f"{LABEL}  {', '.join(scores) or 'nothing that another machine could reproduce'}"


def read(file: Path) -> list[Expected]:
    """Return the scores that an experiment's file expects.

    Raises:
        ConfigError: It has no such line, or one that cannot be read.
    """
    lines = [text.removeprefix("#").strip() for text in file.read_text("utf-8").splitlines()]
    found = [text.removeprefix(LABEL) for text in lines if text.startswith(LABEL)]
    if len(found) != 1:
        raise _fault(file, f"expected one comment line {LABEL!r} but got {len(found)}")
    try:
        return [
            Expected(metric, float(value), float(tolerance))
            for metric, value, tolerance in _ONE.findall(found[0].replace(",", " "))
        ]
    except ValueError as error:
        raise _fault(file, f"expected 'METRIC VALUE within TOLERANCE': {error}") from error


def _fault(file: Path, message: str) -> ConfigError:
    example = f"say, for example, # {LABEL} f1 0.81 within 0.02"
    return ConfigError([Fault(str(file), f"{message}; {example}")])


def _text(value: float) -> str:
    return repr(int(value)) if float(value).is_integer() else repr(round(value, 6))
