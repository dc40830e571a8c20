"""Entities as ranges of words: read from tags, and written as tags again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """An entity in a sentence.

    Attributes:
        type: Its type.
        start: Its first word.
        end: One past its last word.
        score: Mean probability of its words' tags.
        opened: Whether it began with ``B-``, as IOB2 wants.
    """

    type: str
    start: int
    end: int
    score: float
    opened: bool = True


@dataclass(frozen=True)
class Sentence:
    """The words that spans are ranges of.

    Attributes:
        words: The words.
        text: The raw text, if there was one.
        places: First character and one past the last one of each word in the raw text.
    """

    words: Sequence[str]
    text: str | None = None
    places: Sequence[tuple[int, int]] = ()

    def characters(self, span: Span) -> tuple[int, int]:
        """Return where a span begins and ends in the raw text."""
        return self.places[span.start][0], self.places[span.end - 1][1]

    def cover(self, span: Span) -> str:
        """Return a span's text: as it stands in the raw text, or its words joined by spaces."""
        if self.text is None:
            return " ".join(self.words[span.start : span.end])
        start, end = self.characters(span)
        return self.text[start:end]


def spans_of(tags: Sequence[str], scores: Sequence[float]) -> list[Span]:
    """Return the entities of a sentence, as conlleval counts them.

    An ``I-`` that follows no tag of its type opens an entity too.

    Args:
        tags: ``O``, ``B-TYPE`` or ``I-TYPE``, one a word.
        scores: Probability of each tag.

    >>> spans = spans_of(["I-A", "I-A", "B-A", "O"], [1.0] * 4)
    >>> [(span.type, span.start, span.end) for span in spans]
    [('A', 0, 2), ('A', 2, 3)]
    """
    borders: list[tuple[str, int, int, bool]] = []
    for index, tag in enumerate(tags):
        prefix, _, name = tag.partition("-")
        if not name:
            continue
        joins = prefix == "I" and borders and borders[-1][2] == index and borders[-1][0] == name
        if joins:
            borders[-1] = (name, borders[-1][1], index + 1, borders[-1][3])
        else:
            borders.append((name, index, index + 1, prefix == "B"))
    return [
        Span(name, start, end, sum(scores[start:end]) / (end - start), opened)
        for name, start, end, opened in borders
    ]


def tags_of(spans: Sequence[Span], words: int) -> list[str]:
    """Return the IOB2 tags of a sentence of so many words.

    >>> tags_of([Span("A", 1, 3, 1.0)], 4)
    ['O', 'B-A', 'I-A', 'O']
    """
    tags = ["O"] * words
    for span in spans:
        tags[span.start : span.end] = [f"I-{span.type}"] * (span.end - span.start)
        tags[span.start] = f"B-{span.type}"
    return tags
