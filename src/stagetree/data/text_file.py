"""Text files of users: read whole, with errors that name file and line."""

from __future__ import annotations

import codecs
import functools
import hashlib
from pathlib import Path

from stagetree.core.errors import DataError


def existing(path: str | Path) -> Path:
    """Return ``path`` as an existing file.

    Raises:
        DataError: There is no such file.
    """
    found = Path(path).expanduser()
    if not found.is_file():
        what = "a directory" if found.is_dir() else "nothing"
        raise DataError(f"{found}: expected a file, got {what} (current directory: {Path.cwd()})")
    return found


def content_hash(path: str | Path) -> str:
    """Return the sha256 of a file's bytes; read once per process unless the file changes.

    Raises:
        DataError: There is no such file.
    """
    found = existing(path).resolve()
    state = found.stat()
    return _hash(found, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _hash(path: Path, _size: int, _modified: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def decoded(path: Path, encoding: str) -> str:
    """Return a file's text, without a byte order mark and with plain line feeds.

    Raises:
        DataError: The file is empty or is not in ``encoding``.
    """
    if codecs.lookup(encoding).name == "utf-8":
        encoding = "utf-8-sig"
    raw = path.read_bytes()
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        bad = raw[error.start : error.end].hex(" ")
        raise DataError(
            f"{path}:{line}: expected text in {encoding.removesuffix('-sig')}, "
            f"got bytes {bad} ({error.reason}); set data.encoding, e.g. latin-1"
        ) from error
    if not text.strip():
        raise DataError(f"{path}: expected at least one example, got an empty file")
    return text.replace("\r\n", "\n").replace("\r", "\n")
