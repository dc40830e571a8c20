"""Encoded splits on disk: made once, memory-mapped and shared by all processes."""

from __future__ import annotations

import json
import logging
import re
import shutil
import threading
import uuid
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datasets import Dataset

logger = logging.getLogger(__name__)

_KEPT = 16
_RECORD = "complete.json"
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CHUNK = 1 << 20
_open: OrderedDict[Path, Dataset] = OrderedDict()
_lock = threading.Lock()


def tokenized(key: str, build: Callable[[], Dataset], root: Path) -> Dataset:
    """Return the data set kept under ``root/key``, calling ``build`` when there is none.

    Several processes may ask for the same key at once: each may build, one result stays. A
    damaged entry is built again.

    Args:
        key: Names everything the result depends on, e.g. a sha256 in hexadecimal.
        build: Makes the data set.
        root: Directory of the cache; nothing is written outside of it.

    Returns:
        The data set, memory-mapped.

    Raises:
        ValueError: The key is not usable as a file name.
    """
    if not _SAFE.fullmatch(key):
        raise ValueError(f"expected a key of letters, digits, '.', '_' and '-' but got {key!r}")
    place = root.resolve() / key
    with _lock:
        if place not in _open:
            _open[place] = _stored(place) or _built(place, build)
            while len(_open) > _KEPT:
                _open.popitem(last=False)
        _open.move_to_end(place)
        return _open[place]


def _stored(place: Path) -> Dataset | None:
    import datasets

    if not place.exists():
        return None
    if _sums(place) == _recorded(place):
        try:
            return datasets.load_from_disk(str(place))
        except (OSError, ValueError, KeyError) as error:
            logger.warning("%s: %s", place, error)
    logger.warning("%s is damaged and is made again", place)
    return None


def _built(place: Path, build: Callable[[], Dataset]) -> Dataset:
    import datasets

    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.parent / f".{place.name}.{uuid.uuid4().hex}"
    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        build().save_to_disk(str(fresh))
        (fresh / _RECORD).write_text(json.dumps(_sums(fresh)), encoding="utf-8")
        _publish(fresh, place)
        return datasets.load_from_disk(str(place))
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if not bars:
            datasets.enable_progress_bars()


def _publish(fresh: Path, place: Path) -> None:
    try:
        fresh.rename(place)
    except OSError:
        if _sums(place) == _recorded(place):  # another process was faster
            return
        # Readers that have the damaged files mapped keep them: only the names go away.
        aside = place.parent / f".{place.name}.{uuid.uuid4().hex}"
        place.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
        fresh.rename(place)


def _recorded(place: Path) -> dict[str, int] | None:
    try:
        recorded: dict[str, int] = json.loads((place / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return recorded


def _sums(place: Path) -> dict[str, int]:
    """Return the CRC-32 of every file: cheap, and it finds truncation and flipped bits."""
    return {
        path.name: _crc(path)
        for path in sorted(place.iterdir())
        if path.is_file() and path.name != _RECORD
    }


def _crc(path: Path) -> int:
    total = 0
    with path.open("rb") as stream:
        while block := stream.read(_CHUNK):
            total = zlib.crc32(block, total)
    return total
