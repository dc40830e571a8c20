"""Cutting long tagged sentences at word borders, so that no label is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def cut(pieces: Sequence[int], tags: Sequence[str], room: int) -> list[tuple[int, int]]:
    """Return consecutive word ranges that cover a sentence and fit into ``room`` sub-words.

    A range ends before an entity rather than inside it, unless the entity alone is too long. A
    word longer than ``room`` gets a range of its own.

    Args:
        pieces: Sub-words of each word.
        tags: IOB2 tag of each word.
        room: Most sub-words of a range.

    Returns:
        Pairs of first word and one past the last word.

    >>> cut([1, 1, 1, 1], ["O", "O", "B-PER", "I-PER"], 3)
    [(0, 2), (2, 4)]
    >>> cut([5, 1], ["O", "O"], 3)
    [(0, 1), (1, 2)]
    """
    ranges = []
    start = 0
    while start < len(pieces):
        end, used = start + 1, pieces[start]
        while end < len(pieces) and used + pieces[end] <= room:
            used += pieces[end]
            end += 1
        border = end
        while end < len(pieces) and border > start and tags[border].startswith("I-"):
            border -= 1
        end = border if border > start else end
        ranges.append((start, end))
        start = end
    return ranges


def opened(tags: Sequence[str]) -> list[str]:
    """Return the tags of a part of a sentence, its first one able to open an entity.

    >>> opened(["I-PER", "O"])
    ['B-PER', 'O']
    """
    return [f"B-{tags[0][2:]}" if tags[0].startswith("I-") else tags[0], *tags[1:]]
