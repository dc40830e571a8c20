"""Storages by URL: any database that SQLAlchemy reaches, and Optuna's gRPC proxy."""

from __future__ import annotations

import random
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError

from stagetree.core.errors import ConfigError, Fault
from stagetree.search import storage_url
from stagetree.search.patient_storage import (
    OPENING,
    PATIENCE,
    PatientStorage,
    StorageAwayError,
    innermost,
    reason,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import URL, Engine
    from sqlalchemy.engine import ExceptionContext

_Storage = TypeVar("_Storage", bound=BaseStorage)

OPTION = "hydra.sweeper.storage"
_NEVER = (
    "authentication failed", "no password supplied", "pg_hba.conf", "does not exist",
    "permission denied", "access denied", "unknown database", "unable to open database file",
)  # fmt: skip
"""What servers say, in lower case, when waiting is of no use."""

_POSTGRES: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
"""So that a host that vanished is noticed within a minute."""


class ServerAwayError(Exception):
    """A connection broke or could not be made; raised past Optuna, which would try again itself.

    Optuna's own repetition creates a trial twice when only the answer was lost.
    """


def open_url(
    url: str, *, opening: float = OPENING, patience: float = PATIENCE, threads: int = 1
) -> BaseStorage:
    """Open the storage of a URL; several processes may open a fresh database at once.

    Args:
        url: ``postgresql+psycopg2://USER@HOST/BASE`` or any other of SQLAlchemy, or
            ``grpc://HOST:PORT`` of a ``stagetree storage serve``.
        opening: Seconds to wait for a server that does not answer.
        patience: Seconds that each later call waits.
        threads: How many threads of this process work with the storage; each gets a connection.

    Raises:
        ConfigError: The URL cannot be understood, its driver is missing, or the server refuses.
        StorageAwayError: There was no answer.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if storage_url.is_proxy(url):
        line = _Proxy(*_address(url))
        return PatientStorage(_until(opening, url, line.open), line, patience)
    target = _understood(url)
    storage = _until(opening, url, lambda: _connected(target, threads))
    return PatientStorage(optuna.storages.get_storage(storage), _Database(url), patience)


def is_fresh(url: str) -> bool:
    """Return whether no study was ever created in a database; nothing is created in it now.

    Raises:
        ConfigError: The URL cannot be understood, or its driver is missing.
    """
    if storage_url.is_proxy(url):
        return False
    target = _understood(url)
    file = target.database if target.get_backend_name() == "sqlite" else None
    if file and not Path(file).exists():
        return True
    engine = sqlalchemy.create_engine(target)
    try:
        return not sqlalchemy.inspect(engine).has_table("studies")
    except SQLAlchemyError:
        return False  # opening it says what is wrong
    finally:
        engine.dispose()


class _Database:
    """The line to a database."""

    def __init__(self, url: str) -> None:
        self.shown = storage_url.shown(url)

    def is_away(self, error: Exception) -> bool:
        return isinstance(error, ServerAwayError)

    def renewed(self, storage: BaseStorage) -> BaseStorage:
        return storage  # its pool has thrown the broken connections away


@dataclass(frozen=True)
class _Proxy:
    """The line to a gRPC proxy."""

    host: str
    port: int

    @property
    def shown(self) -> str:
        return f"grpc://{self.host}:{self.port}"

    def open(self) -> GrpcStorageProxy:
        storage = self._proxy()
        try:
            storage.wait_server_ready(timeout=1)
        except ConnectionError:
            raise OSError("no gRPC server answers there") from None
        return storage

    def is_away(self, error: Exception) -> bool:
        import grpc

        if not isinstance(error, grpc.RpcError):
            return False
        code = error.code() if isinstance(error, grpc.Call) else None
        lost = isinstance(error, grpc.Call) and StorageAwayError.__name__ in str(error.details())
        return lost or code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)

    def renewed(self, storage: BaseStorage) -> BaseStorage:
        """Return a new channel: one that failed often waits up to two minutes between tries."""
        assert isinstance(storage, GrpcStorageProxy)
        storage.close()
        return self._proxy()

    def _proxy(self) -> GrpcStorageProxy:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return GrpcStorageProxy(host=self.host, port=self.port)


def _address(url: str) -> tuple[str, int]:
    """Return host and port of a proxy's URL.

    Raises:
        ConfigError: It is no such URL, or gRPC is not installed.
    """
    try:
        import grpc  # noqa: F401
    except ImportError as error:
        message = f'a gRPC proxy needs the package grpcio ({error}): pip install "stagetree[grpc]"'
        raise ConfigError([Fault(OPTION, message)]) from error
    host, port = storage_url.host_and_port(url)
    if not host or port is None:
        raise ConfigError([Fault(OPTION, f"expected grpc://HOST:PORT but got {url!r}")])
    return host, port


def _understood(url: str) -> URL:
    """Return a database's URL with a driver that is there.

    Raises:
        ConfigError: There is none.
    """
    shown = storage_url.shown(url)
    try:
        target = storage_url.bare(url)
        target.get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError) as error:
        message = (
            f"expected a database URL, e.g. postgresql+psycopg2://USER@HOST/BASE, sqlite:///FILE "
            f"or grpc://HOST:PORT, but got {shown}: {reason(error)}"
        )
        raise ConfigError([Fault(OPTION, message)]) from error
    except ImportError as error:
        extra = ': pip install "stagetree[postgres]"' if "psycopg2" in str(error) else ""
        message = f"{shown} needs a driver that is not installed ({error}){extra}"
        raise ConfigError([Fault(OPTION, message)]) from error
    return target


def _connected(url: URL, threads: int) -> RDBStorage:
    """Open a database, with its tables, and make broken connections known as such."""
    options: dict[str, Any] = {"pool_pre_ping": True}
    backend = url.get_backend_name()
    if backend == "sqlite":
        options = {"connect_args": {"timeout": 60}}
    else:
        options |= {"pool_size": threads, "max_overflow": 1}
    if backend == "postgresql" and "psycopg" in url.get_driver_name():
        given = {key: value for key, value in _POSTGRES.items() if key not in url.query}
        options["connect_args"] = given
    storage = RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=options)
    _watch(storage.engine)
    return storage


def _watch(engine: Engine) -> None:
    """Raise :class:`ServerAwayError` for what is due to the connection and not to the query."""

    def handle(context: ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        connecting = context.connection is None and isinstance(error, OperationalError)
        original = context.original_exception
        locked = "database is locked" in str(original)  # SQLite, whatever its timeout
        if context.is_disconnect or locked or (connecting and not _is_final(original)):
            raise ServerAwayError from original

    sqlalchemy.event.listen(engine, "handle_error", handle)


def _is_final(error: BaseException) -> bool:
    return any(words in str(error).lower() for words in _NEVER)


def _until(patience: float, url: str, opened: Callable[[], _Storage]) -> _Storage:
    """Open until it works: others may be creating the same tables, or the server is starting.

    Raises:
        ConfigError: The server refuses.
        StorageAwayError: It did not work in time.
    """
    end = time.monotonic() + patience
    while True:
        try:
            return opened()
        except (SQLAlchemyError, OSError, AssertionError, optuna.exceptions.OptunaError) as error:
            cause = reason(error)
            shown = storage_url.shown(url)
            if _is_final(innermost(error)):
                message = f"the storage {shown} refuses: {cause}{storage_url.hint(url)}"
                raise ConfigError([Fault(OPTION, message)]) from error
            if time.monotonic() >= end:
                raise StorageAwayError(
                    f"expected an answer of the storage {shown} but got none in {patience:.0f} s: "
                    f"{cause}. Is it running, and can this machine reach it?"
                ) from error
        time.sleep(random.uniform(0.1, 0.5))
