"""What entities of single sentences add up to: counts for a bootstrap, and what is confused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stagetree.tasks.chunks import opened
from stagetree.tasks.counts import ratio
from stagetree.tasks.entity_scores import Entities, TagCodes, entities
from stagetree.tasks.examples import NONE, Confusion, Examples

if TYPE_CHECKING:
    from collections.abc import Sequence


def tallies(examples: Examples) -> np.ndarray:
    """Return how many entities of each sentence are right, predicted and gold: (sentences, 3)."""
    codes, starts = _codes(examples), _starts(examples.gold)
    gold, guess = (_entities(side, codes) for side in (examples.gold, examples.predicted))
    found = guess.only(guess.found_in(gold))
    # An entity's sentence is the last one that begins at or before it.
    sentence = (np.searchsorted(starts, part.start, "right") - 1 for part in (found, guess, gold))
    counts = [np.bincount(at, minlength=len(examples)) for at in sentence]
    return np.stack(counts, axis=1).astype(np.int64).reshape(len(examples), 3)


def joined(rows: Sequence[list[str]], words: Sequence[int]) -> list[list[str]]:
    """Put the rows of long sentences together again.

    A row is scored by itself: an entity never goes on from the row before.

    Args:
        rows: Tags of each row.
        words: Number of words of each sentence.
    """
    sentences, left = [], iter(rows)
    for count in words:
        tags = list(next(left))  # one of no words has a row, too
        while len(tags) < count:
            tags += opened(next(left))
        sentences.append(tags)
    return sentences


def f1(sums: np.ndarray) -> np.ndarray:
    """Return F1 from counts of right, predicted and gold entities: (..., 3) -> (...)."""
    right, guessed, there = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
    return ratio(2 * right, guessed + there)


def confusion(examples: Examples) -> Confusion:
    """Return which type each entity is taken for.

    A gold entity is set against the predicted one that overlaps it first; without any it is
    missed (predicted ``none``). A predicted entity that overlaps no gold one is spurious (gold
    ``none``). Spans that overlap but differ count by their types.
    """
    codes = _codes(examples)
    gold, guess = (_entities(side, codes) for side in (examples.gold, examples.predicted))
    pairs = []
    for start, end, kind in zip(gold.start, gold.end, gold.type, strict=True):
        at = int(np.searchsorted(guess.end, start))
        met = at < len(guess.start) and guess.start[at] <= end
        pairs.append((codes.types[kind], codes.types[guess.type[at]] if met else NONE))
    for start, end, kind in zip(guess.start, guess.end, guess.type, strict=True):
        at = int(np.searchsorted(gold.end, start))
        if at == len(gold.start) or gold.start[at] > end:
            pairs.append((NONE, codes.types[kind]))
    return Confusion.of(pairs)


def _codes(examples: Examples) -> TagCodes:
    tags = {tag for side in (examples.gold, examples.predicted) for row in side for tag in row}
    return TagCodes.of(sorted(tags))


def _starts(rows: Sequence[Sequence[str]]) -> np.ndarray:
    """Return where each sentence begins when all are laid end to end."""
    return np.cumsum([0, *(len(row) for row in rows)])[:-1]


def _entities(rows: Sequence[Sequence[str]], codes: TagCodes) -> Entities:
    names = sorted({tag for row in rows for tag in row})
    number = {tag: index for index, tag in enumerate(names)}
    own = TagCodes.of(names)
    tags = np.array([number[tag] for row in rows for tag in row], dtype=np.int64)
    first = np.zeros(len(tags), dtype=bool)
    starts = _starts(rows)
    first[starts[starts < len(tags)]] = True
    found = entities(tags, first, own)
    place = np.array([codes.types.index(name) for name in own.types], dtype=np.int64)
    return Entities(found.start, found.end, place[found.type], found.strict)
