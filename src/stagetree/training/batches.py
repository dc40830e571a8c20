"""Which rows share a batch, and what a batch is made of."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    from stagetree.training.soft_targets import SoftTargets

TEACHER_LOGITS = "teacher_logits"
"""Key of a teacher's logits in a row and in a collated batch."""

ROWS = "rows"
"""Key of a row's number in its split, and of those of a collated batch."""

Collator = Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]]


class ShuffledRows(Sampler[int]):
    """Gives row indices in random order, those of one batch by falling length.

    Which rows share a batch is up to chance alone: batches of like length would waste nothing on
    padding, but models trained on them were worse. Inside a batch like lengths are neighbours, so
    that a batch cut into micro-batches pads little. The order depends on the lengths, the batch
    size, the seed and the epoch.
    """

    def __init__(self, lengths: Sequence[int] | np.ndarray, batch_size: int, seed: int) -> None:
        self._lengths = np.asarray(lengths)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of pass ``epoch`` over the data, counted from 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng([self._seed, self._epoch])
        order = generator.permutation(len(self._lengths))
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            yield from batch[np.argsort(-self._lengths[batch], kind="stable")].tolist()


class Shares(Sampler[int]):
    """Gives one process its share of every batch of another order.

    The rows of a batch, sorted by length, are dealt out in turn, so that all processes compute
    about equally long. A rest of fewer rows than there are processes goes to each of them whole:
    the mean gradient is the same.

    Args:
        order: The order of the rows of all processes.
        batch_size: Rows a batch.
        place: Which process this is, from 0.
        total: How many there are.
    """

    def __init__(self, order: Sampler[int], batch_size: int, place: int, total: int) -> None:
        self._order: Any = order
        self._batch_size = batch_size
        self._place = place
        self._total = total

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of pass ``epoch`` over the data, counted from 0."""
        self._order.set_epoch(epoch)

    def __len__(self) -> int:
        batches, rest = divmod(len(self._order), self._batch_size)
        return batches * (self._batch_size // self._total) + len(self._share(range(rest)))

    def __iter__(self) -> Iterator[int]:
        rows = iter(self._order)
        while batch := list(itertools.islice(rows, self._batch_size)):
            yield from self._share(batch)

    def _share(self, batch: Sequence[int]) -> Sequence[int]:
        return batch[self._place :: self._total] if len(batch) >= self._total else batch


def by_length(lengths: Sequence[int] | np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Cut all rows into batches of like length, longest first, for evaluation.

    Returns:
        Row indices, one array a batch; every row is in exactly one.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def lengths_of(rows: Dataset) -> np.ndarray:
    """Return the length of every row in sub-words."""
    return np.asarray(rows["length"][:], dtype=np.int64)


class Rows(TorchDataset[Mapping[str, Any]]):
    """Encoded rows as PyTorch's loader wants them, with a teacher's logits where there are any.

    Args:
        rows: What ``task.encode`` made.
        soft_targets: A teacher's logits.
        numbered: Whether rows say which they are, as ``ROWS``.
    """

    def __init__(
        self, rows: Dataset, soft_targets: SoftTargets | None = None, numbered: bool = False
    ) -> None:
        self._rows = rows
        self._soft_targets = soft_targets
        self._numbered = numbered

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Return several rows at once, which costs about as much as one."""
        columns = self._rows[list(indices)]
        rows = [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
        if self._soft_targets is not None:
            for row, index in zip(rows, indices, strict=True):
                row[TEACHER_LOGITS] = self._soft_targets[index]
        if self._numbered:
            for row, index in zip(rows, indices, strict=True):
                row[ROWS] = index
        return rows


class Collate:
    """Pads rows with a task's collator and lays a teacher's logits end to end.

    A teacher speaks at labelled positions only, so the logits of a batch are a matrix of shape
    (labelled positions, labels), in the order in which the labels of the padded batch come.
    """

    def __init__(self, collator: Collator) -> None:
        self._collator = collator

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return one padded batch of ``rows``."""
        import torch

        taught = [row.pop(TEACHER_LOGITS) for row in rows if TEACHER_LOGITS in row]
        numbers = [row.pop(ROWS) for row in rows if ROWS in row]
        batch = {name: value for name, value in self._collator(rows).items() if name != "length"}
        if taught:
            batch[TEACHER_LOGITS] = torch.from_numpy(np.concatenate(taught))
        if numbers:
            batch[ROWS] = torch.tensor(numbers)
        return batch
