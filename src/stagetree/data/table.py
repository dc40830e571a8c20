"""CSV and TSV files with a header line."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from stagetree.core.errors import DataError, nearest
from stagetree.data.text_file import decoded

if TYPE_CHECKING:
    from pathlib import Path


def read_table(
    path: Path,
    *,
    tabs: bool,
    text_column: str = "text",
    label_column: str = "label",
    text_pair_column: str | None = None,
    encoding: str = "utf-8",
) -> dict[str, list[str]]:
    """Return the columns ``text``, ``label`` and, if asked for, ``text_pair`` of a file.

    In a CSV file quotes group a field; in a TSV file they are characters like any other.

    Raises:
        DataError: A column is missing or a row is malformed; the message names the line.
    """
    wanted = {"text": text_column, "label": label_column}
    if text_pair_column is not None:
        wanted["text_pair"] = text_pair_column
    stream = io.StringIO(decoded(path, encoding), newline="")
    reader = (
        csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        if tabs
        else csv.reader(stream, strict=True)
    )
    columns: dict[str, list[str]] = {name: [] for name in wanted}
    try:
        header = next(reader)
        places = {name: _place(path, header, name, column) for name, column in wanted.items()}
        for row in reader:
            if row:
                _append(f"{path}:{reader.line_num}", row, len(header), places, columns)
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: expected a row, got: {error}") from error
    if not columns["text"]:
        raise DataError(f"{path}: expected at least one row under the header, got none")
    return columns


def _place(path: Path, header: list[str], name: str, column: str) -> int:
    if column in header:
        return header.index(column)
    close = nearest(column, header)
    hint = f"did you mean data.{name}_column={close}?" if close else f"set data.{name}_column"
    raise DataError(f"{path}:1: expected a column {column!r}, got {header}; {hint}")


def _append(
    place: str,
    row: list[str],
    width: int,
    places: dict[str, int],
    columns: dict[str, list[str]],
) -> None:
    if len(row) != width:
        raise DataError(f"{place}: expected {width} fields as in the header, got {len(row)}: {row}")
    for name, index in places.items():
        value = row[index].strip()
        if not value:
            raise DataError(f"{place}: expected a {name} in field {index + 1}, got a blank")
        columns[name].append(value)
