"""The file that an offline W&B run is written to."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = 32768
_HEADER = struct.Struct("<IHB")  # masked crc32, length, type
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_FILE_HEADER = 7


def wait_until_whole(path: Path, timeout: float = 2.0, pause: float = 0.005) -> bool:
    """Wait until the file holds the record that says the run has ended.

    ``Run.finish`` may return while W&B's own process is still writing.

    Args:
        path: The ``run-*.wandb`` file.
        timeout: Seconds to wait at most.
        pause: Seconds between two looks.

    Returns:
        Whether the record was seen.
    """
    deadline = time.monotonic() + timeout
    while not _ended(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def _ended(path: Path) -> bool:
    from wandb.proto import wandb_internal_pb2

    for content in _last_records(path):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        if record.WhichOneof("record_type") == "exit":
            return True
    return False


def _last_records(path: Path) -> Iterator[bytes]:
    """Yield the whole records of the last two blocks (of LevelDB's log format)."""
    try:
        size = path.stat().st_size
        start = max(0, size // _BLOCK - 1) * _BLOCK
        with path.open("rb") as file:
            file.seek(start)
            data = file.read()
    except OSError:
        return
    position = _FILE_HEADER if start == 0 else 0
    parts: list[bytes] = []
    while position + _HEADER.size <= len(data):
        left = _BLOCK - position % _BLOCK
        if left < _HEADER.size:
            position += left
            continue
        _, length, kind = _HEADER.unpack_from(data, position)
        position += _HEADER.size
        chunk = data[position : position + length]
        position += length
        if len(chunk) < length or kind not in (_FULL, _FIRST, _MIDDLE, _LAST):
            return
        if kind in (_FULL, _FIRST):
            parts = [chunk]
        elif parts:  # a record that began before the first block is skipped
            parts.append(chunk)
        if kind in (_FULL, _LAST) and parts:
            yield b"".join(parts)
            parts = []
