"""Outputs of frozen layers for every row of a split: computed once, memory-mapped, bounded."""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

logger = logging.getLogger(__name__)

_GIGABYTE = 10**9
_HEADER = 128


class Activations:
    """One vector for every token of every row.

    Args:
        values: Vectors of all rows, end to end: (tokens, width), float32.
        offsets: Where each row begins in ``values``, and where the last one ends.
    """

    def __init__(self, values: np.ndarray, offsets: np.ndarray) -> None:
        self._values = np.asarray(values)
        self._offsets = offsets.tolist()

    def __getitem__(self, row: int) -> np.ndarray:
        """Return the vectors of one row: (tokens, width)."""
        return self._values[self._offsets[row] : self._offsets[row + 1]]


@dataclass
class ActivationStore:
    """Keeps activations of many stages and trials under their keys.

    The files together take at most ``gigabytes``, and at most half of the space that would be
    free without them: those used longest ago make room for new ones. Whoever has a removed file
    open goes on reading it.

    Attributes:
        root: Where the files are.
        gigabytes: Their bound, in 10^9 bytes.
    """

    root: Path
    gigabytes: float
    _told: bool = field(default=False, init=False)

    def fits(self, tokens: int, width: int) -> bool:
        """Return whether that many vectors may be kept; the first refusal is told as a warning."""
        need, limit = 4 * tokens * width, self._limit()
        if need > limit and not self._told:
            self._told = True
            logger.warning(
                "outputs of frozen layers would take %.3g GB on disk, of which %.3g are allowed: "
                "they are computed again at every step, slower and to the same numbers; raise "
                "reuse_gb or free space under %s",
                need / _GIGABYTE,
                limit / _GIGABYTE,
                self.root,
            )
        return need <= limit

    def get(
        self, key: str, lengths: np.ndarray, width: int, rows: Iterable[np.ndarray]
    ) -> Activations:
        """Return the activations kept under ``key``; take them from ``rows`` if there are none.

        Several processes may ask for the same key at once: each may compute, one result stays.

        Args:
            key: Names everything the values depend on.
            lengths: Tokens of every row.
            width: Numbers a token.
            rows: The values row by row, each (tokens, width); read only where needed.
        """
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        path, shape = self.root / f"{key}.npy", (int(offsets[-1]), width)
        found = _opened(path, shape)
        if found is None:
            self.root.mkdir(parents=True, exist_ok=True)
            self._make_room(_HEADER + 4 * shape[0] * shape[1])
            _fill(path, shape, offsets, rows)
            found = _opened(path, shape)
        if found is None:
            raise RuntimeError(f"expected {path}, just written, to hold an array of shape {shape}")
        return Activations(found, offsets)

    def _limit(self) -> float:
        place = next(path for path in (self.root, *self.root.parents) if path.exists())
        free = shutil.disk_usage(place).free + sum(size for _, size, _ in self._files())
        return min(self.gigabytes * _GIGABYTE, free / 2)

    def _make_room(self, need: int) -> None:
        files, limit = sorted(self._files()), self._limit()
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total + need <= limit:
                return
            path.unlink(missing_ok=True)
            total -= size

    def _files(self) -> list[tuple[float, int, Path]]:
        found = []
        for path in self.root.glob("*"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process made room
                continue
            found.append((status.st_mtime, status.st_size, path))
        return found


def _opened(path: Path, shape: Sequence[int]) -> Any:
    try:
        values = np.load(path, mmap_mode="r")
        path.touch()
    except (OSError, EOFError, ValueError):
        return None
    return values if values.shape == tuple(shape) else None


def _fill(path: Path, shape: tuple[int, int], offsets: np.ndarray, rows: Any) -> None:
    partial = path.with_suffix(f".{uuid.uuid4().hex}.partial")
    try:
        values = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
        for start, end, row in zip(offsets[:-1], offsets[1:], rows, strict=True):
            values[start:end] = row
        values.flush()
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
