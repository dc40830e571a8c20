"""How good the best model is, class by class, as the page shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stagetree.report.numbers import score
from stagetree.tasks.examples import Confusion

LARGEST = 30
"""The most labels of which the whole matrix is shown."""

PAIRS = 10
"""How many of the most frequent confusions are named."""

_LAST = " avg"


@dataclass(frozen=True)
class ClassRow:
    """A class: its scores as text by name, and its F1 (or first score) from 0 to 1 for a bar."""

    label: str
    cells: Sequence[str]
    share: float
    average: bool


@dataclass(frozen=True)
class Taken:
    """A frequent confusion: so many of a gold label were taken for another one."""

    gold: str
    predicted: str
    count: int
    share: float


def class_rows(
    per_class: Mapping[str, Mapping[str, float]],
) -> tuple[list[str], list[ClassRow]]:
    """Return the names of the scores, and a row a class, averages last."""
    names = list(dict.fromkeys(name for scores in per_class.values() for name in scores))
    bar = "f1" if "f1" in names else next(iter(names), "")
    rows = [
        ClassRow(
            label,
            [_cell(name, scores.get(name)) for name in names],
            min(max(scores.get(bar, 0.0), 0.0), 1.0),
            label.endswith(_LAST),
        )
        for label, scores in per_class.items()
    ]
    return names, sorted(rows, key=lambda row: row.average)


def matrix_rows(confusion: Confusion) -> list[tuple[str, list[tuple[int, float]]]]:
    """Return a row a gold label: counts with their share of the row; none if they are too many."""
    if len(confusion.labels) > LARGEST:
        return []
    rows = []
    for label, counts in zip(confusion.labels, confusion.matrix.tolist(), strict=True):
        total = sum(counts) or 1
        rows.append((label, [(int(number), number / total) for number in counts]))
    return rows


def most_taken(confusion: Confusion) -> list[Taken]:
    """Return the most frequent confusions."""
    found = []
    for gold, counts in zip(confusion.labels, confusion.matrix.tolist(), strict=True):
        total = sum(counts) or 1
        found += [
            Taken(gold, predicted, int(number), number / total)
            for predicted, number in zip(confusion.labels, counts, strict=True)
            if predicted != gold and number
        ]
    return sorted(found, key=lambda taken: (-taken.count, taken.gold, taken.predicted))[:PAIRS]


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if name == "support" else score(value)
