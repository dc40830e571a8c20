"""Training on several tasks: whose turn a batch is, and how much its loss counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import Sampler

from stagetree.tasks.base import IGNORED
from stagetree.tasks.multitask import HEAD, MultitaskTask, spans
from stagetree.training.batches import TEACHER_LOGITS, ShuffledRows, by_length, lengths_of

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor

    from stagetree.tasks.base import Task
    from stagetree.training.objectives import Objective


def order(task: Task, rows: Dataset, batch_size: int, seed: int) -> Sampler[int]:
    """Return the order of the training rows: random, and a batch is of one task only."""
    lengths = lengths_of(rows)
    if not isinstance(task, MultitaskTask):
        return ShuffledRows(lengths, batch_size, seed)
    heads = np.asarray(rows[HEAD][:])
    own = [np.flatnonzero(heads == number) for number in range(len(task.parts))]
    return MixedRows(lengths, own, task.shares([len(places) for places in own]), batch_size, seed)


def scaled(task: Task, objective: Objective, labels: Sequence[str]) -> Objective:
    """Return the objective with each task's own labels and weight."""
    if not isinstance(task, MultitaskTask):
        return objective
    found = spans(labels)
    return PerTask(objective, [(*found[name], task.weights[name]) for name in task.parts])


def batches(rows: Dataset, lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Cut all rows into batches of like length, and of one task, for evaluation."""
    if HEAD not in rows.column_names:
        return by_length(lengths, batch_size)
    heads = np.asarray(rows[HEAD][:])
    own = (np.flatnonzero(heads == number) for number in np.unique(heads))
    return [places[cut] for places in own for cut in by_length(lengths[places], batch_size)]


class MixedRows(Sampler[int]):
    """Gives row indices so that every batch is full and of one task.

    A pass has as many batches as all rows fill. Each task gets its share of them, rounded up or
    down by chance so that the shares hold in the long run, at random places. A task's batches go
    through its rows in random order, again and again and on from pass to pass: no row comes a
    second time before all others have come. All depends on lengths, shares, batch size, seed and
    pass only.

    Args:
        lengths: Length of every row.
        own: Rows of each task.
        shares: Share of the batches of each task; they sum to 1.
        batch_size: Rows a batch.
        seed: Seed of all of it.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        own: Sequence[np.ndarray],
        shares: np.ndarray,
        batch_size: int,
        seed: int,
    ) -> None:
        self._lengths = lengths
        self._own = own
        self._shares = shares
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0
        self._batches = max(1, -(-len(lengths) // batch_size))

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of pass ``epoch`` over the data, counted from 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._batches * self._batch_size

    def __iter__(self) -> Iterator[int]:
        before = sum((self._turns(epoch) for epoch in range(self._epoch)), self._nothing())
        turns = self._turns(self._epoch)
        heads = np.repeat(np.arange(len(turns)), turns)
        np.random.default_rng([self._seed, self._epoch, 1]).shuffle(heads)
        for head in heads.tolist():
            batch = self._read(head, int(before[head]))
            before[head] += 1
            yield from batch[np.argsort(-self._lengths[batch], kind="stable")].tolist()

    def _nothing(self) -> np.ndarray:
        return np.zeros(len(self._own), dtype=np.int64)

    def _turns(self, epoch: int) -> np.ndarray:
        """Return how many batches of a pass each task gets (systematic sampling)."""
        start = np.random.default_rng([self._seed, epoch, 0]).random()
        borders = np.cumsum(self._shares)[:-1] * self._batches
        points = start + np.arange(self._batches)
        return np.bincount(
            np.searchsorted(borders, points, side="right"), minlength=len(self._own)
        ).astype(np.int64)

    def _read(self, head: int, batch: int) -> np.ndarray:
        """Return a task's rows of its ``batch``-th batch, counted over all passes."""
        own = self._own[head]
        places = np.arange(batch * self._batch_size, (batch + 1) * self._batch_size)
        rounds = places // len(own)
        orders = {
            int(turn): np.random.default_rng([self._seed, head, int(turn), 2]).permutation(own)
            for turn in np.unique(rounds)
        }
        return np.array(
            [
                orders[turn][place]
                for turn, place in zip(rounds.tolist(), (places % len(own)).tolist(), strict=True)
            ]
        )


class PerTask:
    """An objective that sees one task of several as if it were the only one.

    Args:
        objective: What is minimised.
        parts: Of each task: where its labels begin and end in the joint list, and its weight.
    """

    def __init__(self, objective: Objective, parts: Sequence[tuple[int, int, float]]) -> None:
        self._objective = objective
        self._parts = parts

    @property
    def asks(self) -> Mapping[str, bool]:
        """See :class:`Objective`."""
        return self._objective.asks

    def __call__(self, outputs: Any, labels: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """See :class:`Objective`; times the task's weight."""
        labelled = labels != IGNORED
        if not labelled.any():
            nothing: Tensor = outputs.logits.sum() * 0.0  # has a gradient, of zeros
            return nothing
        one = int(labels[labelled][0])
        start, end, weight = next(part for part in self._parts if part[0] <= one < part[1])
        outputs.logits = outputs.logits[..., start:end]
        own = labels.where(~labelled, labels - start)
        rest = dict(batch, labels=own)
        if TEACHER_LOGITS in rest:
            rest[TEACHER_LOGITS] = rest[TEACHER_LOGITS][..., start:end]
        return self._objective(outputs, own, rest) * weight
