"""Bytes to and from a place named by an ``fsspec`` URL, tried again when the network fails."""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stagetree.core import atomic
from stagetree.core.errors import StagetreeError, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

PAUSES = (0.5, 2.0)
"""Seconds before each further try."""

AWAY = 60.0
"""Seconds for which a place that did not answer is not asked again."""

_BOUNDS: dict[str, dict[str, Any]] = {
    "s3": {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 2}}
}
"""What keeps a server that does not answer from holding up a run, by protocol."""

_PROTOCOLS = frozenset(
    [
        "abfs",
        "az",
        "file",
        "gcs",
        "gs",
        "hdfs",
        "memory",
        "oss",
        "s3",
        "s3a",
        "sftp",
        "smb",
        "ssh",
        "webdav",
        "webhdfs",
    ]
)
"""Protocols to which ``fsspec`` can write and which are places, not views of other ones."""

_OBJECTS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "az", "oss"})
"""Protocols without directories, where making one would make a bucket."""

_EXTRAS = {"s3": "s3", "s3a": "s3"}

_log = logging.getLogger(__name__)


class Unreachable(StagetreeError):  # noqa: N818 - an outcome that callers go on from
    """A remote place did not answer, or refused, after all tries."""


def fault(url: str) -> str:
    """Return what is wrong with a URL as the address of results; empty when nothing is."""
    import fsspec
    from fsspec.utils import get_protocol

    protocol = get_protocol(url) if "://" in url else ""
    if not protocol:
        return f"expected a URL such as s3://bucket/prefix but got {url!r}"
    if protocol not in _PROTOCOLS:
        return f"{unknown('protocol', protocol, _PROTOCOLS)} (in {url!r})"
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        hint = f'pip install "stagetree[{extra}]"' if extra else str(error)
        return f"{protocol}:// needs a package that is not installed: {hint}"
    if not url.partition("://")[2].strip("/"):
        return f"expected a bucket or directory after {protocol}:// but got {url!r}"
    return ""


class Transport:
    """Files below one URL.

    Every operation is tried three times; then the place counts as away for a minute, is not asked
    in that time, and one warning says so. Credentials come from where ``fsspec`` and the cloud's
    own libraries look for them (environment, profile, instance), never from the configuration.

    Args:
        url: The directory that everything is below.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._guard = threading.Lock()
        self._opened: tuple[int, Any, str] | None = None
        self._away_until = 0.0
        self._told = False

    @property
    def away(self) -> bool:
        """Whether it did not answer lately, and is not asked now."""
        return time.monotonic() < self._away_until

    def exists(self, name: str) -> bool:
        """Return whether there is a file of this name."""
        return self.size(name) is not None

    def size(self, name: str) -> int | None:
        """Return a file's bytes; ``None`` when there is none."""
        try:
            return int(self._tried(lambda fs, at: fs.info(f"{at}/{name}"))["size"])
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes | None:
        """Return a file's content; ``None`` when there is none."""
        try:
            return bytes(self._tried(lambda fs, at: fs.cat_file(f"{at}/{name}")))
        except FileNotFoundError:
            return None

    def read_all(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return the content of those files that can be read, by name; many at once."""
        if not names:
            return {}

        def read(fs: Any, at: str) -> dict[str, bytes]:
            paths = {f"{at}/{name}": name for name in names}
            found = fs.cat(list(paths), on_error="omit")
            return {paths[path]: bytes(data) for path, data in found.items() if path in paths}

        return self._tried(read)

    def write(self, name: str, data: bytes) -> None:
        """Write a small file that is there whole or not at all, where the protocol can do that."""

        def write(fs: Any, path: str) -> None:
            if "file" in fs.protocol:
                atomic.write_bytes(Path(path), data)
            else:
                fs.pipe_file(path, data)

        self._put(name, write)

    def upload(self, source: Path, name: str) -> None:
        """Copy a local file there."""
        source.stat()  # a file that is not here is no fault of the network
        self._put(name, lambda fs, path: fs.put_file(str(source), path))

    def download(self, name: str, target: Path) -> bool:
        """Copy a file from there; return whether there is one."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._tried(lambda fs, at: fs.get_file(f"{at}/{name}", str(target)))
        except FileNotFoundError:
            return False
        return True

    def names(self, directory: str) -> list[str]:
        """Return the names of the files in a directory, in order; none when there is none."""
        try:
            found = self._tried(lambda fs, at: fs.ls(f"{at}/{directory}", detail=False))
        except FileNotFoundError:
            return []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def _put(self, name: str, call: Callable[[Any, str], None]) -> None:
        def put(fs: Any, at: str) -> None:
            path = f"{at}/{name}"
            known = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
            if not known & _OBJECTS:
                fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            call(fs, path)

        try:
            self._tried(put)
        except FileNotFoundError as error:  # there is no such bucket
            raise self._unreachable(error) from error

    def _tried(self, call: Callable[[Any, str], T]) -> T:
        if self.away:
            raise Unreachable(f"{self.url} did not answer lately and is not asked now")
        for pause in (*PAUSES, None):
            try:
                return call(*self._filesystem())
            except FileNotFoundError:
                raise
            except Exception as error:  # each cloud's library has errors of its own
                if pause is None or isinstance(error, PermissionError):
                    raise self._unreachable(error) from error
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _unreachable(self, error: Exception) -> Unreachable:
        self._away_until = time.monotonic() + AWAY
        said = str(error).strip() or type(error).__name__
        if not self._told:
            self._told = True
            _log.warning(
                "remote store %s cannot be used (%s). The work goes on with the local one, where "
                "all results are kept; send them later with: stagetree store push",
                self.url,
                said,
            )
        return Unreachable(f"{self.url} cannot be used: {said}")

    def _filesystem(self) -> tuple[Any, str]:
        """Return the file system and the directory in it, opened once in a process."""
        import fsspec

        with self._guard:
            if self._opened is None or self._opened[0] != os.getpid():
                protocol = self.url.partition("://")[0]
                options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
                options |= _bounds(protocol)
                fs, path = fsspec.core.url_to_fs(self.url, **options)
                self._opened = (os.getpid(), fs, str(path).rstrip("/"))
            return self._opened[1], self._opened[2]


def _bounds(protocol: str) -> dict[str, Any]:
    """Return time limits, below those that the user's own fsspec configuration sets."""
    if protocol not in _BOUNDS:
        return {}
    import fsspec

    own = fsspec.config.conf.get(protocol, {}).get("config_kwargs", {})
    return {"config_kwargs": {**_BOUNDS[protocol], **own}}


@functools.cache
def transport(url: str) -> Transport:
    """Return the one transport of this process for a URL: it remembers whether it answers."""
    return Transport(url)
