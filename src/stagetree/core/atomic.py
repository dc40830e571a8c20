"""Writing files so that a reader, or a crash, never sees half of one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

from stagetree.core import nfs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``: after a crash the old content or the new is there, whole.

    Raises:
        OSError: The file system refuses; ``path`` is as it was and nothing is left behind.
    """
    with _replacing(path, "xb") as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8; see :func:`write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON; see :func:`write_bytes`.

    Raises:
        ValueError: A number is NaN or infinite.
        TypeError: A value has no JSON form.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def append_line(path: Path, text: str) -> None:
    r"""Append one line in a single write, so that lines of several processes never mix.

    Of processes on one machine, that is: on a network file system two machines that append to one
    file at once overwrite each other's lines, so each file has its one writer there.

    A torn last line, left by a writer that died, is closed first: it spoils only itself.

    Raises:
        ValueError: ``text`` holds more than one line.
        OSError: The file system refuses; at most a torn last line is left behind.
    """
    if "\n" in text:
        raise ValueError(f"expected one line but got {text!r}")
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        line = (("\n" if torn else "") + text + "\n").encode("utf-8")
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def share(source: Path, target: Path) -> None:
    """Let ``target`` be the same file as ``source``, or a copy where links are not possible.

    Neither may be written to afterwards.

    Raises:
        OSError: ``source`` is gone, or the file system refuses.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def sync_directory(path: Path) -> None:
    """Make renames in the directory ``path`` survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """Give a UTF-8 text file that becomes ``path`` when the block ends without an error.

    Raises:
        OSError: The file system refuses; ``path`` is as it was and nothing is left behind.
    """
    with _replacing(path, "x", encoding="utf-8", newline="") as file:
        yield cast("TextIO", file)


@contextlib.contextmanager
def _replacing(path: Path, mode: str, **options: str) -> Iterator[IO[Any]]:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open(mode, **options) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        nfs.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)
