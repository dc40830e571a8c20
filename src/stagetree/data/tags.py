"""Tagging schemes: everything becomes IOB2."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Scheme(Enum):
    """How entity borders are written in tags.

    Attributes:
        iob2: Every entity starts with ``B-``.
        iob1: ``B-`` only where an entity follows another of its type directly.
        io: No ``B-`` at all: ``I-TYPE`` or ``TYPE``; neighbours of one type are one entity.
    """

    iob2 = "iob2"
    iob1 = "iob1"
    io = "io"


class TagError(ValueError):
    """A tag cannot be understood.

    Attributes:
        index: Position of the tag in its sentence, from 0.
    """

    def __init__(self, index: int, message: str) -> None:
        self.index = index
        super().__init__(message)


def to_iob2(tags: Sequence[str], scheme: Scheme = Scheme.iob2) -> list[str]:
    """Return the tags of one sentence in IOB2.

    Raises:
        TagError: A tag is no tag of ``scheme``.

    >>> to_iob2(["I-PER", "I-PER", "B-PER", "O"], Scheme.iob1)
    ['B-PER', 'I-PER', 'B-PER', 'O']
    >>> to_iob2(["LOC", "LOC", "O"], Scheme.io)
    ['B-LOC', 'I-LOC', 'O']
    """
    converted: list[str] = []
    before = ""
    for index, tag in enumerate(tags):
        prefix, name = _parts(index, tag, scheme)
        if prefix == "I" and name != before:
            if scheme is Scheme.iob2:
                raise TagError(index, _orphan(tag, name, tags[index - 1] if index else None))
            prefix = "B"
        converted.append(f"{prefix}-{name}" if name else "O")
        before = name
    return converted


def _parts(index: int, tag: str, scheme: Scheme) -> tuple[str, str]:
    if tag == "O":
        return "O", ""
    prefix, dash, name = tag.partition("-")
    if scheme is Scheme.io:
        return "I", name if dash and prefix == "I" and name else tag
    if prefix not in ("B", "I") or not name:
        raise TagError(index, f"expected O, B-TYPE or I-TYPE, got {tag!r}")
    return prefix, name


def _orphan(tag: str, name: str, before: str | None) -> str:
    where = f"after {before!r}" if before else "at the start of a sentence"
    return (
        f"expected B-{name} to open the entity (IOB2), got {tag!r} {where}; "
        "if the data is IOB1 or IO set data.scheme=iob1 or data.scheme=io"
    )
