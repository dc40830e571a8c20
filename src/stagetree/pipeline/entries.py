"""The entries of a store: where each result lies, whether it is sound, how it gets there."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from stagetree.core import nfs
from stagetree.core.atomic import sync_directory
from stagetree.core.errors import StoreError
from stagetree.core.lease import LeaseLost
from stagetree.pipeline import contents
from stagetree.pipeline.record import Record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

RECORD = "record.json"
MODEL = "model"

_log = logging.getLogger(__name__)


class Entries:
    """The directories ``root/ab/abcd.../`` of a store's results.

    Args:
        root: The store's directory.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def place(self, signature: str) -> Path:
        """Return a result's directory.

        Raises:
            StoreError: It is no signature.
        """
        if not re.fullmatch("[0-9a-f]{64}", signature):
            raise StoreError(f"expected a signature of 64 hexadecimal digits but got {signature!r}")
        return self._root / signature[:2] / signature

    def refresh(self, signatures: Collection[str]) -> None:
        """See what other machines did to these entries until now, not a minute ago."""
        shards = {signature[:2]: self.place(signature) for signature in signatures}
        for entry in shards.values():
            nfs.refresh(entry, self._root)

    def signatures(self, shard: str = "") -> Iterator[str]:
        """Yield the signatures of all entries, in order, or of those whose digits begin so."""
        for directory in sorted(self._root.glob(f"{shard}*")):
            if re.fullmatch("[0-9a-f]{2}", directory.name) and directory.is_dir():
                names = sorted(entry.name for entry in directory.iterdir())
                yield from (name for name in names if re.fullmatch("[0-9a-f]{64}", name))

    def complete(self, signature: str) -> bool:
        """Return whether an entry has a record."""
        return (self.place(signature) / RECORD).exists()

    def read(self, signature: str, place: Path | None = None) -> Record:
        """Return the record in an entry, or in another directory of the same shape.

        Raises:
            StoreError: It is damaged.
            OSError: There is none.
        """
        path = (place or self.place(signature)) / RECORD
        try:
            value = json.loads(nfs.again(path.read_bytes))
        except ValueError as error:
            raise StoreError(f"{path}: expected a JSON object but got: {error}") from error
        record = Record.from_json(value, str(path))
        if record.signature != signature:
            raise StoreError(f"{path}: expected the record of this directory but got another's")
        return record

    def inspect(self, signature: str) -> tuple[Record | None, str]:
        """Return the record and what is wrong with the result; neither when it is not there.

        Raises:
            StoreError: The store cannot be read.
        """
        try:
            record = self.read(signature)
            return record, contents.damage(self.place(signature) / MODEL, record.files)
        except StoreError as error:
            return None, str(error)
        except OSError as error:
            if nfs.is_gone(error):
                return None, ""
            raise StoreError(f"cannot read the store at {self._root}: {error}") from error

    def sound(self, signature: str) -> Record | None:
        """Return the record of a sound result; a damaged one is set aside. Needs the lease."""
        self.refresh([signature])
        record, damage = self.inspect(signature)
        if not damage:
            return record
        self.quarantine(signature, damage)
        return None

    def quarantine(self, signature: str, reason: str) -> None:
        """Set a damaged result aside, with the reason. Needs the lease."""
        ward = self._root / "quarantine"
        ward.mkdir(parents=True, exist_ok=True)
        number = 1 + sum(1 for _ in ward.glob(f"{signature}-*"))
        target = ward / f"{signature}-{number}"
        nfs.rename(self.place(signature), target)
        _log.warning("result %s is set aside in %s: %s", signature[:12], target, reason)
        with contextlib.suppress(OSError):
            (target / "reason.txt").write_text(reason + "\n", "utf-8")

    def add(self, signature: str, made: Path) -> Path:
        """Rename the finished directory ``made`` into place; never replace a sound result.

        Raises:
            LeaseLost: A sound result is there already.
            OSError: The file system refuses.
        """
        entry = self.place(signature)
        entry.parent.mkdir(parents=True, exist_ok=True)
        try:
            nfs.rename(made, entry)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            if self.sound(signature) is not None:
                raise LeaseLost(
                    f"result {signature[:12]} was published by another worker; its result counts, "
                    "ours is dropped"
                ) from error
            if entry.exists():
                self.quarantine(signature, "it has no record.json")
            nfs.rename(made, entry)
        sync_directory(entry.parent)
        return entry

    def find(self, prefix: str) -> str:
        """Return the one stored signature that begins with ``prefix``.

        Raises:
            StoreError: None or several do; the message lists them.
        """
        digits = prefix.strip().lower()
        names = self.signatures(digits[:2]) if re.fullmatch("[0-9a-f]{1,64}", digits) else ()
        found = [name for name in names if name.startswith(digits) and self.complete(name)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise StoreError(
                f"expected the first digits of a stored signature but got {prefix!r}: nothing in "
                f"{self._root} begins so. List what is there with: stagetree store ls"
            )
        shown = ", ".join(name[: max(12, len(digits) + 4)] for name in found[:10])
        more = f" and {len(found) - 10} more" if len(found) > 10 else ""
        raise StoreError(
            f"expected one stored result but {prefix!r} begins {len(found)} of them: "
            f"{shown}{more}. Give more digits."
        )
