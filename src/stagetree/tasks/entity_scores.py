"""Precision, recall and F1 of entities, equal to seqeval's and fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stagetree.tasks.counts import Counts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OUTSIDE = -1
"""Type number of a position outside every entity."""


@dataclass(frozen=True)
class TagCodes:
    """What every label number means.

    Attributes:
        types: Names of the entity types, sorted.
        type_of: (labels,) number of each label's type, ``OUTSIDE`` for ``O``.
        begins: (labels,) whether the label starts with ``B-``.
    """

    types: Sequence[str]
    type_of: np.ndarray
    begins: np.ndarray

    @classmethod
    def of(cls, labels: Sequence[str]) -> TagCodes:
        """Return the codes of labels such as ``O``, ``B-PER`` and ``I-PER``."""
        names = [label.partition("-")[2] for label in labels]
        types = sorted({name for name in names if name})
        number = {name: index for index, name in enumerate(types)}
        return cls(
            types=types,
            type_of=np.array([number.get(name, OUTSIDE) for name in names], dtype=np.int64),
            begins=np.array([label.startswith("B-") for label in labels], dtype=bool),
        )


@dataclass(frozen=True)
class Entities:
    """Entities of many sentences laid end to end.

    Attributes:
        start: (entities,) first position.
        end: (entities,) last position.
        type: (entities,) number of the type.
        strict: (entities,) whether it starts with ``B-``, as IOB2 asks.
    """

    start: np.ndarray
    end: np.ndarray
    type: np.ndarray
    strict: np.ndarray

    def found_in(self, other: Entities) -> np.ndarray:
        """Return for every entity whether ``other`` has one of equal span and type."""
        if not len(other.start):
            return np.zeros(len(self.start), dtype=bool)
        # Entities do not overlap, so each start occurs once, in rising order.
        at = np.searchsorted(other.start, self.start).clip(max=len(other.start) - 1)
        same: np.ndarray = (
            (other.start[at] == self.start)
            & (other.end[at] == self.end)
            & (other.type[at] == self.type)
        )
        return same

    def only(self, chosen: np.ndarray) -> Entities:
        """Return the entities where ``chosen`` is true."""
        return Entities(
            self.start[chosen], self.end[chosen], self.type[chosen], self.strict[chosen]
        )


def entities(tags: np.ndarray, first: np.ndarray, codes: TagCodes) -> Entities:
    """Return the entities of tag sequences, read as conlleval does.

    An entity begins at ``B-X``, and at ``I-X`` where the position before is not of type X; the
    strict ones (IOB2) are those that begin with ``B-``.

    Args:
        tags: (positions,) label numbers of all sentences, end to end.
        first: (positions,) whether a sentence begins here.
        codes: What the label numbers mean.
    """
    kind, begins = codes.type_of[tags], codes.begins[tags]
    inside = kind != OUTSIDE
    before = np.concatenate([[OUTSIDE], kind[:-1]])
    opens = inside & (begins | first | (before != kind))
    # The last position of an entity is followed by another type, an opening or a new sentence.
    after = np.concatenate([kind[1:], [OUTSIDE]])
    opens_after = np.concatenate([opens[1:], [False]])
    first_after = np.concatenate([first[1:], [True]])
    closes = inside & (opens_after | first_after | (after != kind))
    start = np.flatnonzero(opens)
    return Entities(start, np.flatnonzero(closes), kind[start], begins[start])


def count(predicted: Entities, gold: Entities, types: int) -> Counts:
    """Count entities by type; a predicted one is right when its span and its type are."""
    hit = predicted.found_in(gold)
    right, guessed, there = (
        np.bincount(kinds, minlength=types)
        for kinds in (predicted.type[hit], predicted.type, gold.type)
    )
    return Counts(right, guessed, there)


def report(counts: Counts, types: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
    """Return the rows of seqeval's ``classification_report`` (types seen, then averages)."""
    seen = {
        name: row
        for name, row, predicted in zip(
            types, counts.rows(), counts.predicted.tolist(), strict=True
        )
        if predicted or row["support"]
    }
    rows = list(seen.values())
    support = sum(row["support"] for row in rows)
    averages = {"micro avg": counts.overall()}
    for name in ("macro avg", "weighted avg"):
        weights = [row["support"] if name == "weighted avg" else 1.0 for row in rows]
        total = sum(weights)
        averages[name] = {
            measure: sum(w * row[measure] for w, row in zip(weights, rows, strict=True)) / total
            if total
            else 0.0
            for measure in ("precision", "recall", "f1")
        } | {"support": support}
    return seen | averages
