"""File systems that behave like a network's, in this process."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


class Client:
    """A machine's view of a network file system.

    A file that somebody has open (``.nfs*``, what is left of a removed one) cannot be removed.

    Attributes:
        absent: Names that were looked for in vain and are remembered as missing until the
            directory that would hold them is opened (negative dentries, ``acdirmax``).
        answers: Errors, in order, that opening a file of this name answers with first.
        lost: Names of files whose next rename is done and then reported as ``ENOENT``, as when
            the server's answer was lost and the client sent the request again.
    """

    def __init__(self) -> None:
        self.absent: set[str] = set()
        self.answers: dict[str, list[int]] = {}
        self.lost: set[str] = set()

    def look(self, path: Any) -> None:
        """Raise what a look at this path gives."""
        name = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
        if any(name == gone or name.startswith(gone + "/") for gone in self.absent):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        pending = self.answers.get(Path(name).name)
        if pending:
            number = pending.pop(0)
            raise OSError(number, os.strerror(number), name)

    def opened(self, path: Any) -> None:
        """Forget what was remembered of a directory that is opened."""
        name = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
        self.absent = {gone for gone in self.absent if str(Path(gone).parent) != name}


def asking(seen: Client, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(path: Any, *rest: Any, **options: Any) -> Any:
        seen.look(path)
        return real(path, *rest, **options)

    return call


def opening(seen: Client, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(path: Any = ".", *rest: Any, **options: Any) -> Any:
        seen.look(path)
        seen.opened(path)
        return real(path, *rest, **options)

    return call


def losing(seen: Client, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(source: Any, target: Any) -> None:
        real(source, target)
        if any(Path(source).name.startswith(name) for name in seen.lost):
            seen.lost.clear()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))

    return call


def refusing(real: Callable[..., Any]) -> Callable[..., Any]:
    def call(path: Any, *, dir_fd: int | None = None) -> None:
        if Path(path).name.startswith(".nfs"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
        real(path, dir_fd=dir_fd)

    return call


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """This process as a client of a network file system."""
    seen = Client()
    for name in ("stat", "lstat"):
        monkeypatch.setattr(os, name, asking(seen, getattr(os, name)))
    monkeypatch.setattr(io, "open", asking(seen, io.open))
    for name in ("open", "scandir", "listdir"):
        monkeypatch.setattr(os, name, opening(seen, getattr(os, name)))
    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, losing(seen, getattr(os, name)))
    monkeypatch.setattr(os, "unlink", refusing(os.unlink))
    yield seen
    monkeypatch.undo()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory on the network file system."""
    place = tmp_path / "shared"
    place.mkdir()
    return place
