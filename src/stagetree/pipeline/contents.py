"""The files of a stored model directory: listed with their hashes, and checked against them."""

from __future__ import annotations

import errno
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from stagetree.core import digests, nfs
from stagetree.core.atomic import sync_directory
from stagetree.core.errors import StoreError
from stagetree.pipeline.record import StoredFile

if TYPE_CHECKING:
    from collections.abc import Mapping


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
            os.fsync(file.fileno())
        found = StoredFile(path.stat().st_size, digests.sha256(path))
        files[path.relative_to(directory).as_posix()] = found
    sync_directory(directory)
    if not files:
        raise StoreError(f"expected the stage to fill {directory} with its result but it is empty")
    return files


def trust(directory: Path, files: Mapping[str, StoredFile]) -> None:
    """Note that these files were just written by this process, so as not to read them again."""
    for name, expected in files.items():
        digests.trust(directory / name, expected.sha256)


def damage(directory: Path, files: Mapping[str, StoredFile]) -> str:
    """Return what is wrong with the files below ``directory``; empty when nothing is.

    Raises:
        OSError: A file cannot be read for a reason other than a broken disk.
    """
    for name, expected in files.items():
        try:
            found = nfs.again(functools.partial(_fault, directory / name, expected), nfs.UNCERTAIN)
        except OSError as error:
            if not nfs.is_gone(error) and error.errno != errno.EIO:
                raise
            found = "is missing" if nfs.is_gone(error) else f"cannot be read ({error})"
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
            except OSError as error:
                if not nfs.is_gone(error):
                    raise
    return total


def _fault(path: Path, expected: StoredFile) -> str:
    size = path.stat().st_size
    if size != expected.bytes:
        return f"was stored with {expected.bytes} bytes but has {size}"
    digest = digests.sha256(path)
    if digest != expected.sha256:
        return f"was stored with sha256 {expected.sha256} but has {digest}"
    return ""
