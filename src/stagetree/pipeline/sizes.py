"""How much disk the results take, known without walking over them again and again."""

from __future__ import annotations

import re
import time
from pathlib import Path

from stagetree.pipeline.contents import tree_size

_SHARD = re.compile("[0-9a-f]{2}")
_ENTRY = re.compile("[0-9a-f]{64}")
_SETTLED = 2.0
"""Seconds after which a change can no longer hide behind an earlier one of the same time stamp."""


class Sizes:
    """Sizes of a store's results.

    A result never changes once it is there, so it is measured once; and a directory of results
    is listed again only when its time of change says that one came or went. A look at a store
    in which nothing has changed costs one ``stat`` for each of its up to 256 directories.

    Args:
        root: The store's directory.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._shards: dict[str, tuple[int, dict[str, int]]] = {}

    def read(self) -> dict[str, int]:
        """Return the bytes of every result by its signature."""
        names = [place.name for place in self._root.glob("??") if _SHARD.fullmatch(place.name)]
        self._shards = {name: self._shard(name) for name in sorted(names)}
        return {key: size for _, sizes in self._shards.values() for key, size in sizes.items()}

    def _shard(self, name: str) -> tuple[int, dict[str, int]]:
        place = self._root / name
        stamp = place.stat().st_mtime_ns
        settled = time.time() - stamp / 1e9 > _SETTLED
        before, known = self._shards.get(name, (0, {}))
        if known and before == stamp:
            return before, known
        entries = [entry for entry in place.iterdir() if _ENTRY.fullmatch(entry.name)]
        sizes = {entry.name: known.get(entry.name) or tree_size(entry) for entry in entries}
        return stamp if settled else 0, sizes
