"""The store of stage results: one directory a signature, there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import logging
import math
import os
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stagetree.core.atomic import sync_directory
from stagetree.core.errors import DataError, StoreError
from stagetree.core.lease import Lease, LeaseLost
from stagetree.core.liveness import alive
from stagetree.pipeline import contents, leavings
from stagetree.pipeline.disk import explained
from stagetree.pipeline.history import History
from stagetree.pipeline.record import Record
from stagetree.pipeline.uses import Uses
from stagetree.pipeline.work import EXAMPLES, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

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
    """

    def __init__(self, root: Path, *, heartbeat: float = 2.0, grace: float = 20.0) -> None:
        self.root = Path(root)
        self._heartbeat = heartbeat
        self._grace = grace
        self._uses = Uses(self.root, heartbeat, grace)
        self._history = History(self.root)

    def get(self, signature: str) -> Record | None:
        """Return the result's record, or ``None`` when it is not there or not sound.

        Sizes are compared each time, contents the first time in this process. A damaged result
        is moved to ``root/quarantine`` with the reason, so that it is computed again.

        Raises:
            StoreError: The store cannot be read.
        """
        record, damage = self._inspect(signature)
        if not damage:
            return record
        lease = self._lease(signature)
        try:
            if not lease.try_acquire():
                return None  # its holder will see to it
            return self._sound(signature)
        except OSError as error:
            _log.warning("result %s is damaged: %s (%s)", signature[:12], damage, error)
            return None
        finally:
            lease.release()

    def has(self, signature: str) -> bool:
        """Return whether the result is there and sound; unlike :meth:`get` it changes nothing.

        Raises:
            StoreError: The store cannot be read.
        """
        record, damage = self._inspect(signature)
        return record is not None and not damage

    def model_dir(self, signature: str) -> Path:
        """Return where the result's model directory is, once the result is there."""
        return self._entry(signature) / "model"

    def examples(self, signature: str) -> Examples | None:
        """Return what was predicted of each validation example; ``None`` where it is not kept."""
        from stagetree.tasks.examples import Examples

        for place in (self._entry(signature), self._history.entry(signature)):
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
            for signature in signatures:
                with contextlib.suppress(OSError):
                    os.utime(self._entry(signature))
            yield

    def used(self) -> set[str]:
        """Return the signatures that somebody keeps from being freed."""
        return self._uses.held()

    def last_used(self, signature: str) -> int:
        """Return when a result was last used or published, in ns since 1970; 0: not there."""
        try:
            return self._entry(signature).stat().st_mtime_ns
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
        lease = self._lease(signature)
        area, place = self._partial(signature), functools.partial(self._place, signature)
        try:
            self._wait(lease, waiting)
            with explained(self.root):
                work = Work(signature, area, lease, self._sound(signature), place)
                work.prepare()
            try:
                with explained(self.root, lease):
                    yield work
            finally:
                work.discard()
        finally:
            lease.release()

    def records(self, signatures: Iterable[str] | None = None) -> Iterator[Record]:
        """Yield the record of every stored result, one by one; files are not checked.

        Args:
            signatures: The only results that are wanted, as far as they are there.
        """
        for signature in self._signatures() if signatures is None else signatures:
            try:
                yield self._read(signature)
            except FileNotFoundError:
                continue
            except (StoreError, OSError) as error:
                _log.warning("left out: %s", error)

    def recall(self, signature: str) -> Record | None:
        """Return a result's record, also when its model was freed; files are not checked.

        Raises:
            StoreError: The record is damaged.
        """
        for place in (self._entry(signature), self._history.entry(signature)):
            with contextlib.suppress(FileNotFoundError):
                return self._read(signature, place)
        return None

    def remembers(self, signature: str) -> bool:
        """Return whether :meth:`recall` knows a result; a damaged record is not known."""
        try:
            return self.recall(signature) is not None
        except StoreError:
            return False

    def freed(self) -> Iterator[Record]:
        """Yield the records of results whose model was freed and not computed again."""
        for signature in self._history.signatures():
            with contextlib.suppress(FileNotFoundError):
                if not self._entry(signature).exists():
                    yield self._read(signature, self._history.entry(signature))

    def find(self, prefix: str) -> str:
        """Return the one stored signature that begins with ``prefix``.

        Raises:
            StoreError: None or several do; the message lists them.
        """
        digits = prefix.strip().lower()
        names = self._signatures(digits[:2]) if re.fullmatch("[0-9a-f]{1,64}", digits) else ()
        found = [name for name in names if name.startswith(digits)]
        found = [name for name in found if (self._entry(name) / "record.json").exists()]
        if len(found) == 1:
            return found[0]
        if not found:
            raise StoreError(
                f"expected the first digits of a stored signature but got {prefix!r}: nothing in "
                f"{self.root} begins so. List what is there with: stagetree store ls"
            )
        shown = ", ".join(name[: max(12, len(digits) + 4)] for name in found[:10])
        more = f" and {len(found) - 10} more" if len(found) > 10 else ""
        raise StoreError(
            f"expected one stored result but {prefix!r} begins {len(found)} of them: "
            f"{shown}{more}. Give more digits."
        )

    def remove(self, signature: str) -> None:
        """Remove a result; does nothing when it is not there.

        Raises:
            StoreError: The store cannot be written.
        """
        area = self._partial(signature)
        with explained(self.root), self._lease(signature):
            if self._entry(signature).exists():
                area.mkdir(parents=True, exist_ok=True)
                self._entry(signature).rename(area / secrets.token_hex(8))
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
        area, entry = self._partial(signature), self._entry(signature)
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
                        record = self._read(signature)
                        if not record.shared:
                            self._history.keep(entry, record.model_dir)
                    area.mkdir(parents=True, exist_ok=True)
                    entry.rename(area / secrets.token_hex(8))
                shutil.rmtree(area, ignore_errors=True)
            finally:
                lease.release()
        return size

    def size(self, signature: str) -> int:
        """Return the bytes a result takes; 0 when it is not there."""
        return contents.tree_size(self._entry(signature))

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
                done = (self._entry(area.name) / "record.json").exists()
                freed += leavings.clean(area, -math.inf if done else older_than, dry=dry)
            finally:
                lease.release()
        if not dry:
            leavings.clean_locks(self.root / "locks", self._grace, _WEEK)
        return freed

    def _entry(self, signature: str) -> Path:
        if not re.fullmatch("[0-9a-f]{64}", signature):
            raise StoreError(f"expected a signature of 64 hexadecimal digits but got {signature!r}")
        return self.root / signature[:2] / signature

    def _partial(self, signature: str) -> Path:
        return self.root / "partial" / self._entry(signature).name

    def _lease(self, signature: str) -> Lease:
        path = self.root / "locks" / f"{self._entry(signature).name}.lock"
        return Lease(path, heartbeat=self._heartbeat, grace=self._grace)

    def _wait(self, lease: Lease, waiting: Callable[[float], None] | None) -> None:
        start = time.monotonic()
        while True:
            with explained(self.root):
                if lease.acquire(timeout=1.0):
                    return
            if waiting is not None:
                waiting(time.monotonic() - start)

    def _signatures(self, shard: str = "") -> Iterator[str]:
        for directory in sorted(self.root.glob(f"{shard}*")):
            if re.fullmatch("[0-9a-f]{2}", directory.name) and directory.is_dir():
                names = sorted(entry.name for entry in directory.iterdir())
                yield from (name for name in names if re.fullmatch("[0-9a-f]{64}", name))

    def _read(self, signature: str, place: Path | None = None) -> Record:
        path = (place or self._entry(signature)) / "record.json"
        try:
            value = json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise StoreError(f"{path}: expected a JSON object but got: {error}") from error
        record = Record.from_json(value, str(path))
        if record.signature != signature:
            raise StoreError(f"{path}: expected the record of this directory but got another's")
        return record

    def _inspect(self, signature: str) -> tuple[Record | None, str]:
        """Return the record and what is wrong with the result; neither when it is not there."""
        try:
            record = self._read(signature)
            return record, contents.damage(self.model_dir(signature), record.files)
        except (FileNotFoundError, NotADirectoryError):
            return None, ""
        except StoreError as error:
            return None, str(error)
        except OSError as error:
            raise StoreError(f"cannot read the store at {self.root}: {error}") from error

    def _sound(self, signature: str) -> Record | None:
        """Return the record of a sound result; a damaged one is set aside. Needs the lease."""
        record, damage = self._inspect(signature)
        if not damage:
            return record
        self._quarantine(signature, damage)
        return None

    def _quarantine(self, signature: str, reason: str) -> None:
        ward = self.root / "quarantine"
        ward.mkdir(parents=True, exist_ok=True)
        number = 1 + sum(1 for _ in ward.glob(f"{signature}-*"))
        target = ward / f"{signature}-{number}"
        self._entry(signature).rename(target)
        _log.warning("result %s is set aside in %s: %s", signature[:12], target, reason)
        with contextlib.suppress(OSError):
            (target / "reason.txt").write_text(reason + "\n", "utf-8")

    def _place(self, signature: str, made: Path) -> Path:
        """Rename the finished directory ``made`` into place; never replace a sound result."""
        entry = self._entry(signature)
        entry.parent.mkdir(parents=True, exist_ok=True)
        try:
            made.rename(entry)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            if self._sound(signature) is not None:
                raise LeaseLost(
                    f"result {signature[:12]} was published by another worker; its result counts, "
                    "ours is dropped"
                ) from error
            if entry.exists():
                self._quarantine(signature, "it has no record.json")
            made.rename(entry)
        sync_directory(entry.parent)
        return entry
