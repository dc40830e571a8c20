"""Writing records one by one: JSON lines, or a table with nested values as JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

FORMATS = ("jsonl", "csv")
"""Every format of outputs."""


def writer(stream: TextIO, kind: str) -> Callable[[Mapping[str, Any]], None]:
    """Return a function that writes one record to a stream.

    The first record decides the columns of a table; fields that only later ones have are left
    out.
    """
    return _Table(stream).write if kind == "csv" else _Lines(stream).write


class _Lines:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, record: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps(record, ensure_ascii=False) + "\n")


class _Table:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._writer: csv.DictWriter[str] | None = None

    def write(self, record: Mapping[str, Any]) -> None:
        if self._writer is None:
            self._writer = csv.DictWriter(
                self._stream, list(record), extrasaction="ignore", lineterminator="\n"
            )
            self._writer.writeheader()
        self._writer.writerow({name: _cell(value) for name, value in record.items()})


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else value
