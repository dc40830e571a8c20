"""Two results on the same examples: which one is right where the other is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stagetree.tasks.wording import say, text_of

if TYPE_CHECKING:
    from stagetree.tasks.examples import Examples

_LONG = 300
"""Characters of a text that are shown."""


@dataclass(frozen=True)
class Disagreement:
    """An example on which one result is right and the other wrong.

    Attributes:
        index: Its place in the validation split.
        text: Its text, empty where it is not known.
        gold: What is right.
        first: What the first result says.
        second: What the second result says.
    """

    index: int
    text: str
    gold: str
    first: str
    second: str


@dataclass(frozen=True)
class Disagreements:
    """How two results agree, example by example. An example is right when all of it is.

    Attributes:
        examples: How many there are.
        both_right: Both are right.
        first_only: The first alone is right.
        second_only: The second alone is right.
        both_wrong: Neither is right.
        p: Two-sided p-value of McNemar's exact test: how likely two results that are right
            equally often would differ at least so much (McNemar, Psychometrika 12, 1947).
        shown: Some disagreements, those of the first alone being right before the others.
    """

    examples: int
    both_right: int
    first_only: int
    second_only: int
    both_wrong: int
    p: float
    shown: Sequence[Disagreement]


def comparable(first: Examples, second: Examples) -> bool:
    """Return whether two results were asked the same questions."""
    return list(first.gold) == list(second.gold)


def disagreements(
    first: Examples, second: Examples, rows: Sequence[Mapping[str, Any]] | None, shown: int
) -> Disagreements:
    """Compare two results of the same examples.

    Args:
        first: What the first result says of each example.
        second: What the second one says.
        rows: The examples themselves; ``None`` where they are not known.
        shown: How many disagreements to show of each kind.
    """
    right = list(zip(first.right(), second.right(), strict=True))
    alone = [index for index, pair in enumerate(right) if pair == (True, False)]
    other = [index for index, pair in enumerate(right) if pair == (False, True)]
    return Disagreements(
        examples=len(right),
        both_right=right.count((True, True)),
        first_only=len(alone),
        second_only=len(other),
        both_wrong=right.count((False, False)),
        p=mcnemar(len(alone), len(other)),
        shown=[
            _shown(index, first, second, None if rows is None else rows[index])
            for index in (*alone[:shown], *other[:shown])
        ],
    )


def mcnemar(first_only: int, second_only: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    >>> mcnemar(0, 0), round(mcnemar(9, 1), 4)
    (1.0, 0.0215)
    """
    if first_only + second_only == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(first_only, first_only + second_only, 0.5).pvalue)


def _shown(
    index: int, first: Examples, second: Examples, row: Mapping[str, Any] | None
) -> Disagreement:
    return Disagreement(
        index=index,
        text=_shortened(text_of(row or {})),
        gold=say(first.gold[index], row),
        first=say(first.predicted[index], row),
        second=say(second.predicted[index], row),
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."
