"""The processes that train one model together. In a process alone all of this does nothing.

Small values travel as JSON over tensors on the CPU, whatever device the model is on.
"""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

_TRANSPORTS = ("gloo/transport", "[c10d", "NCCL")


_START = 600.0
"""Seconds that a process may take to start."""

_sharded = False


class BeginAgain(Exception):  # noqa: N818 - not a fault of the stage
    """One process ran out of memory and has halved ``size``: all must begin again with it."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"out of memory; all processes begin again with micro-batches of {size}")

    def __reduce__(self) -> tuple[type[BeginAgain], tuple[int]]:
        return (type(self), (self.size,))


def count() -> int:
    """Return how many processes train together; 1 is alone."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def number() -> int:
    """Return which of them this one is, from 0."""
    return dist.get_rank() if count() > 1 else 0


def sharded() -> bool:
    """Return whether the processes share the model out among them."""
    return count() > 1 and _sharded


def leads() -> bool:
    """Return whether this is the one process that writes, evaluates and tells."""
    return number() == 0


@contextlib.contextmanager
def joined(
    host: str, port: int, place: int, total: int, patience: float, shared_out: bool
) -> Iterator[None]:
    """Be one of several processes inside the block.

    Args:
        host: Where the rendezvous is.
        port: Its port.
        place: Which process this is, from 0.
        total: How many there are.
        patience: Seconds that one may keep the others waiting, once all have started; then those
            raise an error.
        shared_out: Whether each holds only a part of the model.
    """
    global _sharded
    _sharded = shared_out
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(place)
        backend = "cpu:gloo,cuda:nccl"
    wait, start = timedelta(seconds=patience), timedelta(seconds=max(patience, _START))
    store = dist.TCPStore(  # type: ignore[attr-defined]
        host, port, is_master=False, timeout=start
    )
    store.set(f"started/{place}", "")
    store.wait([f"started/{other}" for other in range(total)], start)
    dist.init_process_group(backend, store=store, rank=place, world_size=total, timeout=wait)
    yield
    gc.collect()  # gloo may abort at the end when tensors of its collectives are still about
    dist.destroy_process_group()


def is_of_another(error: BaseException) -> bool:
    """Return whether an error only says that another process is gone or does not answer."""
    if isinstance(error, dist.DistError):
        return True
    return isinstance(error, RuntimeError) and any(name in str(error) for name in _TRANSPORTS)


def agreed(make: Callable[[], Any]) -> Any:
    """Return what ``make`` returns in the process that leads, a JSON value; all must call it."""
    return everyone(make() if leads() else None)[0]


def everyone(value: Any) -> list[Any]:
    """Return the JSON values of all processes, in their order; all must call it."""
    if count() == 1:
        return [value]
    text = _bytes(value)
    sizes = [torch.empty(1, dtype=torch.int64) for _ in range(count())]
    dist.all_gather(sizes, torch.tensor([len(text)]))
    longest = max(int(size) for size in sizes)
    padded = torch.zeros(longest, dtype=torch.uint8)
    padded[: len(text)] = text
    texts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(texts, padded)
    return [_value(text[: int(size)]) for text, size in zip(texts, sizes, strict=True)]


def mean(value: float) -> float:
    """Return the mean over all processes; all must call it."""
    values = everyone(value)
    return float(sum(values) / len(values))


@contextlib.contextmanager
def one_first() -> Iterator[None]:
    """Let the process that leads run the block before the others, who find what it made."""
    if not leads():
        agreed(bool)
    yield
    if count() > 1 and leads():
        agreed(bool)


def _bytes(value: Any) -> torch.Tensor:
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def _value(text: torch.Tensor) -> Any:
    return json.loads(bytes(text.tolist()))
