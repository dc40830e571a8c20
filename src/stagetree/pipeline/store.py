"""The store of stage results: one directory a signature, there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import logging
import os
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stagetree.core.atomic import sync_directory
from stagetree.core.errors import DataError, StagetreeError, StoreError
from stagetree.core.lease import Lease, LeaseLost
from stagetree.pipeline import contents
from stagetree.pipeline.record import Record
from stagetree.pipeline.work import EXAMPLES, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stagetree.tasks.examples import Examples

__all__ = ["Store", "Work"]

_log = logging.getLogger(__name__)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
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

        try:
            return Examples.read(self._entry(signature) / EXAMPLES)
        except FileNotFoundError:
            return None
        except (OSError, DataError) as error:
            _log.warning("examples are left out: %s", error)
            return None

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
            with self._explained():
                work = Work(signature, area, lease, self._sound(signature), place)
                work.prepare()
            try:
                with self._explained(lease):
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
        with self._explained(), self._lease(signature):
            if self._entry(signature).exists():
                area.mkdir(parents=True, exist_ok=True)
                self._entry(signature).rename(area / secrets.token_hex(8))
            shutil.rmtree(area, ignore_errors=True)

    def size(self, signature: str) -> int:
        """Return the bytes a result takes; 0 when it is not there."""
        return contents.tree_size(self._entry(signature))

    def clean_partial(self, older_than: float = _WEEK) -> int:
        """Remove the leavings of workers that are gone; return the bytes freed.

        Unpublished output goes at once. Partial work, from which a next attempt could resume,
        goes when its result is there or when it was not touched for ``older_than`` seconds.
        """
        freed = 0
        for area in sorted((self.root / "partial").glob("*")):
            lease = self._lease(area.name)
            if not lease.try_acquire():
                continue
            try:
                freed += self._clean(area, older_than)
            finally:
                lease.release()
        for litter in (self.root / "locks").glob("*.lock.*"):  # of who died while taking over
            if _age(litter) > _WEEK:
                litter.unlink(missing_ok=True)
        return freed

    def _clean(self, area: Path, older_than: float) -> int:
        before = contents.tree_size(area)
        done = (self._entry(area.name) / "record.json").exists()
        for part in area.iterdir():
            if part.name != "scratch" or done or _age(part) > older_than:
                shutil.rmtree(part, ignore_errors=True)
        with contextlib.suppress(OSError):
            area.rmdir()
        return before - contents.tree_size(area)

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
            with self._explained():
                if lease.acquire(timeout=1.0):
                    return
            if waiting is not None:
                waiting(time.monotonic() - start)

    def _signatures(self, shard: str = "") -> Iterator[str]:
        for directory in sorted(self.root.glob(f"{shard}*")):
            if re.fullmatch("[0-9a-f]{2}", directory.name) and directory.is_dir():
                names = sorted(entry.name for entry in directory.iterdir())
                yield from (name for name in names if re.fullmatch("[0-9a-f]{64}", name))

    def _read(self, signature: str) -> Record:
        path = self._entry(signature) / "record.json"
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

    @contextlib.contextmanager
    def _explained(self, lease: Lease | None = None) -> Iterator[None]:
        """Turn what the file system says into what happened and what to do.

        With a lease the block is the caller's: its own errors pass unless the cause is ours.
        """
        try:
            yield
        except StagetreeError:
            raise
        except Exception as error:
            if _is_full(error):
                raise StoreError(self._full(error)) from error
            if not isinstance(error, OSError):
                raise
            if lease is not None:
                lease.check()  # a successor has removed the output under us
                raise
            if error.errno in _READ_ONLY:
                raise StoreError(
                    f"store at {self.root} is read-only ({error}). Results can be read from it "
                    "but not added: name a directory that you may write, paths.root=DIR"
                ) from error
            raise StoreError(f"cannot use the store at {self.root}: {error}") from error

    def _full(self, error: Exception) -> str:
        free = "an unknown number of"
        with contextlib.suppress(OSError):
            free = f"{shutil.disk_usage(self.root).free:,}"
        return (
            f"no space left for the store at {self.root}: {free} bytes are free ({error}). "
            "Stored results are untouched and partial work is kept: free some space and run the "
            "same again, or name another directory, paths.root=DIR"
        )


def _is_full(error: BaseException | None) -> bool:
    """Whether the disk is full, also where a library wrapped the error into its own text."""
    if error is None:
        return False
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    wrapped = any(os.strerror(number) in str(error) for number in _FULL)
    return wrapped or _is_full(error.__cause__)


def _age(path: Path) -> float:
    """Return the seconds since anything at or below ``path`` was written."""
    newest = 0.0
    for item in (path, *path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            newest = max(newest, item.stat().st_mtime)
    return time.time() - newest
