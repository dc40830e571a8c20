"""The work area of one node: where its result is made, and the only way to publish it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stagetree.core import atomic
from stagetree.core.atomic import sync_directory
from stagetree.core.errors import StoreError
from stagetree.pipeline import contents
from stagetree.pipeline.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from stagetree.core.lease import Lease

EXAMPLES = "examples.jsonl.gz"
"""Name of the file beside the record."""


class Work:
    """The work area of one node, held by this process; :meth:`Store.open` gives it.

    Attributes:
        signature: Signature of the node's result.
        record: The result's record once there is one; then there is nothing to compute.
        output: Empty directory to fill with the result.
        examples: File for what was predicted of each validation example; may stay away.
        scratch: Directory for partial work; the next attempt finds what this one left.
    """

    def __init__(
        self,
        signature: str,
        area: Path,
        lease: Lease,
        record: Record | None,
        place: Callable[[Path], Path],
        desk: Path | None = None,
    ) -> None:
        self.signature = signature
        self.record = record
        self._area = area
        self._made = area / secrets.token_hex(8)
        self._own = self._made if desk is None else desk / self._made.name
        self._lease = lease
        self._place = place
        self.output = self._own / "model"
        self.examples = self._own / EXAMPLES
        self.scratch = area / "scratch"

    def prepare(self) -> None:
        """Make the directories; output that an attempt before left behind goes."""
        if self.record is not None:
            shutil.rmtree(self._area, ignore_errors=True)
            return
        self.scratch.mkdir(parents=True, exist_ok=True)
        for other in self._area.iterdir():
            if other != self.scratch:
                shutil.rmtree(other, ignore_errors=True)
        self.output.mkdir(parents=True, exist_ok=True)

    def discard(self) -> None:
        """Remove the output unless it was published; partial work stays."""
        for place in {self._own, self._made}:
            shutil.rmtree(place, ignore_errors=True)

    def check(self) -> None:
        """Make sure that the node is still ours; cheap enough for every evaluation.

        Raises:
            LeaseLost: Another process took it over while this one was paused.
        """
        self._lease.check()

    def publish(self, record: Record) -> Record:
        """Move the result into the store, whole, and remove the partial work.

        Args:
            record: What is known of the result; files and time are filled in here.

        Returns:
            The record as stored.

        Raises:
            LeaseLost: Another process took the node over; its result stays as it is.
            StoreError: The output is empty, was published before, or is another node's.
        """
        if self.record is not None:
            raise StoreError(f"result {self.signature[:12]} is published already")
        if record.signature != self.signature:
            raise StoreError(
                f"expected the record of {self.signature} but got that of {record.signature}"
            )
        self.check()
        stored = dataclasses.replace(
            record,
            files=contents.seal(self.output),
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
            model_dir=self.output.name,
        )
        atomic.write_json(self._own / "record.json", stored.to_json())
        if self._made != self._own:
            self._copy(stored)
        self.check()
        contents.trust(self._place(self._made) / stored.model_dir, stored.files)
        shutil.rmtree(self._area, ignore_errors=True)
        self.record = Record.from_json(stored.to_json())  # as whoever finds it will read it
        return self.record

    def _copy(self, stored: Record) -> None:
        """Bring output that was made on another disk beside where it is published."""
        self.check()
        shutil.copytree(self._own, self._made)
        if contents.seal(self._made / stored.model_dir) != stored.files:
            raise StoreError(
                f"expected {self._made} to hold what {self._own} does but it differs after the "
                "copy; one of the two disks is broken"
            )
        sync_directory(self._made)

    def append_curve(self, point: Mapping[str, Any]) -> None:
        """Keep a point of the learning curve for the next attempt.

        Raises:
            LeaseLost: Another process took the node over.
            ValueError: A number is NaN or infinite.
        """
        self.check()
        atomic.append_line(self.scratch / "curve.jsonl", json.dumps(point, allow_nan=False))

    def read_curve(self) -> list[dict[str, Any]]:
        """Return the points that were kept; a line torn by a crash is left out."""
        points = []
        with contextlib.suppress(FileNotFoundError):
            text = (self.scratch / "curve.jsonl").read_text("utf-8", errors="replace")
            for line in text.splitlines():
                with contextlib.suppress(ValueError):
                    point = json.loads(line)
                    if isinstance(point, dict):
                        points.append(point)
        return points
