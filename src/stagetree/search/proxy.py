"""The server side of Optuna's gRPC proxy."""

from __future__ import annotations

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stagetree.core.errors import ConfigError, Fault, StagetreeError
from stagetree.search import recorded, storage_url
from stagetree.search.journal import FILE, open_storage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from optuna.storages import BaseStorage

_GOODBYE = 1.0
"""Seconds that calls have to end when the server does."""


@dataclass(frozen=True)
class Served:
    """What a server passes calls on to.

    Attributes:
        storage: The storage.
        shown: Its name as people may see it.
    """

    storage: BaseStorage
    shown: str

    @staticmethod
    def database(url: str, *, patience: float, threads: int) -> Served:
        """Serve a database.

        Raises:
            ConfigError: It cannot be opened.
            StorageAwayError: It does not answer.
        """
        if storage_url.is_proxy(url):
            message = f"expected a database but {url} is a proxy already"
            raise ConfigError([Fault("--storage", message)])
        from stagetree.search.database import open_url

        opened = open_url(url, patience=patience, threads=threads)
        return Served(opened, storage_url.shown(url))

    @staticmethod
    def study(directory: Path, patience: float) -> Served:
        """Serve the storage of a study.

        Raises:
            ConfigError: It cannot be opened.
            StorageAwayError: It does not answer.
        """
        url = recorded.storage_url(directory)
        shown = storage_url.shown(url) if url else str(directory / FILE)
        return Served(open_storage(directory, url, patience=patience), shown)


@contextlib.contextmanager
def listen(served: Served, host: str, port: int, threads: int) -> Iterator[int]:
    """Answer calls inside the block; yield the port.

    Raises:
        ConfigError: gRPC is not installed.
        StagetreeError: Nobody can listen there.
    """
    try:
        import grpc
        from optuna.storages._grpc.server import make_server
    except ImportError as error:
        message = f'the proxy needs the package grpcio ({error}): pip install "stagetree[grpc]"'
        raise ConfigError([Fault("", message)]) from error
    bound = _free(host, port)
    with ThreadPoolExecutor(threads) as pool:
        try:
            server: grpc.Server = make_server(served.storage, host, bound, pool)
        except RuntimeError as error:
            raise _taken(host, port, error) from error
        server.start()
        try:
            yield bound
        finally:
            server.stop(_GOODBYE).wait()


def wait() -> None:
    """Wait for a signal."""
    while not threading.Event().wait(3600):
        pass


def _free(host: str, port: int) -> int:
    """Return a port that nobody listens on; gRPC itself would share one that is taken.

    Raises:
        StagetreeError: The port is taken, or there is no such address.
    """
    try:
        with socket.create_server((host, port)) as found:
            return int(found.getsockname()[1])
    except (OSError, OverflowError) as error:
        raise _taken(host, port, error) from error


def _taken(host: str, port: int, error: Exception) -> StagetreeError:
    return StagetreeError(
        f"cannot listen on {host}:{port} ({error}); choose another --port, or 0 for any"
    )
