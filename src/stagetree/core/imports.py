"""Importing libraries that are so large that the garbage collector's share of it is felt."""

from __future__ import annotations

import contextlib
import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def large_imports() -> Iterator[None]:
    """Import inside the block with the garbage collector at rest: a quarter less time.

    torch and transformers make objects by the hundred thousand that stay until the process ends.
    The collector goes through all of them over and over while they come, and in each full
    collection afterwards; so it is stopped, and then told to leave alone what there is by now
    (``gc.freeze``). Where everything was imported before, nothing happens.

    >>> with large_imports():
    ...     import json
    >>> json.loads("1")
    1
    """
    known, enabled = len(sys.modules), gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known:
            gc.freeze()
        if enabled:
            gc.enable()
