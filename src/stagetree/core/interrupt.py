"""Being asked to stop: SIGTERM becomes an exception, so that work ends tidily and resumably."""

from __future__ import annotations

import signal
import threading
from types import FrameType

INTERRUPTED = 130
"""Exit code after Ctrl-C."""
TERMINATED = 143
"""Exit code after SIGTERM."""


class Terminated(BaseException):
    """The process was asked to end; not an ``Exception``, so that nobody takes it for a fault."""


def raise_on_sigterm() -> None:
    """Turn the next SIGTERM into :class:`Terminated` in the main thread; a further one kills.

    Does nothing outside the main thread, where Python allows no handlers.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _raise)


def _raise(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise Terminated
