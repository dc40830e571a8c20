"""Being told that the end is near: work saves itself at a moment of its own choice."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from stagetree.core.interrupt import Terminated

_asked = threading.Event()
_gentle = threading.Event()
_repeated = threading.Event()


def expect_repeats() -> None:
    """Let only the first SIGTERM or SIGINT count in this process.

    For processes of a scheduler that sends several at once, and SIGKILL in the end; otherwise a
    second one kills at once, as a person wants it.
    """
    _repeated.set()


def after_first() -> signal.Handlers:
    """Return what a second SIGTERM or SIGINT is to do."""
    return signal.SIG_IGN if _repeated.is_set() else signal.SIG_DFL


def stop_soon(seconds: float) -> None:
    """Ask the work in this process to save itself and end; after ``seconds`` it is made to end.

    Work inside of :func:`ends_gently` looks at :func:`stopping` and ends where it can save most.
    All else gets a SIGTERM at once.
    """
    _asked.set()
    if not _gentle.is_set():
        os.kill(os.getpid(), signal.SIGTERM)
        return
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()


def stopping() -> bool:
    """Return whether this process was asked to save its work and end."""
    return _asked.is_set()


@contextlib.contextmanager
def ends_gently() -> Iterator[None]:
    """Promise that the work inside looks at :func:`stopping` often and then raises.

    Raises:
        Terminated: The work was over before it looked.
    """
    _gentle.set()
    try:
        yield
    finally:
        _gentle.clear()
    if _asked.is_set():
        raise Terminated
