"""Optuna's lock of a journal file, made safe for pauses and for network file systems."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from typing import TYPE_CHECKING

from optuna.storages.journal._file import LOCK_FILE_SUFFIX, BaseJournalFileLock

from stagetree.core import nfs

if TYPE_CHECKING:
    from pathlib import Path

_Mark = tuple[int, int]
_LONGEST = 0.01
"""Most seconds between two looks.

Who has to write so that all others may go on, as a worker that claims a trial, must not be the one
who sleeps longest.
"""


class JournalLock(BaseJournalFileLock):
    """The lock that Optuna's ``JournalFileSymlinkLock`` takes, so that both exclude each other.

    A lock is told from the next one by its inode and time: what was broken is the lock that was
    seen to stay, a holder that was paused knows that it lost it (:meth:`held`), and does not end
    its successor's. The directory is opened before each look, as a network file system would
    otherwise show a lock for up to a minute after it is gone, and it would be broken in vain.

    Args:
        path: The journal file.
        grace: Seconds after which a lock that stays is its dead holder's; it is held for the time
            of one write.
    """

    def __init__(self, path: Path, grace: float) -> None:
        self._target = path.absolute()
        self._lock = path.with_name(path.name + LOCK_FILE_SUFFIX)
        self._grace = grace
        self._mark: _Mark | None = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        seen, since, pause = None, time.monotonic(), 0.001
        while not self._taken():
            now, found = time.monotonic(), self._look()
            if found is None or found != seen:
                seen, since = found, now
            elif now - since > self._grace:
                self._end(found)
                continue
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)
        return True

    def held(self) -> bool:
        """Return whether the lock is still ours."""
        return self._mark is not None and self._look() == self._mark

    def release(self) -> None:
        """Give the lock back; nothing is done when it was taken from us."""
        mark, self._mark = self._mark, None
        if mark is not None:
            self._end(mark)

    def _taken(self) -> bool:
        nfs.refresh(self._lock)
        try:
            self._lock.symlink_to(self._target)
        except FileExistsError:
            return False
        self._mark = self._look()
        return self._mark is not None

    def _look(self) -> _Mark | None:
        nfs.refresh(self._lock)
        try:
            found = nfs.again(self._lock.lstat)
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _end(self, mark: _Mark) -> None:
        """Remove the lock that was seen, and no other."""
        if self._look() != mark:
            return
        grave = self._lock.with_name(f"{self._lock.name}.{secrets.token_hex(8)}.rename")
        with contextlib.suppress(FileNotFoundError):
            nfs.rename(self._lock, grave)
            buried = grave.lstat()
            if (buried.st_ino, buried.st_mtime_ns) != mark:
                with contextlib.suppress(OSError):
                    os.link(grave, self._lock, follow_symlinks=False)
            grave.unlink()
