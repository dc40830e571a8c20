"""What runs on a node of a Ray cluster: it starts a job's process and watches it.

The class travels by value, so that nodes need nothing of ours to receive it: only the standard
library is used here.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, NamedTuple

_WAIT = 5.0
_MOST = 1000


class Order(NamedTuple):
    """What a seat is to run.

    Attributes:
        module: Started as ``python -m MODULE PAYLOAD RESULT``.
        payload: What the payload file holds.
        environment: Variables of the process; they win over the node's.
        paths: Where the process looks for modules.
        ships_code: Whether Ray brought modules along, which then come first.
        directory: Where the process runs, on nodes that have this directory.
    """

    module: str
    payload: bytes
    environment: dict[str, str]
    paths: list[str]
    ships_code: bool
    directory: str


class Heard(NamedTuple):
    """What a process said.

    Attributes:
        lines: Each with whether it was meant for standard error.
        code: Its exit code, once it has ended and all was said.
    """

    lines: list[tuple[bool, str]]
    code: int | None


class Seat:
    """A job's process on this node; a Ray actor of at least two threads."""

    def __init__(self, order: Order) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="stagetree-")
        self._is_known = False
        self._said: queue.SimpleQueue[tuple[bool, str] | int] = queue.SimpleQueue()
        payload = Path(self._folder.name) / "job"
        payload.write_bytes(order.payload)
        # Started by the actor's main thread, with whose end Linux ends the process, too.
        words = [str(payload), str(self._result()), str(os.getpid())]
        self._process = subprocess.Popen(
            [sys.executable, "-m", order.module, *words],
            env=_environment(order),
            cwd=order.directory if Path(order.directory).is_dir() else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        threading.Thread(target=self._watch, daemon=True).start()

    def read(self) -> Heard:
        """Return what was said since the last call, after some seconds at the latest.

        The first call returns at once: it tells that the process was started.
        """
        if not self._is_known:
            self._is_known = True
            return Heard([], None)
        lines: list[tuple[bool, str]] = []
        try:
            item = self._said.get(timeout=_WAIT)
            while not isinstance(item, int):
                lines.append(item)
                if len(lines) == _MOST:
                    return Heard(lines, None)
                item = self._said.get_nowait()
        except queue.Empty:
            return Heard(lines, None)
        return Heard(lines, item)

    def result(self) -> bytes | None:
        """Return what the process left behind, if anything."""
        return self._result().read_bytes() if self._result().exists() else None

    def send(self, number: int) -> None:
        """Send the process a signal."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def _result(self) -> Path:
        return Path(self._folder.name) / "result"

    def _watch(self) -> None:
        """Wait for the process; its own children may hold the pipes open for longer."""
        readers = [
            threading.Thread(target=self._listen, args=(stream, is_error), daemon=True)
            for stream, is_error in ((self._process.stdout, False), (self._process.stderr, True))
        ]
        for reader in readers:
            reader.start()
        code = self._process.wait()
        for reader in readers:
            reader.join(timeout=1.0)
        self._said.put(code)

    def _listen(self, stream: IO[bytes], is_error: bool) -> None:
        for line in stream:
            self._said.put((is_error, line.decode("utf-8", errors="replace")))


def _environment(order: Order) -> dict[str, str]:
    environment = {**os.environ, **order.environment, "PYTHONUNBUFFERED": "1"}
    here = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    paths = [*here, *order.paths] if order.ships_code else [*order.paths, *here]
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return environment
