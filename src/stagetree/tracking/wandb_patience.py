"""How long W&B's own process may keep a run waiting: past that it is ended, not waited for."""

from __future__ import annotations

import atexit
import contextlib
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 5.0
"""Seconds for what takes milliseconds when all is well."""

HANGS = 2
"""So often may W&B hang in this process before it is left alone."""

_hangs: list[str] = []


@contextlib.contextmanager
def patience(seconds: float, what: str) -> Iterator[None]:
    """Let the block talk to W&B's process for so long; then end that process.

    What waits for a process that is gone returns at once.

    Args:
        seconds: How long.
        what: What is done, for the message.

    Raises:
        TimeoutError: It took too long, and the process was ended.
    """
    late = threading.Event()

    def give_up() -> None:
        late.set()
        end_service()

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if late.is_set():
            raise _hung(seconds, what) from error
        raise
    finally:
        timer.cancel()
    if late.is_set():
        raise _hung(seconds, what)


def worn_out() -> bool:
    """Return whether W&B hung too often in this process to be tried again."""
    return len(_hangs) >= HANGS


def end_service() -> None:
    """End W&B's own process, if this process started one; hanging or stopped, it makes no odds."""
    process = _service()
    if process is not None:
        with contextlib.suppress(OSError):
            process.kill()


def watch_exit() -> None:
    """See to it that the end of this process does not wait for W&B's for long.

    To be called whenever W&B may have started its process: what was registered last runs first.
    """
    atexit.unregister(_hurry)
    atexit.register(_hurry)


def _hurry() -> None:
    timer = threading.Timer(PATIENCE, end_service)
    timer.daemon = True
    timer.start()


def _hung(seconds: float, what: str) -> TimeoutError:
    _hangs.append(what)
    return TimeoutError(f"W&B's process did not {what} within {seconds:g} s and was ended")


def _service() -> Any:
    """Return W&B's process as ``subprocess`` has it; W&B itself has no way to name it."""
    from wandb.sdk import wandb_setup

    with contextlib.suppress(Exception):
        connection: Any = wandb_setup.singleton()._connection
        return connection._proc._process
    return None
