"""Copies of results on a machine's own disk, for stages to read from."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from stagetree.pipeline import contents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stagetree.pipeline.record import StoredFile

_log = logging.getLogger(__name__)


class Scratch:
    """A directory on local disk with copies of models, and with output before it is published.

    A copy is made once, checked against its record's digests, and renamed into place. Copies that
    were not used for longest go first when they take more than the limit; what a process of this
    machine reads stays (``flock``, which serves on a local disk and ends with its process).

    Whatever fails here, a full disk or a missing directory, costs one warning: results are then
    read from and made in the store.

    Args:
        directory: The local directory; several stores and processes may share it.
        limit: Bytes that the copies may take together.
        store: The store's root; each has copies of its own.
    """

    def __init__(self, directory: Path, limit: float, store: Path) -> None:
        name = hashlib.sha256(str(store.absolute()).encode()).hexdigest()[:12]
        self.root = Path(directory) / f"stagetree-{name}"
        self._limit = limit
        self._held: dict[str, BinaryIO] = {}
        self._told = False

    def read(self, signature: str, source: Path, files: Mapping[str, StoredFile]) -> Path:
        """Return a local copy of a model directory, or ``source`` where none can be made.

        The copy stays until :meth:`let_go`.
        """
        try:
            copy = self._copies / signature
            self._hold(signature)
            there = copy.is_dir() and not contents.damage(copy, files)
            if there or self._copied(signature, source, files):
                os.utime(copy)
                return copy
        except OSError as error:
            self._tell(error)
        return source

    def adopt(self, signature: str, made: Path, files: Mapping[str, StoredFile]) -> None:
        """Keep local output that was published as the copy of what was published."""
        copy = self._copies / signature
        with contextlib.suppress(OSError), self._lock("making"):
            if not copy.exists() and self._room(files):
                made.rename(copy)
                contents.trust(copy, files)

    def let_go(self) -> None:
        """Let the copies that were read be removed when their space is needed."""
        while self._held:
            self._held.popitem()[1].close()

    @contextlib.contextmanager
    def desk(self) -> Iterator[Path | None]:
        """Give a local directory to make output in; it is gone when the block ends.

        ``None`` where there can be none. What a killed process left behind is removed first.
        """
        with contextlib.ExitStack() as stack:
            desk: Path | None = None
            try:
                self._sweep()
                name = secrets.token_hex(8)
                lock = self._lock(f"desk-{name}")
                stack.callback(_remove, lock)
                desk = self.root / "desks" / name
                desk.mkdir(parents=True)
                stack.callback(shutil.rmtree, desk, ignore_errors=True)
            except OSError as error:
                self._tell(error)
                desk = None
            yield desk

    @property
    def _copies(self) -> Path:
        return self.root / "copies"

    def _copied(self, signature: str, source: Path, files: Mapping[str, StoredFile]) -> bool:
        """Make a copy unless another process has done so meanwhile; return whether there is one."""
        copy = self._copies / signature
        with self._lock("making"):
            if copy.is_dir():
                if not contents.damage(copy, files):
                    return True
                shutil.rmtree(copy)
            if not self._room(files):
                return False
            partial = self._copies / f".{secrets.token_hex(8)}"
            try:
                shutil.copytree(source, partial)
                found = contents.damage(partial, files)
                if found:
                    raise OSError(errno.EIO, f"{found} after it was copied", str(source))
                partial.rename(copy)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            contents.trust(copy, files)
        return True

    def _room(self, files: Mapping[str, StoredFile]) -> bool:
        """Remove unused copies until there is room; return whether there is. Needs the lock."""
        self._copies.mkdir(parents=True, exist_ok=True)
        for litter in self._copies.glob(".*"):
            shutil.rmtree(litter, ignore_errors=True)
        sizes = {copy: contents.tree_size(copy) for copy in self._copies.iterdir()}
        excess = sum(sizes.values()) + sum(file.bytes for file in files.values()) - self._limit
        for copy in sorted(sizes, key=lambda copy: copy.stat().st_mtime_ns):
            if excess <= 0:
                break
            with contextlib.suppress(BlockingIOError), self._lock(copy.name, wait=False):
                shutil.rmtree(copy)
                excess -= sizes[copy]
        return excess <= 0

    def _hold(self, signature: str) -> None:
        if signature not in self._held:
            self._held[signature] = self._lock(signature, shared=True)

    def _sweep(self) -> None:
        """Remove the desks of processes that are gone."""
        for desk in (self.root / "desks").glob("*"):
            with contextlib.suppress(BlockingIOError):
                lock = self._lock(f"desk-{desk.name}", wait=False)
                shutil.rmtree(desk, ignore_errors=True)
                _remove(lock)

    def _lock(self, name: str, *, shared: bool = False, wait: bool = True) -> BinaryIO:
        """Lock a name for this process, until what is returned is closed."""
        path = self.root / "locks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
        try:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)
        except BaseException:
            file.close()
            raise
        return file

    def _tell(self, error: OSError) -> None:
        if not self._told:
            self._told = True
            _log.warning("scratch %s is not used: %s. The work goes on without", self.root, error)


def _remove(lock: BinaryIO) -> None:
    """End a lock for good: its name is never used again."""
    with lock, contextlib.suppress(OSError):
        Path(lock.name).unlink()
