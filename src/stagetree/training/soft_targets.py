"""A teacher's outputs on the training rows, computed once and kept on disk."""

from __future__ import annotations

from collections.abc import Iterable
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


class SoftTargets:
    """Logits at the labelled positions of every row.

    Args:
        values: Logits of all rows, end to end: (labelled positions, labels).
        offsets: Where each row begins in ``values``, and where the last one ends.
    """

    def __init__(self, values: np.ndarray, offsets: np.ndarray) -> None:
        self.values = values
        self.offsets = offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        """Return the logits of one row: (labelled positions, labels)."""
        return np.array(self.values[self.offsets[index] : self.offsets[index + 1]])


def soft_targets(
    teacher: Runner,
    task: Task,
    teacher_rows: Dataset,
    rows: Dataset,
    directory: Path,
    batch_size: BatchSize,
) -> SoftTargets:
    """Return a teacher's logits for the student's training rows, memory-mapped.

    They are computed unless they lie in ``directory`` already. The teacher reads the rows as its
    own tokenizer cuts them; where that is not the student's tokenizer, each row must still have
    the same labels in the same order.

    Args:
        teacher: The teacher, in any model form.
        task: Pads the rows.
        teacher_rows: The training split as the teacher's tokenizer encodes it.
        rows: The training split as the student's tokenizer encodes it.
        directory: Where the logits are kept, in a stage's scratch directory.
        batch_size: Rows a forward pass of the teacher; halved when they do not fit into memory.

    Raises:
        OutOfMemory: Not even one row at a time fits into memory.
        ModelError: The rows of teacher and student do not match.
    """
    offsets = _offsets(rows)
    kept = _kept(directory, offsets)
    if kept is not None:
        return SoftTargets(kept, offsets)
    _refuse_other_labels(teacher_rows, rows)
    batches = Batches(task, teacher.tokenizer, teacher_rows, batch_size)
    logits, gold = batches.logits(teacher.logits)
    taught = [
        row.reshape(-1, row.shape[-1])[np.reshape(label_ids, -1) != IGNORED]
        for row, label_ids in zip(logits, gold, strict=True)
    ]
    directory.mkdir(parents=True, exist_ok=True)
    partial = directory / "partial.npy"
    np.save(partial, np.concatenate(taught).astype(np.float32), allow_pickle=False)
    partial.replace(directory / "logits.npy")
    values = np.load(directory / "logits.npy", mmap_mode="r", allow_pickle=False)
    return SoftTargets(values, offsets)


def _kept(directory: Path, offsets: np.ndarray) -> np.ndarray | None:
    try:
        values = np.load(directory / "logits.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    return values if len(values) == offsets[-1] else None


def _offsets(rows: Dataset) -> np.ndarray:
    return np.cumsum([0, *(len(labels) for labels in _labelled(rows))])


def _labelled(rows: Dataset) -> Iterable[list[Any]]:
    for labels in rows["labels"]:
        flat = labels if isinstance(labels, list) else [labels]
        yield [label for label in flat if label != IGNORED]


def _refuse_other_labels(teacher_rows: Dataset, rows: Dataset) -> None:
    if len(teacher_rows) != len(rows):
        raise ModelError(
            f"expected the teacher's tokenizer to make {len(rows)} training rows, as the "
            f"student's does, but got {len(teacher_rows)}; use one tokenizer for both, or raise "
            "max_length"
        )
    pairs = zip(_labelled(teacher_rows), _labelled(rows), strict=True)
    for place, (theirs, ours) in enumerate(pairs):
        if theirs != ours:
            raise ModelError(
                f"expected the teacher's tokenizer to leave the student's {len(ours)} labels in "
                f"training row {place} but got {len(theirs)} or others; use one tokenizer for "
                "both, or raise max_length"
            )
