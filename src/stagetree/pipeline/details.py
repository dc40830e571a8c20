"""What lies behind a stored result's scores: classes, confusions, and some examples in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stagetree.core.details import Details, Sample
from stagetree.tasks.wording import say, text_of

if TYPE_CHECKING:
    from stagetree.data.config import DataConfig
    from stagetree.pipeline.record import Record
    from stagetree.pipeline.store import Store
    from stagetree.tasks.base import Task
    from stagetree.tasks.examples import Examples


def details(record: Record, store: Store, task: Task, data: DataConfig, samples: int) -> Details:
    """Return what lies behind a result's scores.

    Args:
        record: The result's record.
        store: The store it lies in.
        task: The task it was scored on.
        data: The data it was scored on.
        samples: How many examples to show at most, spread evenly over the validation split.

    Raises:
        DataError: The data cannot be loaded any more.
    """
    examples = store.examples(record.signature)
    if examples is None or not len(examples):
        return Details(record.per_class)
    found = task.confusion(examples)
    return Details(
        per_class=record.per_class,
        labels=found.labels,
        confusion=found.matrix.tolist(),
        samples=_samples(examples, data, samples) if samples > 0 else (),
    )


def _samples(examples: Examples, data: DataConfig, wanted: int) -> list[Sample]:
    from stagetree.data.load import load

    count = min(wanted, len(examples))
    places = [place * len(examples) // count for place in range(count)]
    rows = load(data).validation.select(places)
    answers = [(examples.gold[place], examples.predicted[place]) for place in places]
    return [
        Sample(text_of(row), say(gold, row), say(guess, row), right=gold == guess)
        for row, (gold, guess) in zip(rows, answers, strict=True)
    ]
