"""Ctrl-C and SIGTERM of a launcher go to its jobs, which end tidily."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

from stagetree.core.interrupt import Terminated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType


@contextlib.contextmanager
def forwarding(send: Callable[[int], None]) -> Iterator[list[int]]:
    """Pass SIGINT and SIGTERM on by ``send``; from the second one on, send SIGKILL.

    Yields the signals received so far. Outside the main thread, where Python allows no
    handlers, nothing is passed on.
    """
    received: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        received.append(number)
        send(passed_on(received))

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def passed_on(received: Sequence[int]) -> int:
    """Return what a job is to be sent after these signals."""
    return received[0] if len(received) == 1 else signal.SIGKILL


def raise_for(received: Sequence[int]) -> None:
    """Raise what the first signal asked for, if there was any.

    Raises:
        KeyboardInterrupt: It was Ctrl-C.
        Terminated: It was SIGTERM.
    """
    if received:
        raise KeyboardInterrupt if received[0] == signal.SIGINT else Terminated
