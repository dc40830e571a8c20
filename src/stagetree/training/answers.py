"""A teacher's logits over examples, in files that any stage reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stagetree.core.errors import ModelError
from stagetree.tasks.base import IGNORED
from stagetree.training.evaluation import Batches

if TYPE_CHECKING:
    from datasets import Dataset

    from stagetree.models.runner import Runner
    from stagetree.tasks.base import Task
    from stagetree.training.memory import BatchSize

VERSION = 1
"""Raise it when the code changes the logits or how they lie in the files."""

_VALUES, _COUNTS = "logits.npy", "counts.npy"


@dataclass(frozen=True)
class Answers:
    """A teacher's logits at the labelled positions of its rows.

    Attributes:
        values: Logits of all rows, end to end, memory-mapped: (labelled positions, labels).
        counts: How many of them each row has: (rows,).
    """

    values: np.ndarray
    counts: np.ndarray


def write(
    directory: Path, teacher: Runner, task: Task, rows: Dataset, batch_size: BatchSize
) -> None:
    """Ask a teacher, in its own numerics, and keep its answers.

    Args:
        directory: An empty directory.
        teacher: The teacher, in any model form.
        task: Pads the rows.
        rows: Examples as the teacher's tokenizer encodes them.
        batch_size: Rows a forward pass; halved when they do not fit into memory.

    Raises:
        OutOfMemory: Not even one row at a time fits into memory.
    """
    batches = Batches(task, teacher.tokenizer, rows, batch_size)
    logits, gold = batches.logits(teacher.logits)
    taught = [
        row.reshape(-1, row.shape[-1])[np.reshape(label_ids, -1) != IGNORED]
        for row, label_ids in zip(logits, gold, strict=True)
    ]
    counts = np.array([len(row) for row in taught], dtype=np.int64)
    np.save(directory / _VALUES, np.concatenate(taught).astype(np.float32), allow_pickle=False)
    np.save(directory / _COUNTS, counts, allow_pickle=False)


def read(directory: Path) -> Answers:
    """Return what :func:`write` kept.

    Raises:
        ModelError: The files are missing or damaged.
    """
    try:
        values = np.load(directory / _VALUES, mmap_mode="r", allow_pickle=False)
        counts = np.load(directory / _COUNTS, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read the teacher's answers in {directory}: {error}") from error
    return Answers(values, counts)


def labelled(rows: Dataset) -> np.ndarray:
    """Return how many labelled positions each row has: (rows,)."""
    return np.array([_count(labels) for labels in rows["labels"]], dtype=np.int64)


def _count(labels: Any) -> int:
    flat = labels if isinstance(labels, list) else [labels]
    return sum(label != IGNORED for label in flat)
