"""The store of stage results: one directory a signature, there whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stagetree.core import nfs
from stagetree.core.errors import DataError, StoreError
from stagetree.core.lease import Lease, LeaseLost
from stagetree.core.liveness import alive
from stagetree.pipeline import contents, leavings
from stagetree.pipeline.disk import explained
from stagetree.pipeline.entries import MODEL, Entries
from stagetree.pipeline.history import History
from stagetree.pipeline.record import Record
from stagetree.pipeline.uses import Uses
from stagetree.pipeline.work import EXAMPLES, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from stagetree.pipeline.remote import Remote
    from stagetree.pipeline.scratch import Scratch
    from stagetree.tasks.examples import Examples

__all__ = ["Store", "Work"]

_log = logging.getLogger(__name__)
_WEEK = 7 * 24 * 3600.0


class Store:
    """A content-addressed directory of stage results, shared by processes and machines.

    ``root/ab/abcd.../`` holds ``record.json``, the directory ``model`` and, of a stage that is
    scored, what it predicted of each example. It is filled elsewhere and renamed into place as a
    whole: what has a record is complete. Nothing is written before the first :meth:`open`.

    Args:
        root: The store's directory.
        heartbeat: Seconds between a worker's signs of life.
        grace: Seconds of silence after which another worker takes its node over.
        remote: A store behind this one: what is not here is fetched from there when its node is
            opened, and what is published here is sent there.
        scratch: Local disk on which output is made and from which models are read.
        unfinished: Bytes that trunks and checkpoints of pruned trials may take.
    """

    def __init__(
        self,
        root: Path,
        *,
        heartbeat: float = 2.0,
        grace: float = 20.0,
        remote: Remote | None = None,
        scratch: Scratch | None = None,
        unfinished: float = 4e9,
    ) -> None:
        self.root = Path(root)
        self.remote = remote
        self.unfinished = unfinished
        self._scratch = scratch
        self._heartbeat = heartbeat
        self._grace = grace
        self._entries = Entries(self.root)
        self._uses = Uses(self.root, heartbeat, grace)
        self._history = History(self.root)

    def get(self, signature: str) -> Record | None:
        """Return the record of a result that is here; ``None`` when it is not, or not sound.

        Sizes are compared each time, contents the first time in this process. A damaged result
        is moved to ``root/quarantine`` with the reason, so that it is computed again.

        Raises:
            StoreError: The store cannot be read.
        """
        record, damage = self._entries.inspect(signature)
        if not damage:
            return record
        lease = self._lease(signature)
        try:
            if not lease.try_acquire():
                return None  # its holder will see to it
            return self._entries.sound(signature)
        except OSError as error:
            _log.warning("result %s is damaged: %s (%s)", signature[:12], damage, error)
            return None
        finally:
            lease.release()

    def has(self, signature: str) -> bool:
        """Return whether the result can be had: it is here and sound, or in the remote store.

        Unlike :meth:`get` it changes nothing.

        Raises:
            StoreError: The store cannot be read.
        """
        return self.here(signature) or (self.remote is not None and self.remote.has(signature))

    def here(self, signature: str) -> bool:
        """Return whether the result is here and sound, whatever a remote store has."""
        record, damage = self._entries.inspect(signature)
        return record is not None and not damage

    def model_dir(self, signature: str) -> Path:
        """Return where the result's model directory is, once the result is there."""
        return self._entries.place(signature) / MODEL

    def fetch(self, signature: str) -> Record | None:
        """Bring a result here from the remote store, unless it is here; ``None``: it has none.

        Raises:
            StoreError: The store is read-only or full.
        """
        found = self.get(signature)
        if found is None and self.remote is not None and self.remote.has(signature):
            with self.open(signature) as work:
                return work.record
        return found

    def readable(self, record: Record) -> Path:
        """Return the best place to read a result's model from: the scratch disk, if there is one.

        A copy there stays until the end of :meth:`using`.
        """
        place = self.model_dir(record.signature)
        if self._scratch is None:
            return place
        return self._scratch.read(record.signature, place, record.files)

    def offer(self, record: Record) -> None:
        """Send a result that is here to the remote store, unless it has it; never fails."""
        if self.remote is not None and self._entries.complete(record.signature):
            self.remote.offer(record.signature, self._entries.place(record.signature))

    def examples(self, signature: str) -> Examples | None:
        """Return what was predicted of each validation example; ``None`` where it is not kept."""
        from stagetree.tasks.examples import Examples

        for place in (self._entries.place(signature), self._history.entry(signature)):
            try:
                return Examples.read(place / EXAMPLES)
            except FileNotFoundError:
                continue
            except (OSError, DataError) as error:
                _log.warning("examples are left out: %s", error)
        return None

    @contextlib.contextmanager
    def using(self, signatures: Collection[str]) -> Iterator[None]:
        """Keep results from being freed while the block lasts, also those that are yet to come.

        What is there counts as used now. Whoever reads results without this, such as
        ``predict``, may find one of them gone half way.
        """
        with self._uses.hold(signatures):
            self._entries.refresh(signatures)
            for signature in signatures:
                with contextlib.suppress(OSError):
                    os.utime(self._entries.place(signature))
            try:
                yield
            finally:
                if self._scratch is not None:
                    self._scratch.let_go()

    def used(self) -> set[str]:
        """Return the signatures that somebody keeps from being freed."""
        return self._uses.held()

    def last_used(self, signature: str) -> int:
        """Return when a result was last used or published, in ns since 1970; 0: not there."""
        try:
            return self._entries.place(signature).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    @contextlib.contextmanager
    def open(
        self, signature: str, waiting: Callable[[float], None] | None = None
    ) -> Iterator[Work]:
        """Hold a result's node while it is computed; wait if somebody else does.

        Unless the result is published, the end of the block removes the output and keeps the
        partial work in ``Work.scratch`` for the next attempt.

        Args:
            signature: The result's signature.
            waiting: Called as ``waiting(seconds)`` about once a second while another worker
                holds the node; it may raise to give up.

        Yields:
            The work area; its ``record`` is set, and there is nothing to do, when another
            worker published the result meanwhile.

        Raises:
            StoreError: The store is read-only or full.
            LeaseLost: This process was paused and another one took the node over.
        """
        lease, area = self._lease(signature), self._partial(signature)
        place = functools.partial(self._entries.add, signature)
        desk = self._scratch.desk() if self._scratch else contextlib.nullcontext()
        published = None
        try:
            self._wait(lease, waiting)
            with desk as local:
                with explained(self.root):
                    known = self._entries.sound(signature) or self._fetched(signature, area)
                    work = Work(signature, area, lease, known, place, local)
                    work.prepare()
                try:
                    with explained(self.root, lease, local):
                        yield work
                finally:
                    published = work.record if known is None else None
                    if published is not None and self._scratch is not None and local is not None:
                        self._scratch.adopt(signature, work.output, published.files)
                    work.discard()
        finally:
            lease.release()
        if published is not None:
            self.offer(published)

    def _fetched(self, signature: str, area: Path) -> Record | None:
        """Bring a result from the remote store, if it has it. Needs the lease."""
        if self.remote is None or not self.remote.has(signature):
            return None
        made = area / secrets.token_hex(8)
        try:
            record = self.remote.fetch(signature, made)
            if record is not None:
                contents.seal(made / MODEL)
                contents.trust(self._entries.add(signature, made) / MODEL, record.files)
        except LeaseLost:  # it came by another way meanwhile
            return self._entries.sound(signature)
        else:
            return record
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def records(self, signatures: Iterable[str] | None = None) -> Iterator[Record]:
        """Yield the record of every stored result, one by one; files are not checked.

        Args:
            signatures: The only results that are wanted, as far as they are there.
        """
        for signature in self._entries.signatures() if signatures is None else signatures:
            try:
                yield self._entries.read(signature)
            except (StoreError, OSError) as error:
                if isinstance(error, StoreError) or not nfs.is_gone(error):
                    _log.warning("left out: %s", error)

    def recall(self, signature: str) -> Record | None:
        """Return a result's record, also when its model was freed or is only in the remote store.

        Files are not checked.

        Raises:
            StoreError: The record is damaged.
        """
        found = self._remembered(signature)
        if found is None and self.remote is not None and self.remote.has(signature):
            return self.remote.record(signature)
        return found

    def remembers(self, signature: str) -> bool:
        """Return whether a result is here or was freed here; a damaged record is not known."""
        try:
            return self._remembered(signature) is not None
        except StoreError:
            return False

    def _remembered(self, signature: str) -> Record | None:
        for place in (self._entries.place(signature), self._history.entry(signature)):
            with contextlib.suppress(FileNotFoundError):
                return self._entries.read(signature, place)
        return None

    def freed(self) -> Iterator[Record]:
        """Yield the records of results whose model was freed and not computed again."""
        for signature in self._history.signatures():
            with contextlib.suppress(FileNotFoundError):
                if not self._entries.place(signature).exists():
                    yield self._entries.read(signature, self._history.entry(signature))

    def find(self, prefix: str) -> str:
        """Return the one stored signature that begins with ``prefix``.

        Raises:
            StoreError: None or several do; the message lists them.
        """
        return self._entries.find(prefix)

    def remove(self, signature: str) -> None:
        """Remove a result; does nothing when it is not there.

        Raises:
            StoreError: The store cannot be written.
        """
        area = self._partial(signature)
        with explained(self.root), self._lease(signature):
            if self._entries.place(signature).exists():
                area.mkdir(parents=True, exist_ok=True)
                nfs.rename(self._entries.place(signature), area / secrets.token_hex(8))
            shutil.rmtree(area, ignore_errors=True)

    def free(self, signature: str, last_used: int) -> int:
        """Remove a result's model but remember its record; return the bytes freed.

        The record is copied before anything is removed, and the result vanishes in one rename:
        a process that dies in here leaves the result whole or gone.

        Args:
            signature: The result's signature.
            last_used: What :meth:`last_used` said when it was judged; a result that was used
                since, is in use or is being computed stays, and 0 is returned.

        Raises:
            StoreError: The store cannot be written.
        """
        area, entry = self._partial(signature), self._entries.place(signature)
        lease = self._lease(signature)
        with explained(self.root):
            if not last_used or not lease.try_acquire():
                return 0
            try:
                with self._uses.gate():
                    if signature in self.used() or self.last_used(signature) != last_used:
                        return 0
                    size = self.size(signature)
                    with contextlib.suppress(FileNotFoundError, StoreError):
                        record = self._entries.read(signature)
                        if not record.shared:
                            self._history.keep(entry, record.model_dir)
                    area.mkdir(parents=True, exist_ok=True)
                    nfs.rename(entry, area / secrets.token_hex(8))
                shutil.rmtree(area, ignore_errors=True)
            finally:
                lease.release()
        return size

    def size(self, signature: str) -> int:
        """Return the bytes a result takes; 0 when it is not there."""
        return contents.tree_size(self._entries.place(signature))

    def clean_partial(self, older_than: float = _WEEK, *, dry: bool = False) -> int:
        """Remove the leavings of workers that are gone; return the bytes freed.

        Unpublished output goes at once. Partial work, from which a next attempt could resume,
        goes when its result is there or when it was not touched for ``older_than`` seconds.

        Args:
            older_than: Age in seconds.
            dry: Only say how many bytes that would be; nothing is touched.
        """
        freed = 0
        for area in sorted((self.root / "partial").glob("*")):
            lease = self._lease(area.name)
            if alive(lease.path, self._grace) if dry else not lease.try_acquire():
                continue
            try:
                done = self._entries.complete(area.name)
                freed += leavings.clean(area, -math.inf if done else older_than, dry=dry)
            finally:
                lease.release()
        if not dry:
            leavings.clean_locks(self.root / "locks", self._heartbeat, self._grace, _WEEK)
        return freed

    def _partial(self, signature: str) -> Path:
        return self.root / "partial" / self._entries.place(signature).name

    def _lease(self, signature: str) -> Lease:
        path = self.root / "locks" / f"{self._entries.place(signature).name}.lock"
        return Lease(path, heartbeat=self._heartbeat, grace=self._grace)

    def _wait(self, lease: Lease, waiting: Callable[[float], None] | None) -> None:
        start = time.monotonic()
        while True:
            with explained(self.root):
                if lease.acquire(timeout=1.0):
                    return
            if waiting is not None:
                waiting(time.monotonic() - start)
