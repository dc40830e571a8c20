"""JSON lines: one object a line, with tokens and tags, or text and a label, or all of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import DataError
from stagetree.data.tags import Scheme, TagError, to_iob2
from stagetree.data.text_file import decoded

if TYPE_CHECKING:
    from pathlib import Path

Row = dict[str, Any]


def read_jsonl(
    path: Path,
    *,
    text_column: str = "text",
    label_column: str = "label",
    text_pair_column: str | None = None,
    scheme: Scheme = Scheme.iob2,
    encoding: str = "utf-8",
) -> dict[str, list[Any]]:
    """Return the columns of a file: those of token tasks, of sequence tasks, or both.

    The first object decides which; every other one must have the same. ``text_pair`` is read
    when the first object has it, even if ``text_pair_column`` is not given.

    Raises:
        DataError: A line is malformed; the message names it.
    """
    keys = {"text": text_column, "label": label_column, "text_pair": text_pair_column}
    columns: dict[str, list[Any]] = {}
    for number, line in enumerate(decoded(path, encoding).split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        record = _object(place, line)
        if not columns:
            keys["text_pair"] = text_pair_column or ("text_pair" if "text_pair" in record else None)
            columns = {name: [] for name in _names(place, record, keys)}
        for name, values in columns.items():
            values.append(_value(place, record, name, keys.get(name) or name))
        if "tokens" in columns:
            columns["tags"][-1] = _tags(place, columns["tokens"][-1], columns["tags"][-1], scheme)
    return columns


def _object(place: str, line: str) -> Row:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        message = f"expected a JSON object, got {error.msg} at column {error.colno}"
        raise DataError(f"{place}: {message}") from error
    if not isinstance(record, dict):
        raise DataError(f"{place}: expected a JSON object, got {type(record).__name__}")
    return record


def _names(place: str, record: Row, keys: dict[str, str | None]) -> list[str]:
    names = ["tokens", "tags"] if "tokens" in record and "tags" in record else []
    if keys["text"] in record and keys["label"] in record:
        names += ["text", "label"] + (["text_pair"] if keys["text_pair"] else [])
    if not names:
        raise DataError(
            f"{place}: expected the keys 'tokens' and 'tags', or {keys['text']!r} and "
            f"{keys['label']!r}, got {sorted(record)}; set data.text_column, data.label_column"
        )
    return names


def _value(place: str, record: Row, name: str, key: str) -> Any:
    if key not in record:
        raise DataError(f"{place}: expected the key {key!r}, got {sorted(record)}")
    value = record[key]
    if name in ("tokens", "tags"):
        if not isinstance(value, list) or not value:
            raise DataError(f"{place}: expected a list of strings as {key!r}, got {value!r}")
        for index, item in enumerate(value):
            if not isinstance(item, str) or not item.strip():
                message = f"expected a non-blank string in {key!r}[{index}], got {item!r}"
                raise DataError(f"{place}: {message}")
        return value
    if name == "label" and isinstance(value, bool | int):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place}: expected a non-blank string as {key!r}, got {value!r}")
    return value


def _tags(place: str, tokens: list[str], tags: list[str], scheme: Scheme) -> list[str]:
    if len(tokens) != len(tags):
        message = f"expected as many tags as tokens ({len(tokens)}), got {len(tags)}"
        raise DataError(f"{place}: {message}")
    try:
        return to_iob2(tags, scheme)
    except TagError as error:
        raise DataError(f"{place}: 'tags'[{error.index}]: {error}") from error
