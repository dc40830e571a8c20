"""How good a stage's result is, class by class and example by example, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """One validation example.

    Attributes:
        text: What the model reads, as a person reads it.
        gold: What is right, in words.
        predicted: What the model says, in words.
        right: Whether all of the answer is right.
    """

    text: str
    gold: str
    predicted: str
    right: bool


@dataclass(frozen=True)
class Details:
    """What lies behind a stage's scores.

    Attributes:
        per_class: Precision, recall, F1 and support by class.
        labels: Names of the confusion matrix's rows and columns.
        confusion: (gold, predicted) counts, one row a label; empty where the task has none.
        samples: The same few validation examples for every result on the same data.
    """

    per_class: Mapping[str, Mapping[str, float]]
    labels: Sequence[str] = ()
    confusion: Sequence[Sequence[int]] = ()
    samples: Sequence[Sample] = ()
