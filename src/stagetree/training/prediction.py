"""Predicting a stream of inputs in batches, with a model of any form."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from stagetree.core.errors import DataError
from stagetree.models.quiet import quiet
from stagetree.training.batches import by_length
from stagetree.training.memory import BatchSize, until_it_fits

if TYPE_CHECKING:
    from stagetree.data.inputs import Input
    from stagetree.models.runner import Runner
    from stagetree.tasks.prediction import Predictor, Question

_BATCHES = 16
"""Batches that are read ahead, so that inputs of like length share one."""

_PAUSE = 0.05
_END = object()


@dataclass(frozen=True)
class Answer:
    """What became of one input.

    Attributes:
        place: Where it stands.
        record: Its fields and the prediction; none when there is a fault.
        fault: Why there is no prediction.
    """

    place: str
    record: Mapping[str, Any]
    fault: str = ""


def predictions(
    runner: Runner, predictor: Predictor, inputs: Iterable[Input], batch_size: int, live: bool
) -> Iterator[Answer]:
    """Yield one answer an input, in their order.

    The input's fields are kept; one that is called like a part of the prediction comes back as
    ``input_`` and its name.

    Args:
        runner: The loaded model.
        predictor: Encodes and decodes for it.
        inputs: The inputs.
        batch_size: Rows a forward pass; halved when they do not fit into memory.
        live: Answer what is there as soon as no more input comes, instead of waiting for the
            batches to be full.

    Raises:
        OutOfMemory: Not even one row fits into memory.
    """
    size = BatchSize(batch_size, "--batch-size")
    ahead = batch_size * _BATCHES
    for chunk in _arriving(inputs, ahead) if live else _chunks(inputs, ahead):
        yield from _answers(runner, predictor, chunk, size)


def _answers(
    runner: Runner, predictor: Predictor, inputs: Sequence[Input], size: BatchSize
) -> Iterator[Answer]:
    questions = [_question(predictor, item) for item in inputs]
    rows = [row for question in questions if not isinstance(question, str) for row in question.rows]
    logits = iter(until_it_fits(lambda count: _logits(runner, rows, count), size))
    for item, question in zip(inputs, questions, strict=True):
        if isinstance(question, str):
            yield Answer(item.place, {}, question)
            continue
        found = predictor.answer(question, [next(logits) for _ in question.rows])
        kept = {
            f"input_{name}" if name in found else name: value
            for name, value in item.fields.items()
            if name not in found or found[name] != value
        }
        yield Answer(item.place, {**kept, **found})


def _question(predictor: Predictor, item: Input) -> Question | str:
    """Return an input encoded, or why it cannot be."""
    if item.fault:
        return item.fault
    try:
        return predictor.question(item.asked)
    except DataError as error:
        return str(error)


def _logits(
    runner: Runner, rows: Sequence[Mapping[str, Sequence[int]]], size: int
) -> list[np.ndarray]:
    """Return the logits of every row, without padding, in the order of the rows."""
    lengths = [len(row["input_ids"]) for row in rows]
    logits: list[Any] = [None] * len(rows)
    for indices in by_length(lengths, size) if rows else ():
        with quiet():
            padded = runner.tokenizer.pad(
                {name: [rows[i][name] for i in indices] for name in rows[indices[0]]},
                return_tensors="np",
                padding_side="right",
            )
        outputs = runner.logits(padded)
        for place, index in enumerate(indices.tolist()):
            row = outputs[place]
            logits[index] = row[: lengths[index]] if row.ndim > 1 else row
    return logits


def _chunks(inputs: Iterable[Input], size: int) -> Iterator[list[Input]]:
    found = iter(inputs)
    while chunk := list(islice(found, size)):
        yield chunk


def _arriving(inputs: Iterable[Input], size: int) -> Iterator[list[Input]]:
    """Yield inputs as they come, up to ``size`` at once; less when they pause.

    Raises:
        Exception: What reading the inputs raised.
    """
    waiting: queue.Queue[Any] = queue.Queue(maxsize=2 * size)
    threading.Thread(target=_feed, args=(inputs, waiting), daemon=True).start()
    item = waiting.get()
    while item is not _END:
        chunk: list[Input] = []
        while item is not _END and len(chunk) < size:
            if isinstance(item, BaseException):
                raise item
            chunk.append(item)
            try:
                item = waiting.get(timeout=_PAUSE)
            except queue.Empty:
                item = None
                break
        yield chunk
        item = waiting.get() if item is None else item


def _feed(inputs: Iterable[Input], waiting: queue.Queue[Any]) -> None:
    try:
        for item in inputs:
            waiting.put(item)
    except Exception as error:  # noqa: BLE001 - raised again by whoever reads the queue
        waiting.put(error)
    waiting.put(_END)
