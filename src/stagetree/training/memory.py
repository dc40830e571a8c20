"""Out of memory: how it looks, and doing the same in smaller portions."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from stagetree.core.errors import OutOfMemory
from stagetree.training.ranks import BeginAgain

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_TEXTS = (
    "DefaultCPUAllocator: not enough memory",  # Windows
    "std::bad_alloc",
    "Failed to allocate memory",  # ONNX Runtime
)


def out_of_memory(error: BaseException) -> bool:
    """Return whether ``error``, or what caused it, says that memory ran out, on any device.

    An :class:`OutOfMemory` does not count: it says that nothing smaller is left to try.

    >>> out_of_memory(MemoryError())
    True
    >>> out_of_memory(RuntimeError("shapes do not match"))
    False
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OutOfMemory) or not isinstance(error, Exception):
        return False
    return (
        should_reduce_batch_size(error)
        or any(text in str(error) for text in _TEXTS)
        or (error.__cause__ is not None and out_of_memory(error.__cause__))
    )


@dataclass
class BatchSize:
    """How many examples go through a model at once; halved when they do not fit.

    Attributes:
        size: The number now.
        what: Its name in messages.
        divides: What it must divide, if anything.
        halved: Hears of every new size.
    """

    size: int
    what: str
    divides: int = 0
    halved: Callable[[int], None] = lambda size: None

    def halve(self) -> None:
        """Go on with half, or with the next smaller divisor of what it must divide.

        Raises:
            OutOfMemory: It is one already.

        >>> batch = BatchSize(24, "micro_batch_size", divides=24)
        >>> batch.halve(); batch.halve(); batch.halve(); batch.size
        3
        >>> batch = BatchSize(10, "micro_batch_size", divides=10)
        >>> batch.halve(); batch.halve(); batch.size
        2
        """
        smaller = largest_divisor(self.divides, self.size // 2) if self.divides else self.size // 2
        if smaller < 1:
            raise OutOfMemory(f"{self.what}=1 is out of memory")
        logger.warning(
            "%s=%d does not fit into memory, going on with %d", self.what, self.size, smaller
        )
        self.size = smaller
        self.halved(smaller)


def largest_divisor(of: int, limit: int) -> int:
    """Return the largest divisor of ``of`` up to ``limit``, or 0 where the limit is below one.

    >>> largest_divisor(16, 8), largest_divisor(15, 7), largest_divisor(7, 3), largest_divisor(7, 0)
    (8, 5, 1, 0)
    """
    return next((size for size in range(limit, 0, -1) if of % size == 0), 0)


def until_it_fits(attempt: Callable[[int], _T], batch: BatchSize) -> _T:
    """Return what ``attempt`` makes with the first size of ``batch`` that fits into memory.

    Between attempts all that the failed one held is given back to the device.

    Raises:
        OutOfMemory: Not even one example fits.
    """
    while True:
        try:
            return attempt(batch.size)
        except Exception as error:
            if not out_of_memory(error):
                raise
        # Only here, after the handler, has the traceback let go of the attempt's tensors.
        clear_device_cache(garbage_collection=True)
        batch.halve()


def or_begin_again(attempt: Callable[[int], _T], batch: BatchSize) -> _T:
    """Return what ``attempt`` makes with the size of ``batch``, together with other processes.

    Raises:
        BeginAgain: It did not fit and ``batch`` was halved; the others are in the middle of it.
        OutOfMemory: Not even one example fits.
    """
    try:
        return attempt(batch.size)
    except Exception as error:
        if not out_of_memory(error):
            raise
    batch.halve()
    raise BeginAgain(batch.size)


def device() -> str:
    """Return the name and the memory of what models are trained on: a GPU, or this host."""
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(torch.cuda.current_device())
        return f"{gpu.name} ({gpu.total_memory / 2**30:.1f} GiB)"
    kind = "the MPS device" if torch.backends.mps.is_available() else "the CPU"
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{kind} of {platform.node()} ({total / 2**30:.1f} GiB)"
