"""What network file systems do otherwise than local ones, dealt with in one place.

A client keeps what it knew of names for up to a minute; a file that another machine removed
answers with ``ESTALE``; and a change that was made may be reported as failed, when the server's
answer was lost and the request was sent again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

T = TypeVar("T")

GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE})
"""What the file system says of something that is not there, or no longer."""

UNCERTAIN = frozenset({errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.EREMOTEIO})
"""What a server that is away for a moment looks like; the same may succeed when done again."""

_PAUSES = (0.02, 0.1, 0.4)


def is_gone(error: OSError) -> bool:
    """Return whether an error says that a file is not there, or was removed by another machine."""
    return error.errno in GONE


def again(call: Callable[[], T], numbers: Collection[int] = (errno.ESTALE,)) -> T:
    """Return what ``call`` returns, trying it a few times, half a second in all.

    Args:
        call: What to do; it must be harmless to do twice.
        numbers: The errors after which it is done again.

    Raises:
        OSError: Another error, or the last one.
    """
    for pause in _PAUSES:
        try:
            return call()
        except OSError as error:
            if error.errno not in numbers:
                raise
            time.sleep(pause)
    return call()


def refresh(path: Path, top: Path | None = None) -> None:
    """Make the next look at ``path`` ask the server, not what this machine remembers.

    Opening a directory is what makes a client check it ("close-to-open"); without, a name that
    was looked for in vain stays missing for up to ``acdirmax``, a minute, after it was created
    elsewhere.

    Args:
        path: What will be looked at; it need not exist.
        top: The topmost directory that may have changed; the directory of ``path`` if left out.
    """
    directories = [path.parent]
    while top is not None and directories[-1] != top and top in directories[-1].parents:
        directories.append(directories[-1].parent)
    for directory in reversed(directories):
        with contextlib.suppress(OSError):
            os.close(os.open(directory, os.O_RDONLY))


def rename(source: Path, target: Path) -> None:
    """Rename, as ``Path.replace``; done is done, though the file system says there is no source.

    Raises:
        OSError: It was not done.
    """
    known = _identity(source)
    try:
        source.replace(target)
    except OSError as error:
        if not is_gone(error) or known is None or _identity(target) != known:
            raise


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = again(path.lstat)
    except OSError:
        return None
    return found.st_dev, found.st_ino
