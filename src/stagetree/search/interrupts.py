"""Ctrl-C and SIGTERM in a worker: never in the middle of a write, and resumable afterwards."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

from stagetree.core.interrupt import Terminated
from stagetree.core.stopping import after_first

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_held_back: set[int] = set()


class Interrupts:
    """Turns the first SIGINT or SIGTERM into an exception, outside of shielded blocks.

    ``KeyboardInterrupt`` and :class:`~stagetree.core.interrupt.Terminated` are no
    ``Exception``, so nobody takes them for a failed trial. A second signal kills at once, unless
    repeats are expected (:mod:`stagetree.core.stopping`).
    Outside the main thread, where Python allows no handlers, this does nothing.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._depth = 0
        self._pending: int | None = None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    @contextlib.contextmanager
    def shield(self) -> Iterator[None]:
        """Hold signals back inside the block; the exception is raised at its end.

        It takes the place of any other that ends the block.
        """
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth and self._pending is not None:
                pending, self._pending = self._pending, None
                _held_back.discard(id(self))
                _raise(pending)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, after_first())
        if self._depth:
            self._pending = number
            _held_back.add(id(self))
        else:
            _raise(number)


def is_pending() -> bool:
    """Return whether a signal is held back now: whoever waits in the block should end it."""
    return bool(_held_back)


def _raise(number: int) -> None:
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated
