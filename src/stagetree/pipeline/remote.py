"""A store that is reached by URL: results are fetched from it and published to it."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from stagetree.core.errors import StoreError
from stagetree.pipeline import contents
from stagetree.pipeline.entries import MODEL, RECORD
from stagetree.pipeline.record import Record
from stagetree.pipeline.transport import Transport, Unreachable, transport
from stagetree.pipeline.work import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_log = logging.getLogger(__name__)


class Remote:
    """Results at a URL, behind the store of a site.

    ``URL/records/SIGNATURE.json`` is a result's record and is written last: what has one is
    complete. Its files are below ``URL/results/SIGNATURE/DIGEST/``, where ``DIGEST`` is of the
    record, so that two sites that computed the same node never mix their files; the record that
    was there first counts. Nothing is ever removed.

    Nothing here raises for a network that fails, unless it says so: a result that cannot be had
    is computed, one that cannot be sent stays where it is.

    Args:
        line: How the bytes get there and back.
    """

    def __init__(self, line: Transport) -> None:
        self.url = line.url
        self._line = line
        self._guard = threading.Lock()
        self._there: set[str] = set()
        self._unusable: set[str] = set()
        self._listed: frozenset[str] | None = None

    def list(self) -> frozenset[str]:
        """Return the signatures of all its results, and answer :meth:`has` from them from now on.

        Raises:
            Unreachable: It does not answer.
        """
        names = (name.removesuffix(".json") for name in self._line.names("records"))
        self._listed = frozenset(name for name in names if re.fullmatch("[0-9a-f]{64}", name))
        return self._listed

    def listed(self) -> frozenset[str]:
        """Return what :meth:`list` does; nothing when it does not answer."""
        try:
            return self.list()
        except Unreachable:
            self._listed = frozenset()
            return self._listed

    def has(self, signature: str) -> bool:
        """Return whether a result is there and was not found damaged by this process."""
        if signature in self._unusable:
            return False
        if signature in self._there or (self._listed is not None and signature in self._listed):
            return True
        if self._listed is not None:
            return False
        try:
            found = self._line.exists(_record(signature))
        except Unreachable:
            return False
        if found:
            self._there.add(signature)
        return found

    def record(self, signature: str) -> Record | None:
        """Return a result's record; ``None`` when it cannot be had or is damaged."""
        found = self._read(signature)
        return None if found is None else found[1]

    def records(self, signatures: Collection[str]) -> Iterator[Record]:
        """Yield those records of results that can be read.

        Raises:
            Unreachable: It does not answer.
        """
        found = self._line.read_all([_record(signature) for signature in signatures])
        for signature in signatures:
            data = found.get(_record(signature))
            record = None if data is None else self._parsed(signature, data)
            if record is not None:
                yield record

    def fetch(self, signature: str, into: Path) -> Record | None:
        """Copy a result into a new directory, checked against its record's sizes and digests.

        Returns:
            The record; ``None`` when the result cannot be had or is damaged there: ``has`` then
            says no, and what ``into`` holds is of no use.

        Raises:
            OSError: The local disk refuses.
        """
        found = self._read(signature)
        if found is None:
            return None
        data, record = found
        home = _home(signature, data)
        try:
            damage = self._copy(home, record, into)
            self._line.download(f"{home}/{EXAMPLES}", into / EXAMPLES)
        except Unreachable:
            return None
        if damage:
            self._distrust(signature, damage)
            return None
        (into / RECORD).write_bytes(data)
        self._there.add(signature)
        return record

    def push(self, signature: str, entry: Path) -> bool:
        """Publish a local result unless it is there; return whether this sent it.

        Files first, the record last. What an upload that was cut short has sent is not sent again.

        Args:
            signature: The result's signature.
            entry: Its local directory.

        Raises:
            Unreachable: It cannot be sent now.
            OSError: The local result cannot be read, or is gone.
        """
        if self.has(signature):
            return False
        data = (entry / RECORD).read_bytes()
        record = self._parsed(signature, data)
        if record is None:
            raise StoreError(f"expected a sound record in {entry}")
        home, again = _home(signature, data), signature in self._unusable
        names = [f"{MODEL}/{name}" for name in record.files]
        if (entry / EXAMPLES).exists():
            names.append(EXAMPLES)
        for name in names:
            size = None if again else self._line.size(f"{home}/{name}")
            if size != (entry / name).stat().st_size:
                self._line.upload(entry / name, f"{home}/{name}")
        sent = again or not self._line.exists(_record(signature))
        if sent:
            self._line.write(_record(signature), data)
        with self._guard:
            self._unusable.discard(signature)
            self._there.add(signature)
        return sent

    def offer(self, signature: str, entry: Path) -> None:
        """Publish a local result if that can be done now; never fails."""
        try:
            if self.push(signature, entry):
                _log.info("result %s was sent to %s", signature[:12], self.url)
        except Unreachable as error:
            _log.debug("result %s was not sent: %s", signature[:12], error)
        except (StoreError, OSError) as error:
            _log.warning("result %s was not sent to %s: %s", signature[:12], self.url, error)

    def _copy(self, home: str, record: Record, into: Path) -> str:
        """Bring the model's files; return what is wrong with them."""
        for name in record.files:
            self._line.download(f"{home}/{MODEL}/{name}", into / MODEL / name)
        return contents.damage(into / MODEL, record.files)

    def _read(self, signature: str) -> tuple[bytes, Record] | None:
        if signature in self._unusable:
            return None
        try:
            data = self._line.read(_record(signature))
        except Unreachable:
            return None
        record = None if data is None else self._parsed(signature, data)
        if data is None or record is None:
            self._there.discard(signature)
            return None
        return data, record

    def _parsed(self, signature: str, data: bytes) -> Record | None:
        try:
            record = Record.from_json(json.loads(data), f"{self.url}/{_record(signature)}")
        except (ValueError, StoreError) as error:
            self._distrust(signature, f"its record cannot be read: {error}")
            return None
        if record.signature != signature or record.model_dir != MODEL or not record.files:
            self._distrust(signature, "its record is not the one of this signature")
            return None
        return record

    def _distrust(self, signature: str, damage: str) -> None:
        with self._guard:
            self._unusable.add(signature)
        _log.warning(
            "result %s in %s is not used: %s. It is computed here and replaced there",
            signature[:12],
            self.url,
            damage,
        )


def _record(signature: str) -> str:
    return f"records/{signature}.json"


def _home(signature: str, record: bytes) -> str:
    return f"results/{signature}/{hashlib.sha256(record).hexdigest()[:16]}"


@functools.cache
def remote(url: str) -> Remote:
    """Return the one remote store of this process at a URL: it remembers what is there."""
    return Remote(transport(url))
