"""The files of a stored model directory: listed with their hashes, and checked against them."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from stagetree.core.atomic import sync_directory
from stagetree.core.errors import StoreError
from stagetree.pipeline.record import StoredFile

if TYPE_CHECKING:
    from collections.abc import Mapping

_verified: dict[str, tuple[int, int, int, str]] = {}
"""Files whose content this process knows: path -> size, mtime, ctime, sha256."""


def seal(directory: Path) -> dict[str, StoredFile]:
    """Bring every file below ``directory`` onto the disk and return them by relative path.

    Raises:
        StoreError: There is no file.
        OSError: A file cannot be read or written out.
    """
    files = {}
    for path in sorted(directory.rglob("*")):
        if path.is_dir():
            sync_directory(path)
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
            files[path.relative_to(directory).as_posix()] = StoredFile(file.tell(), digest)
    sync_directory(directory)
    if not files:
        raise StoreError(f"expected the stage to fill {directory} with its result but it is empty")
    return files


def trust(directory: Path, files: Mapping[str, StoredFile]) -> None:
    """Note that these files were just written by this process, so as not to read them again."""
    for name, expected in files.items():
        _remember(directory / name, expected.sha256)


def damage(directory: Path, files: Mapping[str, StoredFile]) -> str:
    """Return what is wrong with the files below ``directory``; empty when nothing is.

    Raises:
        OSError: A file cannot be read for a reason other than a broken disk.
    """
    for name, expected in files.items():
        try:
            found = _fault(directory / name, expected)
        except FileNotFoundError:
            found = "is missing"
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            found = f"cannot be read ({error})"
        if found:
            return f"{name} {found}"
    return ""


def tree_size(directory: Path) -> int:
    """Return the bytes of all files below ``directory``; 0 when it is not there."""
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_size
            except FileNotFoundError:
                continue
    return total


def _fault(path: Path, expected: StoredFile) -> str:
    stamp = path.stat()
    if stamp.st_size != expected.bytes:
        return f"was stored with {expected.bytes} bytes but has {stamp.st_size}"
    if _verified.get(str(path)) == _key(stamp, expected.sha256):
        return ""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != expected.sha256:
        return f"was stored with sha256 {expected.sha256} but has {digest}"
    _verified[str(path)] = _key(stamp, digest)
    return ""


def _remember(path: Path, sha256: str) -> None:
    _verified[str(path)] = _key(path.stat(), sha256)


def _key(stamp: os.stat_result, sha256: str) -> tuple[int, int, int, str]:
    return (stamp.st_size, stamp.st_mtime_ns, stamp.st_ctime_ns, sha256)
