"""Which results are in use right now: what a run holds, nobody removes."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from stagetree.core import atomic
from stagetree.core.lease import Lease
from stagetree.core.liveness import alive

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_log = logging.getLogger(__name__)


class Uses:
    """The uses of a store's results, by processes on any machines.

    A use is a file that lists signatures, beside a lease that lives as long as its process. Uses
    are announced, and results removed, under one lease of the whole store, the gate: whoever
    announced a use and then finds a result keeps it to the end.

    Args:
        root: The store's directory.
        heartbeat: Seconds between a user's signs of life.
        grace: Seconds of silence after which a user counts as gone.
    """

    def __init__(self, root: Path, heartbeat: float, grace: float) -> None:
        self._place = root / "uses"
        self._gate = root / "locks" / "gate.lock"
        self._heartbeat = heartbeat
        self._grace = grace

    @contextlib.contextmanager
    def hold(self, signatures: Collection[str]) -> Iterator[None]:
        """Keep results, those that are there and those to come, while the block lasts.

        In a store that cannot be written nothing is announced, and nothing can be removed.
        """
        name = secrets.token_hex(8)
        lease = Lease(self._place / f"{name}.lock", heartbeat=self._heartbeat, grace=self._grace)
        listing = self._place / f"{name}.json"
        try:
            with self.gate():
                lease.acquire()
                atomic.write_json(listing, sorted(signatures))
        except OSError as error:
            _log.debug("cannot announce which results are in use: %s", error)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                listing.unlink(missing_ok=True)
            lease.release()

    def held(self) -> set[str]:
        """Return the signatures that somebody alive holds; forget those of who is gone."""
        found: set[str] = set()
        for listing in sorted(self._place.glob("*.json")):
            if alive(listing.with_suffix(".lock"), self._grace):
                with contextlib.suppress(OSError, ValueError):  # it ends this moment
                    found.update(json.loads(listing.read_text("utf-8")))
            else:
                with contextlib.suppress(OSError):
                    listing.unlink(missing_ok=True)
        return found

    @contextlib.contextmanager
    def gate(self) -> Iterator[None]:
        """Let no use be announced and no result be removed by others; for moments only."""
        gate = Lease(self._gate, heartbeat=self._heartbeat, grace=self._grace)
        gate.acquire(poll=0.02)
        try:
            yield
        finally:
            gate.release()
