"""What lies behind a stored result's scores: classes, confusions, and some examples in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stagetree.core.details import Details, Sample
from stagetree.tasks.spans import Sentence, spans_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stagetree.data.config import DataConfig
    from stagetree.pipeline.record import Record
    from stagetree.pipeline.store import Store
    from stagetree.tasks.base import Task
    from stagetree.tasks.examples import Examples

SEVERAL = "several"
"""Layout of a task that is made of others."""


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
        samples=_samples(examples, task, data, samples) if samples > 0 else (),
    )


def _samples(examples: Examples, task: Task, data: DataConfig, wanted: int) -> list[Sample]:
    from stagetree.data.load import load

    count = min(wanted, len(examples))
    places = [place * len(examples) // count for place in range(count)]
    rows = load(data).validation.select(places)
    words = _one_of_several if task.layout == SEVERAL else _words
    answers = [(examples.gold[place], examples.predicted[place]) for place in places]
    return [
        Sample(_text(row), words(row, gold), words(row, guess), right=gold == guess)
        for row, (gold, guess) in zip(rows, answers, strict=True)
    ]


def _text(row: Mapping[str, Any]) -> str:
    if row.get("tokens"):
        return " ".join(row["tokens"])
    return " | ".join(str(row[name]) for name in ("text", "text_pair") if row.get(name) is not None)


def _one_of_several(row: Mapping[str, Any], answer: Any) -> str:
    """Return the answer to one of several tasks in words.

    >>> _one_of_several({"text": "fine"}, ["mood", "good"])
    'mood: good'
    """
    task, own = answer
    return f"{task}: {_words(row, own)}"


def _words(row: Mapping[str, Any], answer: Any) -> str:
    """Return an answer as a person says it: a label, or ``TYPE: words`` of each entity.

    >>> _words({"tokens": ["by", "Ann", "Lee"]}, ["O", "B-NAME", "I-NAME"])
    'NAME: Ann Lee'
    """
    if isinstance(answer, str):
        return answer
    sentence = Sentence(row["tokens"])
    spans = spans_of(answer, [1.0] * len(answer))
    return "; ".join(f"{span.type}: {sentence.cover(span)}" for span in spans)
