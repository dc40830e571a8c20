"""The rows of a split as a trunk reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from datasets import Dataset

_IDS = "input_ids"
_READ = (_IDS, "attention_mask", "token_type_ids")


@dataclass(frozen=True)
class TrunkRows:
    """Which sub-words every row has.

    Attributes:
        lengths: Tokens of every row.
        digest: A sha256 that two splits share when a model reads the same in them.
    """

    lengths: np.ndarray
    digest: str
    _ids: np.ndarray
    _offsets: np.ndarray

    @classmethod
    def of(cls, rows: Dataset) -> TrunkRows | None:
        """Read a split; nothing where a row is not one text."""
        table: Any = rows.with_format("arrow")
        columns = [name for name in _READ if name in rows.column_names]
        if _IDS not in columns or "attention_mask" not in columns:
            return None
        total = hashlib.sha256()
        read: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name in columns:
            column = table.select_columns([name])[:].column(name).combine_chunks()
            if column.type.num_fields != 1 or column.type.value_type.num_fields:
                return None
            values = column.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
            lengths = column.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
            read[name] = values, lengths
            total.update(name.encode() + lengths.tobytes() + values.tobytes())
        ids, lengths = read[_IDS]
        if not read["attention_mask"][0].all():
            return None
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return cls(lengths, total.hexdigest(), ids, offsets)

    @property
    def tokens(self) -> int:
        """How many tokens all rows have."""
        return len(self._ids)

    def are(self, rows: Sequence[int], ids: np.ndarray) -> bool:
        """Return whether ``ids`` are those of ``rows``, end to end: not masked nor replaced."""
        own = [self._ids[self._offsets[row] : self._offsets[row + 1]] for row in rows]
        return np.array_equal(np.concatenate(own), ids)
