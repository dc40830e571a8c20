"""The trials of a study as one table, for the page and for other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stagetree.core.numbers import short
from stagetree.core.trials import TrialRow
from stagetree.report.numbers import duration, megabytes, score
from stagetree.report.tables import order, padded, parameters
from stagetree.report.tree import outcome

EXTRAS = {"latency_ms": "latency ms", "bytes": "MB"}
"""What else of the last stage is shown, where it was measured."""


@dataclass(frozen=True)
class Cell:
    """A cell: what a person reads, and what it is sorted by and written to CSV as."""

    text: str
    value: object = None


@dataclass(frozen=True)
class Line:
    """A trial in the table.

    Attributes:
        row: The trial.
        state: Its state as it is shown: ``infeasible`` and ``front`` among them.
        cells: One a column.
    """

    row: TrialRow
    state: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Leaderboard:
    """Trials, best first.

    Attributes:
        columns: Headings; unique.
        numeric: Names of the columns with numbers.
        lines: The trials.
        fixed: Hyperparameters that all trials share, which have no column.
    """

    columns: Sequence[str]
    numeric: frozenset[str]
    lines: Sequence[Line]
    fixed: Mapping[str, object]

    def records(self) -> list[dict[str, object]]:
        """Return a mapping a trial from column to plain value; ``None`` where there is none."""
        return [
            dict(zip(self.columns, (cell.value for cell in line.cells), strict=True))
            for line in self.lines
        ]


def leaderboard(
    rows: Sequence[TrialRow],
    directions: Sequence[str],
    metrics: Sequence[str],
    front: frozenset[int] = frozenset(),
) -> Leaderboard:
    """Return the table of all trials, in the order of the console's.

    Args:
        rows: The trials.
        directions: ``maximize`` or ``minimize``, one an objective.
        metrics: Name of each objective.
        front: Numbers of the trials of the Pareto front.
    """
    several = len(directions) > 1
    ordered = order(rows, directions, front)
    varying, fixed = parameters(rows)
    extras = [
        name
        for name in EXTRAS
        if name not in metrics and any(_last(row).get(name) is not None for row in rows)
    ]
    columns = ["trial", "state", *metrics, *varying, *(EXTRAS[name] for name in extras)]
    columns += ["stages", "seconds"]
    lines = []
    for row in ordered:
        state = "front" if several and row.number in front else outcome(row)
        cells = [Cell(str(row.number), row.number), Cell(state, state)]
        cells += [_number(value) for value in padded(row.values, len(metrics))]
        cells += [_parameter(row, name) for name in varying]
        cells += [_extra(row, name) for name in extras]
        cells += [_stages(row), Cell(duration(row.seconds), row.seconds)]
        lines.append(Line(row, state, cells))
    numeric = _numeric(columns, lines)
    return Leaderboard(columns, numeric, lines, fixed)


def _number(value: float | None) -> Cell:
    return Cell(score(value), value)


def _parameter(row: TrialRow, name: str) -> Cell:
    if name not in row.params:
        return Cell("")
    value = row.params[name]
    return Cell(short(value), value if isinstance(value, bool | int | float) else short(value))


def _extra(row: TrialRow, name: str) -> Cell:
    value = _last(row).get(name)
    if name == "bytes":
        return Cell(megabytes(value), None if value is None else value / 1e6)
    return _number(value)


def _last(row: TrialRow) -> Mapping[str, float]:
    return row.stages[-1].metrics if row.stages and row.state == "complete" else {}


def _stages(row: TrialRow) -> Cell:
    parts = [f"{stage.name}{' (reused)' if stage.reused else ''}" for stage in row.stages]
    if row.pruned_in and row.pruned_in not in [stage.name for stage in row.stages]:
        parts.append(f"{row.pruned_in} (pruned)")
    return Cell(", ".join(parts), ", ".join(parts))


def _numeric(columns: Sequence[str], lines: Sequence[Line]) -> frozenset[str]:
    found = []
    for place, name in enumerate(columns):
        values = [line.cells[place].value for line in lines]
        known = [value for value in values if value is not None]
        if known and all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in known
        ):
            found.append(name)
    return frozenset(found)
