"""Scoring logits of any model form, in batches of rows of like length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stagetree.tasks.base import IGNORED, Scores
from stagetree.training import mixing
from stagetree.training.batches import Collate, Rows, lengths_of
from stagetree.training.memory import BatchSize, until_it_fits

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from stagetree.tasks.base import Task

Forward = Callable[[Mapping[str, "Tensor"]], np.ndarray]


class Evaluator:
    """The rows of a split, cut into padded batches once and scored as often as asked.

    Args:
        task: Pads and scores.
        tokenizer: Pads.
        rows: What ``task.encode`` made.
        labels: Label names.
        batch_size: Rows a forward pass; does not change the scores. Halved when they do not fit
            into memory.
        numbered: Whether batches say of which rows they are; see :class:`Rows`.
    """

    def __init__(
        self,
        task: Task,
        tokenizer: PreTrainedTokenizerBase,
        rows: Dataset,
        labels: Sequence[str],
        batch_size: BatchSize,
        numbered: bool = False,
    ) -> None:
        self._task = task
        self._labels = list(labels)
        self._batches = Batches(task, tokenizer, rows, batch_size, numbered)

    def __call__(self, forward: Forward) -> tuple[Scores, float | None]:
        """Return the scores of ``forward``'s logits and their mean cross entropy.

        The cross entropy is ``None`` where labels are not class indices.
        """
        logits, gold = self._batches.logits(forward)
        return self._task.score(logits, gold, self._labels), cross_entropy(logits, gold)


class Batches:
    """Rows as padded batches of like length, and logits over them in the order of the rows."""

    def __init__(
        self,
        task: Task,
        tokenizer: PreTrainedTokenizerBase,
        rows: Dataset,
        batch_size: BatchSize,
        numbered: bool = False,
    ) -> None:
        self._encoded = rows
        self._rows = Rows(rows, numbered=numbered)
        self._lengths = lengths_of(rows)
        self._collate = Collate(task.collator(tokenizer))
        self._batch_size = batch_size

    def logits(self, forward: Forward) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Run ``forward`` over all rows.

        Returns:
            Logits and label ids, one array a row, without padding, in the order of the rows.

        Raises:
            OutOfMemory: Not even one row at a time fits into memory.
        """
        return until_it_fits(lambda size: self._logits(forward, size), self._batch_size)

    def _logits(
        self, forward: Forward, batch_size: int
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        logits: list[Any] = [None] * len(self._rows)
        gold: list[Any] = [None] * len(self._rows)
        for indices in mixing.batches(self._encoded, self._lengths, batch_size):
            batch = self._collate(self._rows.__getitems__(indices.tolist()))
            label_ids = batch.pop("labels").numpy()
            outputs = forward(batch)
            for place, index in enumerate(indices.tolist()):
                gold[index] = _unpadded(label_ids[place], self._lengths[index])
                length = self._lengths[index] if label_ids.ndim > 1 else None
                logits[index] = outputs[place][:length]
        return logits, gold


def cross_entropy(logits: Sequence[np.ndarray], label_ids: Sequence[np.ndarray]) -> float | None:
    """Return the mean cross entropy in nats at labelled positions.

    Args:
        logits: One array a row: (length, labels) or (labels,).
        label_ids: One integer array a row: (length,) or ().
    """
    if not logits:
        return None
    flat = np.concatenate([row.reshape(-1, row.shape[-1]) for row in logits]).astype(np.float64)
    gold = np.concatenate([np.reshape(row, -1) for row in label_ids])
    if not np.issubdtype(gold.dtype, np.integer) or len(gold) != len(flat):
        return None
    labelled = gold != IGNORED
    if not labelled.any():
        return None
    flat, gold = flat[labelled], gold[labelled]
    shifted = flat - flat.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=-1))
    return float((log_sum - shifted[np.arange(len(gold)), gold]).mean())


def _unpadded(row: np.ndarray, length: int) -> np.ndarray:
    return row[:length] if row.ndim else row
