"""Seeded, reproducible ways to divide examples into train, validation and test."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


@dataclass(frozen=True)
class Split:
    """Row numbers of the three splits; disjoint."""

    train: list[int] = field(default_factory=list)
    validation: list[int] = field(default_factory=list)
    test: list[int] = field(default_factory=list)


def shuffled(count: int, seed: str) -> list[int]:
    """Return ``0 .. count-1`` in an order that depends on ``seed`` only.

    Python's own generator is used because its sequence is the same in every version.

    >>> shuffled(5, "13") == shuffled(5, "13")
    True
    """
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return order


def stratified(groups: Sequence[Hashable], shares: Sequence[float], seed: int) -> Split:
    """Divide rows so that every group is divided by the same shares.

    Args:
        groups: One group a row, e.g. its label; equal groups everywhere give a plain split.
        shares: Shares of train, validation and test; they sum to 1.
        seed: Seed of the shuffle inside each group.

    Returns:
        Row numbers, shuffled in train and in order of the rows in validation and test. A group
        too small for its share goes where the running shortfall is largest.
    """
    members: dict[Hashable, list[int]] = {}
    for row in shuffled(len(groups), f"{seed}/stratified"):
        members.setdefault(groups[row], []).append(row)
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    # Small groups first: the large ones can then make up for their rounding.
    for rows in sorted(members.values(), key=len):
        _deal(rows, shares, parts)
    order = shuffled(len(parts[0]), f"{seed}/train")
    return Split([parts[0][at] for at in order], sorted(parts[1]), sorted(parts[2]))


def _deal(rows: Sequence[int], shares: Sequence[float], parts: Sequence[list[int]]) -> None:
    exact = [share * len(rows) for share in shares]
    counts = [int(want + 1e-9) for want in exact]
    placed = sum(len(part) for part in parts) + len(rows)
    while sum(counts) < len(rows):
        short = [
            share * placed - len(part) - count
            for share, part, count in zip(shares, parts, counts, strict=True)
        ]
        counts[short.index(max(short))] += 1
    start = 0
    for part, count in zip(parts, counts, strict=True):
        part.extend(rows[start : start + count])
        start += count
