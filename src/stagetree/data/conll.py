"""CoNLL columns: one word a line, a blank line between sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stagetree.core.errors import DataError
from stagetree.data.tags import Scheme, TagError, to_iob2
from stagetree.data.text_file import decoded

if TYPE_CHECKING:
    from pathlib import Path

_DOCUMENT = "-DOCSTART-"


def read_conll(
    path: Path,
    *,
    token_column: int = 0,
    tag_column: int = -1,
    scheme: Scheme = Scheme.iob2,
    encoding: str = "utf-8",
) -> dict[str, list[list[str]]]:
    """Return the columns ``tokens`` and ``tags`` (IOB2) of a file, one row a sentence.

    A line with a tab is cut at tabs, another one at white space.

    Raises:
        DataError: A line is malformed; the message names it.
    """
    columns: dict[str, list[list[str]]] = {"tokens": [], "tags": []}
    sentence: list[tuple[int, str, str]] = []
    width = 0

    def finish() -> None:
        if sentence:
            columns["tokens"].append([token for _, token, _ in sentence])
            columns["tags"].append(_converted(path, sentence, scheme))
            sentence.clear()

    for number, line in enumerate(decoded(path, encoding).split("\n"), start=1):
        if not line.strip() or line.startswith(_DOCUMENT):
            finish()
            continue
        fields = line.split("\t") if "\t" in line else line.split()
        width = width or len(fields)
        _check(f"{path}:{number}", fields, width, (token_column, tag_column))
        sentence.append((number, fields[token_column].strip(), fields[tag_column].strip()))
    finish()
    if not columns["tokens"]:
        raise DataError(f"{path}: expected at least one sentence, got only {_DOCUMENT} lines")
    return columns


def _check(place: str, fields: list[str], width: int, used: tuple[int, int]) -> None:
    least = max(2, *(index + 1 if index >= 0 else -index for index in used))
    if len(fields) < least:
        raise DataError(f"{place}: expected at least {least} columns, got {len(fields)}: {fields}")
    if len(fields) != width:
        message = f"expected {width} columns as in the lines before, got {len(fields)}: {fields}"
        raise DataError(f"{place}: {message}")
    for what, index in zip(("token", "tag"), used, strict=True):
        if not fields[index].strip():
            raise DataError(f"{place}: expected a {what} in column {index}, got a blank")


def _converted(path: Path, sentence: list[tuple[int, str, str]], scheme: Scheme) -> list[str]:
    try:
        return to_iob2([tag for _, _, tag in sentence], scheme)
    except TagError as error:
        raise DataError(f"{path}:{sentence[error.index][0]}: {error}") from error
