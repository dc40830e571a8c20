"""A file system that behaves like a network's, and a private S3 server."""

from __future__ import annotations

import errno
import io
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Bucket:
    """A bucket on a private S3 server.

    Attributes:
        url: Its URL.
        environment: What a process needs to reach it.
    """

    url: str
    environment: dict[str, str]

    @property
    def client(self) -> Any:
        """A client of the server that knows nothing of stagetree."""
        import boto3

        known = {
            "endpoint_url": self.environment["AWS_ENDPOINT_URL"],
            "aws_access_key_id": self.environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.environment["AWS_SECRET_ACCESS_KEY"],
            "region_name": self.environment["AWS_DEFAULT_REGION"],
        }
        return boto3.client("s3", **known)

    @property
    def name(self) -> str:
        return self.url.removeprefix("s3://")

    def keys(self, prefix: str = "") -> list[str]:
        """Return the names of all objects."""
        found = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix)
        return [item["Key"] for item in found.get("Contents", ())]


@pytest.fixture(scope="session")
def s3_server(process_number: int) -> Iterator[dict[str, str]]:
    """A private S3 server; gives the environment of whoever uses it."""
    for module in ("moto", "s3fs", "flask"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    port = 25000 + os.getpid() % 900 + 1000 * process_number
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("s3.py")), str(port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    assert server.stdout.readline().strip() == "ready"
    yield {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server.kill()
    server.communicate()


@pytest.fixture
def bucket(s3_server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket, which this process can reach, too."""
    for name, value in s3_server.items():
        monkeypatch.setenv(name, value)
    made = Bucket(f"s3://b{secrets.token_hex(6)}", s3_server)
    made.client.create_bucket(Bucket=made.name)
    return made
