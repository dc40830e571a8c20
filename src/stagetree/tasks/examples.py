"""What was predicted of each example of a split, beside what is right."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stagetree.core import atomic
from stagetree.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Answer = Any
"""A label (classification), a list of tags (ner), or ``[task, answer]`` (multitask)."""

NONE = "none"
"""Row or column of a confusion matrix for what has no counterpart."""


@dataclass(frozen=True)
class Examples:
    """Gold and predicted answers, in the order of the split's examples.

    Attributes:
        gold: What is right, as plain JSON values.
        predicted: What the model says, in the same form.
    """

    gold: Sequence[Answer]
    predicted: Sequence[Answer]

    def __len__(self) -> int:
        return len(self.gold)

    def right(self) -> list[bool]:
        """Return for each example whether all of its answer is right."""
        return [gold == guess for gold, guess in zip(self.gold, self.predicted, strict=True)]

    def write(self, path: Path) -> None:
        """Write them as gzipped JSON lines, the same bytes for the same answers."""
        lines = (
            json.dumps([gold, guess], ensure_ascii=False, separators=(",", ":"))
            for gold, guess in zip(self.gold, self.predicted, strict=True)
        )
        text = "".join(f"{line}\n" for line in lines)
        atomic.write_bytes(path, gzip.compress(text.encode("utf-8"), compresslevel=6, mtime=0))

    @classmethod
    def read(cls, path: Path) -> Examples:
        """Read what :meth:`write` wrote.

        Raises:
            OSError: The file is not there or cannot be read.
            DataError: It is something else, or only a part of it is left.
        """
        try:
            text = gzip.decompress(path.read_bytes()).decode("utf-8")
            pairs = [json.loads(line) for line in text.splitlines()]
            gold, predicted = ([pair[side] for pair in pairs] for side in (0, 1))
        except (gzip.BadGzipFile, EOFError, ValueError, TypeError, LookupError) as error:
            raise DataError(f"{path}: expected examples with their answers but got: {error}") from (
                error
            )
        return cls(gold, predicted)


@dataclass(frozen=True)
class Confusion:
    """How often each gold label is taken for which.

    Attributes:
        labels: Names of rows and columns.
        matrix: (gold, predicted) counts.
    """

    labels: list[str]
    matrix: np.ndarray

    @classmethod
    def of(cls, pairs: Sequence[tuple[str, str]]) -> Confusion:
        """Count pairs of gold and predicted labels; ``none`` comes last.

        >>> Confusion.of([("a", "a"), ("a", "none"), ("b", "a")]).matrix.tolist()
        [[1, 0, 1], [1, 0, 0], [0, 0, 0]]
        """
        seen = {label for pair in pairs for label in pair}
        labels = [*sorted(seen - {NONE}), *([NONE] if NONE in seen else [])]
        number = {label: index for index, label in enumerate(labels)}
        matrix = np.zeros((len(labels), len(labels)), dtype=np.int64)
        for gold, guess in pairs:
            matrix[number[gold], number[guess]] += 1
        return cls(labels, matrix)

    @classmethod
    def beside(cls, parts: Sequence[Confusion]) -> Confusion:
        """Return one matrix of several that have no label in common."""
        labels = [label for part in parts for label in part.labels]
        matrix = np.zeros((len(labels), len(labels)), dtype=np.int64)
        at = 0
        for part in parts:
            end = at + len(part.labels)
            matrix[at:end, at:end] = part.matrix
            at = end
        return cls(labels, matrix)
