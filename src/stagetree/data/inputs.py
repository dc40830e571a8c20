"""Reading inputs without labels, one by one as they come."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from stagetree.core.errors import ConfigError, Fault, nearest

FORMATS = ("jsonl", "csv", "tsv", "text")
"""Every format of inputs."""

_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "tsv"}


@dataclass(frozen=True)
class Input:
    """One input, or what is wrong with it.

    Attributes:
        place: ``file:line`` of where it stands.
        fields: Its fields.
        fault: What was expected and what was got; empty when it can be used.
        text_column: Name of the field that is the text.
    """

    place: str
    fields: Mapping[str, Any]
    fault: str = ""
    text_column: str = "text"

    @property
    def asked(self) -> Mapping[str, Any]:
        """The fields, the text under the name ``text``."""
        if self.text_column == "text":
            return self.fields
        others = {name: value for name, value in self.fields.items() if name != "text"}
        if self.text_column in others:
            others["text"] = others.pop(self.text_column)
        return others


def format_of(name: str) -> str | None:
    """Return the format that a file's name tells: ``text`` unless the suffix says otherwise.

    ``None`` for standard input, whose first line tells.
    """
    return None if name == "-" else _SUFFIXES.get(Path(name).suffix.lower(), "text")


def read(
    lines: Iterable[str], name: str, kind: str | None, text_column: str = "text"
) -> Iterator[Input]:
    """Yield the inputs of a stream of lines, the first as soon as its line is there.

    Blank lines are no inputs.

    Args:
        lines: Lines with their ends, decoded with ``surrogateescape``.
        name: What to call the stream in messages.
        kind: Its format; ``None`` for JSON lines when the first line begins with a brace, else
            plain text.
        text_column: Name of the field that is the text.

    Raises:
        ConfigError: A table has no column of that name.
    """
    if kind is None:
        found = iter(lines)
        head = list(itertools.islice(found, 1))
        kind = "jsonl" if head and head[0].lstrip("\ufeff \t").startswith("{") else "text"
        lines = itertools.chain(head, found)
    if kind in ("csv", "tsv"):
        return _table(lines, name, kind, text_column)
    parse = _object if kind == "jsonl" else _line
    return (
        parse(f"{name}:{number}", line.strip("\r\n"), text_column)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    )


def _line(place: str, line: str, _: str) -> Input:
    return Input(place, {"text": line}, _undecoded(line))


def _object(place: str, line: str, text_column: str) -> Input:
    fault = _undecoded(line)
    if fault:
        return Input(place, {}, fault)
    try:
        fields = json.loads(line)
    except ValueError as error:
        return Input(place, {}, f"expected a JSON object on one line but got: {error}")
    if not isinstance(fields, dict):
        return Input(place, {}, f"expected a JSON object but got {type(fields).__name__}")
    return Input(place, fields, text_column=text_column)


def _table(lines: Iterable[str], name: str, kind: str, text_column: str) -> Iterator[Input]:
    reader = (
        csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        if kind == "tsv"
        else csv.reader(lines, strict=True)
    )
    header = next(reader, None)
    if header is None:
        return
    if text_column not in header:
        close = nearest(text_column, header)
        hint = f"; did you mean {close!r}?" if close else ""
        message = f"expected a column {text_column!r} in {name} but got {header}{hint}"
        raise ConfigError([Fault("--text-column", message)])
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Input(f"{name}:{reader.line_num}", {}, f"expected a row but got: {error}")
            continue
        if row:
            yield _row(f"{name}:{reader.line_num}", header, row, text_column)


def _row(place: str, header: list[str], row: list[str], text_column: str) -> Input:
    if len(row) != len(header):
        fault = f"expected {len(header)} fields as in the header but got {len(row)}: {row}"
        return Input(place, {}, fault)
    fields = dict(zip(header, row, strict=True))
    return Input(place, fields, _undecoded("".join(row)), text_column)


def _undecoded(line: str) -> str:
    """Say what is wrong with text that held bytes that are not UTF-8."""
    strange = next((sign for sign in line if "\udc80" <= sign <= "\udcff"), "")
    if not strange:
        return ""
    return f"expected text in UTF-8 but got the byte {ord(strange) - 0xDC00:02x}"


def opened(raw: IO[bytes]) -> IO[str]:
    """Return a stream of bytes as the lines that :func:`read` expects."""
    import io

    return io.TextIOWrapper(
        raw,
        encoding="utf-8-sig",
        errors="surrogateescape",
        newline="",
    )
