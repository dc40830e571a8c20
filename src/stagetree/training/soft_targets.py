"""Teachers' logits laid beside the rows that a student trains on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from stagetree.core.errors import ModelError
from stagetree.training.answers import Answers


class SoftTargets(Protocol):
    """Teachers' logits at the labelled positions of every row of a student."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def __getitem__(self, index: int) -> np.ndarray:
        """Return one row's: (labelled positions, labels), or with several teachers between."""


class OneTeacher:
    """One teacher's logits.

    Args:
        values: Logits end to end: (positions, labels of the teacher).
        starts: Where each row begins in ``values``.
        counts: How many positions each row has.
        columns: Places of the student's labels among the teacher's; without it they are alike.
    """

    def __init__(
        self,
        values: np.ndarray,
        starts: np.ndarray,
        counts: np.ndarray,
        columns: Sequence[int] | None = None,
    ) -> None:
        self._values = values
        self._starts = starts
        self._counts = counts
        self._columns = None if columns is None else list(columns)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> np.ndarray:
        start = self._starts[index]
        found = np.array(self._values[start : start + self._counts[index]])
        return found if self._columns is None else found[:, self._columns]


class SeveralTeachers:
    """Several teachers' logits over the same rows: (labelled positions, teachers, labels)."""

    def __init__(self, teachers: Sequence[SoftTargets]) -> None:
        self._teachers = list(teachers)

    def __len__(self) -> int:
        return len(self._teachers[0])

    def __getitem__(self, index: int) -> np.ndarray:
        return np.stack([teacher[index] for teacher in self._teachers], axis=1)


class OneAfterAnother:
    """Logits over some rows, and then over others."""

    def __init__(self, parts: Sequence[SoftTargets]) -> None:
        self._parts = list(parts)
        self._ends = np.cumsum([len(part) for part in self._parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> np.ndarray:
        place = int(np.searchsorted(self._ends, index, side="right"))
        before = int(self._ends[place - 1]) if place else 0
        return self._parts[place][index - before]


def aligned(
    answers: Answers,
    counts: np.ndarray,
    examples: int,
    teacher: str,
    columns: Sequence[int] | None = None,
) -> OneTeacher:
    """Return a teacher's answers row by row of the student, whatever both tokenizers cut.

    Where long examples become several rows, every labelled position (a word, a text) is kept by
    both sides, in order, so the n-th is the same one. Where they are cut off, the teacher must
    see at least what the student sees.

    Args:
        answers: What the teacher answered.
        counts: Labelled positions of each of the student's rows.
        examples: How many examples both encoded.
        teacher: Its name, for messages.
        columns: Places of the student's labels among the teacher's; without it they are alike.

    Raises:
        ModelError: The positions cannot be matched.
    """
    theirs = answers.counts
    if np.array_equal(theirs, counts) or (
        theirs.sum() == counts.sum() and not len(theirs) == len(counts) == examples
    ):
        starts = np.cumsum(counts) - counts
    elif len(theirs) == len(counts) == examples:
        _refuse_shorter(theirs, counts, teacher)
        starts = np.cumsum(theirs) - theirs
    else:
        raise ModelError(
            f"expected the teacher {teacher!r} to answer at the student's {counts.sum()} labelled "
            f"positions but got {theirs.sum()}: their tokenizers cut the texts in ways that cannot "
            "be matched; use one tokenizer for both, raise max_length, or split long texts"
        )
    return OneTeacher(answers.values, starts, counts, columns)


def _refuse_shorter(theirs: np.ndarray, counts: np.ndarray, teacher: str) -> None:
    short = np.flatnonzero(theirs < counts)
    if len(short):
        row = int(short[0])
        raise ModelError(
            f"expected the teacher {teacher!r} to read at least the {counts[row]} labelled "
            f"positions of row {row} that the student reads but got {theirs[row]} (and less in "
            f"{len(short)} rows): its tokenizer makes more sub-words; raise max_length, use one "
            "tokenizer for both, or set task.long_texts=split"
        )
