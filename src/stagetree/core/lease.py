"""A lock with a heartbeat for processes on any machines that share a directory.

It relies on exclusive creation, on rename, and on a file that is opened showing what was last
written out (close-to-open); never on ``flock``, so it works on network file systems. No clocks of
different machines are compared.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from stagetree.core import nfs
from stagetree.core.errors import StagetreeError
from stagetree.core.liveness import content, forget, is_stale, look

if TYPE_CHECKING:
    from types import TracebackType


class LeaseLost(StagetreeError):  # noqa: N818 - an outcome the holder must react to
    """The lease is no longer ours: somebody took it over while this process was paused."""


class Lease:
    """Exclusive hold of a path, given back by ``release`` or lost when its holder is gone.

    A holder on the same machine whose process has ended is taken over at once, any other when
    it gave no sign of life for ``grace`` seconds of the waiter's own clock. A holder that was
    only paused must therefore ``check`` before it makes its work visible.

    Args:
        path: The lease file; it exists while somebody holds the lease.
        heartbeat: Seconds between signs of life.
        grace: Seconds without a sign of life after which a holder counts as gone.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     with Lease(Path(directory) / "a.lock") as lease:
    ...         lease.held(), Lease(lease.path).try_acquire()
    (True, False)
    """

    def __init__(self, path: Path, *, heartbeat: float = 2.0, grace: float = 20.0) -> None:
        if not 0 < heartbeat < grace:
            raise ValueError(f"expected 0 < heartbeat < grace but got {heartbeat=}, {grace=}")
        self.path = Path(path)
        self.heartbeat = heartbeat
        self.grace = grace
        self._token = ""
        self._counter = 0
        self._file: BinaryIO | None = None
        self._guard = threading.Lock()  # the descriptor must not be closed, and reused, mid-beat

    def try_acquire(self) -> bool:
        """Take the lease if nobody alive holds it; return whether it is ours now.

        Raises:
            OSError: The directory is read-only, full or out of reach.
            RuntimeError: This object holds the lease already.
        """
        if self._file is not None:
            raise RuntimeError(f"expected a free lease but {self.path} is held by this object")
        if self._create():
            return True
        seen = look(self.path)
        if seen is None:
            return self._create()
        stale = is_stale(self.path, seen, self.grace)
        return stale and _evict(self.path, seen.token, self.grace) and self._create()

    def acquire(self, timeout: float | None = None, poll: float = 0.2) -> bool:
        """Wait for the lease; return whether it is ours now.

        Args:
            timeout: Seconds to wait at most; ``None`` waits for ever.
            poll: Seconds between tries.

        Raises:
            OSError: The directory is read-only, full or out of reach.
            RuntimeError: This object holds the lease already.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while not self.try_acquire():
            left = poll if end is None else end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(poll, left))
        return True

    def held(self) -> bool:
        """Return whether the file still says that the lease is ours; reads it each time."""
        try:
            return self._file is not None and self._reads_ours()
        except OSError:
            return False

    def check(self) -> None:
        """Make sure that the lease is still ours; waits for a server that is away for a moment.

        Raises:
            LeaseLost: It is not, or nobody could tell for ``grace`` seconds; what was done under
                it must not be made visible.
        """
        end = time.monotonic() + self.grace
        while True:
            try:
                if self._file is not None and self._reads_ours():
                    return
                break
            except OSError as error:
                if time.monotonic() > end:
                    raise LeaseLost(
                        f"expected to hold {self.path} but it cannot be read for {self.grace:g} s "
                        f"({error}), so another process may have taken it over; run again."
                    ) from error
                time.sleep(min(self.heartbeat, 0.5))
        raise LeaseLost(
            f"expected to hold {self.path} but another process has taken it over (this one "
            f"gave no sign of life for more than {self.grace:g} s). Its result counts, ours "
            "is dropped; run again to use it."
        )

    def release(self) -> None:
        """Give the lease back; does nothing when it is not held, and never raises OSError.

        A lease file that cannot be removed goes stale, as its heartbeat has stopped.
        """
        with self._guard:
            file, self._file = self._file, None
        if file is None:
            return
        _heart.forget(self)
        file.close()
        with contextlib.suppress(OSError):
            try:
                _evict(self.path, self._token, self.grace)
            except OSError:  # no room for a claim
                _remove(self.path, self._token)

    def beat(self) -> None:
        """Give a sign of life. The heartbeat thread calls it.

        It writes through the descriptor of our own file: should another lease lie at the path
        by now, it is not touched.
        """
        with self._guard, contextlib.suppress(OSError):
            if self._file is not None:
                self._counter += 1
                os.pwrite(self._file.fileno(), self._content(), 0)
                os.utime(self._file.fileno())  # network file systems send the write out with it

    def disown(self) -> None:
        """Forget the lease without giving it back: a forked child does not hold it."""
        self._guard = threading.Lock()
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def __enter__(self) -> Lease:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _create(self) -> bool:
        self._token = secrets.token_hex(16)
        self._counter = 0
        try:
            file = _open_new(self.path)
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = _open_new(self.path)
        if file is None:
            return False
        text = self._content()
        try:
            if file.write(text) != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.utime(file.fileno())  # other machines shall not see an empty file until we beat
            ours = self._reads_ours()
        except BaseException:
            file.close()
            with contextlib.suppress(OSError):
                self.path.unlink()
            raise
        if not ours:  # paused since the creation for so long that somebody evicted it
            file.close()
            return False
        self._file = file
        forget(self.path)
        _heart.keep(self)
        return True

    def _reads_ours(self) -> bool:
        seen = look(self.path)
        return seen is not None and seen.token == self._token

    def _content(self) -> bytes:
        return content(self._token, self._counter, self.heartbeat)


def _open_new(path: Path) -> BinaryIO | None:
    """Create ``path`` and open it unbuffered, or return ``None`` when it exists."""
    try:
        return nfs.again(lambda: path.open("xb+", buffering=0))
    except FileExistsError:
        return None


def _evict(path: Path, token: str, grace: float) -> bool:
    """Remove the lease ``token`` at ``path`` and no other; return whether that was our doing.

    Whoever ends a lease, its holder included, first creates the claim named after its token.
    While we hold the claim and the path carries the token, nobody else may remove the path, so
    what we remove is what was judged. Should a claim's owner die, the claim is evicted itself.
    """
    name = hashlib.sha256(token.encode()).hexdigest()[:16]
    claim = path.with_name(f"{path.name}.{name}.end")
    file = _open_new(claim)
    if file is None:
        seen = look(claim)
        if seen is None or not is_stale(claim, seen, grace):
            return False
        # Its owner died in between: what it began is ours to end, now and not at the next try.
        return _evict(claim, seen.token, grace) and _evict(path, token, grace)
    with file:
        with contextlib.suppress(OSError):  # on a full disk an empty claim is a claim, too
            file.write(content(secrets.token_hex(16), 0))
        inode = os.fstat(file.fileno()).st_ino
        try:
            return _remove(path, token)
        finally:
            ours = look(claim)
            if ours is not None and ours.inode == inode:
                _remove(claim, ours.token)


def _remove(path: Path, token: str) -> bool:
    """Remove ``path`` if it is the file of ``token``; put anything else back."""
    seen = look(path)
    if seen is None or seen.token != token:
        return False
    grave = path.with_name(f"{path.name}.{secrets.token_hex(8)}.gone")
    try:
        nfs.rename(path, grave)
    except OSError as error:
        if nfs.is_gone(error):
            return False
        raise
    buried = look(grave)
    ours = buried is not None and buried.token == token
    if not ours:
        with contextlib.suppress(OSError):
            os.link(grave, path)
    grave.unlink(missing_ok=True)
    return ours


class _Heart:
    """The one thread of the process that gives signs of life for all its leases."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._wake = threading.Condition()
        self._due: weakref.WeakKeyDictionary[Lease, float] = weakref.WeakKeyDictionary()
        self._thread: threading.Thread | None = None

    def keep(self, lease: Lease) -> None:
        with self._wake:
            self._due[lease] = time.monotonic() + lease.heartbeat
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
                self._thread.start()
            self._wake.notify()

    def forget(self, lease: Lease) -> None:
        with self._wake:
            self._due.pop(lease, None)

    def after_fork(self) -> None:
        """In a child: its parent's leases are not its own, and the thread is not there."""
        inherited = list(self._due)
        self._reset()
        forget()
        for lease in inherited:
            lease.disown()

    def _run(self) -> None:
        while True:
            self._sleep()
            self._beat()  # in a frame of its own: a sleeping thread keeps no lease alive

    def _sleep(self) -> None:
        with self._wake:
            due = min(self._due.values(), default=None)
            self._wake.wait(None if due is None else max(0.0, due - time.monotonic()))

    def _beat(self) -> None:
        with self._wake:
            now = time.monotonic()
            due = [lease for lease, when in self._due.items() if when <= now]
            for lease in due:
                self._due[lease] = now + lease.heartbeat
        for lease in due:
            lease.beat()


_heart = _Heart()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_heart.after_fork)
