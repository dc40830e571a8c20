"""Joining a Ray cluster, or starting a Ray of our own and shutting it down."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import ConfigError, Fault, StagetreeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PATH = "hydra.launcher"
_CLIENT = "ray://"
_OBJECT_STORE = 100 * 2**20  # workers exchange lines of text through Ray, and no tensors
_TOKEN_HINT = "; set RAY_AUTH_MODE=token where the cluster asks for a token"
_ATTEMPTS = 3
"""How often a cluster is asked for a client's server, which at times does not come up."""
_NOT_UP = ("Starting Ray client server failed", "Proxy failed to Connect to backend")
"""What it says then; whatever else is wrong would be so again."""
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_SETTINGS = 4
_FRAME_HEADER = 9


def check(options: Mapping[str, Any]) -> None:
    """Check all that can be checked before anything starts.

    Raises:
        ConfigError: Ray is not installed, or an option makes no sense.
        StagetreeError: Nothing that may be a cluster answers at the address.
    """
    if importlib.util.find_spec("ray") is None:
        message = 'expected Ray to be installed; install it with: pip install "stagetree[ray]"'
        raise ConfigError([Fault("hydra/launcher", message)])
    faults = [
        Fault(f"{_PATH}.{name}", f"expected 0 or more but got {options[name]}")
        for name in ("num_cpus", "num_gpus", "memory", "max_restarts", "connect_timeout")
        if (options.get(name) or 0) < 0
    ]
    address = options.get("address")
    place = _host_and_port(address)
    if address and address != "auto" and place is None:
        message = f"expected auto, HOST:PORT or {_CLIENT}HOST:PORT but got {address!r}"
        faults.append(Fault(f"{_PATH}.address", message))
    if faults:
        raise ConfigError(faults)
    if address and place is not None:
        _reach(address, place, options["connect_timeout"])


@contextlib.contextmanager
def cluster(options: Mapping[str, Any]) -> Iterator[None]:
    """Be connected to the cluster of the options, or to a Ray of our own, inside the block.

    At its end a Ray of our own is shut down, a cluster that was joined is left, and a
    connection that this process had before stays, with its own runtime environment.

    Raises:
        StagetreeError: The connection failed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        with _own_signals():
            _connect(options)
        yield
    finally:
        ray.shutdown()


def _connect(options: Mapping[str, Any]) -> None:
    arguments: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if options["address"]:
        arguments["address"] = options["address"]
    else:
        arguments |= {
            "address": "local",
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE,
        }
    if options["runtime_env"]:
        arguments["runtime_env"] = options["runtime_env"]
    arguments |= options["init"]
    try:
        _init(arguments)
    except Exception as error:
        where = options["address"] or "this machine"
        hint = "" if "RAY_AUTH_MODE" in os.environ or not options["address"] else _TOKEN_HINT
        raise StagetreeError(
            f"Ray cannot be used at {where} ({_PATH}.address): {type(error).__name__}: "
            f"{error}{hint}"
        ) from error


def _init(arguments: Mapping[str, Any]) -> None:
    """Connect, and try again where the cluster gave up starting a server for this client."""
    import ray

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            ray.init(**arguments)
        except ConnectionAbortedError as error:
            if attempt == _ATTEMPTS or not any(text in str(error) for text in _NOT_UP):
                raise
        else:
            return


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Take back the signals that ``ray.init`` handles in its own way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _host_and_port(address: str | None) -> tuple[str, int] | None:
    host, _, port = (address or "").removeprefix(_CLIENT).rpartition(":")
    return (host, int(port)) if host and port.isdecimal() else None


def _reach(address: str, place: tuple[str, int], timeout: float) -> None:
    """See that a gRPC server is there: Ray itself would wait for one for minutes.

    Raises:
        StagetreeError: There is none.
    """
    try:
        with socket.create_connection(place, timeout=timeout) as connection:
            connection.sendall(_HTTP2)
            if not _speaks_http2(connection):
                raise ConnectionError("what answers there is no Ray")
    except OSError as error:
        hint = "start one with: ray start --head, or leave the address out"
        raise StagetreeError(
            f"{_PATH}.address: expected a Ray cluster at {address} within {timeout:g} s: "
            f"{error}; {hint}"
        ) from error


def _speaks_http2(connection: socket.socket) -> bool:
    head = b""
    while len(head) < _FRAME_HEADER:
        more = connection.recv(_FRAME_HEADER - len(head))
        if not more:
            return False
        head += more
    return head[3] == _SETTINGS
