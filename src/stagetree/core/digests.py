"""Hashes of files, each computed once a process as long as the file stays as it is."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_Stamp = tuple[int, int, int]

_known: dict[str, tuple[_Stamp, str]] = {}
"""Files whose content this process knows: path -> (size, mtime, ctime), sha256."""


def sha256(path: Path) -> str:
    """Return the sha256 of a file's content as 64 hexadecimal digits.

    A file whose size and times are those of the last call is not read again.

    Raises:
        OSError: The file cannot be read.
    """
    stamp = _stamp(path)
    known = _known.get(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps the dots
    if known is not None and known[0] == stamp:
        return known[1]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    _known[os.path.abspath(path)] = (stamp, digest)  # noqa: PTH100
    return digest


def trust(path: Path, digest: str) -> None:
    """Note what a file holds that this process has just written or moved.

    Raises:
        OSError: There is no such file.
    """
    _known[os.path.abspath(path)] = (_stamp(path), digest)  # noqa: PTH100


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
