"""What a file system says of the store, turned into what happened and what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from stagetree.core.errors import StagetreeError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stagetree.core.lease import Lease

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextlib.contextmanager
def explained(
    root: Path, lease: Lease | None = None, scratch: Path | None = None
) -> Iterator[None]:
    """Turn errors of the file system inside the block into ones that say what to do.

    Args:
        root: The store's directory.
        lease: With it the block is the caller's: its own errors pass unless the cause is ours.
        scratch: Local directory in which output is made, if it is another one.

    Raises:
        StoreError: The store is full, read-only or out of reach.
        LeaseLost: A successor has removed the output under us.
    """
    try:
        yield
    except StagetreeError:
        raise
    except Exception as error:
        if _is_full(error):
            raise StoreError(_full(root, error, scratch)) from error
        if not isinstance(error, OSError):
            raise
        if lease is not None:
            lease.check()
            raise
        if error.errno in _READ_ONLY:
            raise StoreError(
                f"store at {root} is read-only ({error}). Results can be read from it "
                "but not added: name a directory that you may write, paths.root=DIR"
            ) from error
        raise StoreError(f"cannot use the store at {root}: {error}") from error


def _free(place: Path) -> str:
    with contextlib.suppress(OSError):
        return f"{shutil.disk_usage(place).free:,}"
    return "an unknown number of"


def _full(root: Path, error: Exception, scratch: Path | None) -> str:
    local = f", {_free(scratch)} on the scratch disk ({scratch})" if scratch is not None else ""
    return (
        f"no space left for the store at {root}: {_free(root)} bytes are free{local} ({error}). "
        "Stored results are untouched and partial work is kept: free some space "
        "(stagetree store gc) and run the same again, or name another directory, paths.root=DIR"
    )


def _is_full(error: BaseException | None) -> bool:
    """Whether the disk is full, also where a library wrapped the error into its own text."""
    if error is None:
        return False
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    wrapped = any(os.strerror(number) in str(error) for number in _FULL)
    return wrapped or _is_full(error.__cause__)
