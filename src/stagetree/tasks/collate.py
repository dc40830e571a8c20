"""Batches padded to their longest row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_NOT_FOR_MODELS = frozenset({"length"})


@dataclass(frozen=True)
class WithoutLength:
    """Gives a collator of ``transformers`` only the columns it knows how to pad.

    Attributes:
        collator: Pads rows and returns torch tensors.
    """

    collator: Callable[[list[dict[str, Any]]], Any]

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return one batch of ``rows``."""
        kept = [
            {name: value for name, value in row.items() if name not in _NOT_FOR_MODELS}
            for row in rows
        ]
        return dict(self.collator(kept))
