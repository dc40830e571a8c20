"""Being asked to stop: SIGTERM becomes an exception, so that work ends tidily and resumably."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from types import FrameType

INTERRUPTED = 130
"""Exit code after Ctrl-C."""
TERMINATED = 143
"""Exit code after SIGTERM."""


_PR_SET_PDEATHSIG = 1


class Terminated(BaseException):
    """The process was asked to end; not an ``Exception``, so that nobody takes it for a fault."""


def raise_on_sigterm() -> None:
    """Turn the next SIGTERM into :class:`Terminated` in the main thread; a further one kills.

    Does nothing outside the main thread, where Python allows no handlers.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _raise)


def end_with_parent(parent: int) -> None:
    """Ask Linux to send this process SIGTERM should its parent be killed; elsewhere do nothing.

    Args:
        parent: The parent's process id, in case it is gone already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)


def _raise(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise Terminated
