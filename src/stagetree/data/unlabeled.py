"""Text without labels: plain lines, or JSON lines with text or tokens."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import DataError
from stagetree.data.text_file import content_hash, decoded, existing

if TYPE_CHECKING:
    from datasets import Dataset

VERSION = 1
"""Raise it when the code changes what is read."""

_JSON = frozenset({".jsonl", ".ndjson"})
_WORD = re.compile(r"\w+|[^\w\s]")


def fingerprint(files: Sequence[str]) -> list[str]:
    """Return the sha256 of every file.

    Raises:
        DataError: There is no such file.
    """
    return [content_hash(name) for name in files]


def verify(name: str) -> None:
    """Look at every line of a file, once per process unless it changes.

    Raises:
        DataError: The file is missing or empty, or a line is malformed; the message names it.
    """
    _verify(name, content_hash(name))


@functools.lru_cache(maxsize=64)
def _verify(name: str, _content: str) -> None:
    for _ in _examples(existing(name)):
        pass


def read_unlabeled(files: Sequence[str], layout: str, limit: int | None = None) -> Dataset:
    """Return the examples of all files, in order, as the column ``tokens`` or ``text``.

    Blank lines are left out. Where words are asked for, text is cut into words and punctuation
    marks; where text is asked for, tokens are joined by blanks.

    Args:
        files: UTF-8 files: JSON lines by their suffix (``.jsonl``, ``.ndjson``), each with
            ``tokens`` or ``text``; else a text a line.
        layout: ``tokens`` or ``text``.
        limit: How many to read at most.

    Raises:
        DataError: A file is missing or empty, or a line is malformed; the message names it.
    """
    import datasets

    values: list[Any] = []
    for name in files:
        for value in _examples(existing(name)):
            if limit is not None and len(values) >= limit:
                break
            values.append(_laid_out(value, layout))
    text = datasets.Value("string")
    column = datasets.List(text) if layout == "tokens" else text
    return datasets.Dataset.from_dict(
        {layout: values}, features=datasets.Features({layout: column})
    )


def _examples(path: Path) -> Iterator[str | list[str]]:
    read = _record if path.suffix.lower() in _JSON else _line
    for number, line in enumerate(decoded(path, "utf-8").split("\n"), start=1):
        if line.strip():
            yield read(f"{path}:{number}", line)


def _line(place: str, line: str) -> str:
    return line.strip()


def _record(place: str, line: str) -> str | list[str]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{place}: expected a JSON object, got {error.msg} at column {error.colno}"
        ) from error
    if not isinstance(record, dict) or not {"tokens", "text"} & record.keys():
        found = sorted(record) if isinstance(record, dict) else type(record).__name__
        raise DataError(f"{place}: expected an object with the key 'tokens' or 'text', got {found}")
    if "tokens" in record:
        return _tokens(place, record["tokens"])
    text = record["text"]
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{place}: expected a non-blank string as 'text', got {text!r}")
    return text.strip()


def _tokens(place: str, tokens: Any) -> list[str]:
    words = isinstance(tokens, list) and all(
        isinstance(word, str) and word.strip() for word in tokens
    )
    if not words or not tokens:
        raise DataError(
            f"{place}: expected a list of non-blank strings as 'tokens', got {tokens!r}"
        )
    return list(tokens)


def _laid_out(value: str | list[str], layout: str) -> str | list[str]:
    if layout == "tokens":
        return _WORD.findall(value) if isinstance(value, str) else value
    return value if isinstance(value, str) else " ".join(value)
