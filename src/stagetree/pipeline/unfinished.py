"""What later runs may go on from: trunks that runs share, and checkpoints of pruned trials.

All of it can be computed again, so it is bounded, and goes before any result does.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stagetree.core.lease import Lease
from stagetree.pipeline.leavings import age

TRUNKS = "trunks"
"""Directory of trunks in a store."""

FORK = "fork"
"""Name of the empty file in a trunk's checkpoint that says that a run has left the trunk there."""

PRUNED = "pruned"
"""Name of the empty file in the scratch directory of a trial that was pruned."""

_HOUR = 3600.0


@dataclass(frozen=True)
class _Item:
    """Something to go on from.

    Attributes:
        place: Its directory.
        lease: The lease that removing it needs, if any.
        worth: The least goes first: points that runs merely pass before forks, then by the time
            of the last use.
    """

    place: Path
    lease: Path | None
    worth: tuple[int, float]


def size(root: Path) -> int:
    """Return the bytes that everything to go on from takes in a store, files shared counted once.

    Partial work of trials that were not pruned does not count: they go on.
    """
    seen: set[int] = set()
    return sum(_bytes(place, seen) for place, _ in _places(root))


def trim(root: Path, limit: float) -> int:
    """Remove what is least worth keeping until the rest takes ``limit`` bytes; return those freed.

    What somebody works on stays. It may vanish under whoever is about to go on from it, who then
    computes it again.
    """
    excess = size(root) - limit
    if excess <= 0:
        return 0
    before = excess
    for item in _items(root):
        if excess <= 0:
            break
        if _free(item):
            excess = size(root) - limit
    return int(before - excess)


def clean(root: Path, older_than: float, *, dry: bool) -> int:
    """Remove trunks that nobody used for so many seconds; return the bytes freed.

    Checkpoints of pruned trials are partial work; see ``Store.clean_partial``.
    """
    freed, seen = 0, set[int]()
    for place in sorted((root / TRUNKS).glob("*/*")):
        litter = place.name.startswith(".")
        if age(place) > (min(older_than, _HOUR) if litter else older_than):
            freed += _bytes(place, seen)
            if not dry:
                remove(place)
    return freed


def remove(place: Path) -> None:
    """Remove a trunk's checkpoint in one rename, so that nobody finds half of it."""
    doomed = place.with_name(f".{secrets.token_hex(8)}")
    with contextlib.suppress(OSError):
        place.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
    with contextlib.suppress(OSError):
        place.parent.rmdir()


def _places(root: Path) -> Iterator[tuple[Path, Path | None]]:
    """Yield what there is to go on from, with the lease that removing it needs."""
    for place in (root / TRUNKS).glob("*/step-*"):
        yield place, None
    for marker in (root / "partial").glob(f"*/scratch/{PRUNED}"):
        area = marker.parent.parent
        yield area, root / "locks" / f"{area.name}.lock"


def _items(root: Path) -> list[_Item]:
    """Return what may go, the least worth keeping first."""
    now, found = time.time(), []
    for place, lease in _places(root):
        passed = lease is None and not (place / FORK).exists()
        worth = (0 if passed else 1, now - age(place))
        found.append(_Item(place, lease, worth))
    return sorted(found, key=lambda item: item.worth)


def _free(item: _Item) -> bool:
    if item.lease is None:
        remove(item.place)
        return True
    lease = Lease(item.lease)
    with contextlib.suppress(OSError):
        if lease.try_acquire():
            try:
                shutil.rmtree(item.place, ignore_errors=True)
            finally:
                lease.release()
            return True
    return False


def _bytes(place: Path, seen: set[int]) -> int:
    """Return what files below a directory take on disk that are not in ``seen``, and add them."""
    total = 0
    for parent, _, names in os.walk(place):
        for name in names:
            with contextlib.suppress(OSError):
                status = (Path(parent) / name).lstat()
                if status.st_ino not in seen:
                    seen.add(status.st_ino)
                    total += status.st_size
    return total
