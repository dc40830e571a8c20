"""What a stored model costs: weights, bytes, memory, operations, milliseconds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from stagetree.models.format import CARD
from stagetree.models.load import load
from stagetree.models.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

BATCH = 32
"""Size of the larger batch that is timed."""

THREADS = 1
_ASKED = frozenset({"flops", "peak_memory", "throughput"})
_WARM_UP = 3
_RUNS = 15
_SECONDS = 0.7
_BATCH_SECONDS = 0.5
_TOO_SLOW = 10.0
_LENGTH = 128
_SEED = 0


def asks_for_time(metrics: Iterable[str]) -> bool:
    """Return whether any of these metrics is known only by asking the model.

    >>> asks_for_time(["f1", "bytes"]), asks_for_time(["latency_ms_b32"])
    (False, True)
    """
    return any(name.startswith("latency") or name in _ASKED for name in metrics)


def measure(model: Path | str | Runner, *, timed: bool = True) -> dict[str, float]:
    """Return what a model costs to keep and to ask, on the CPU.

    All examples have ``min(128, max_length)`` sub-words, and all is computed on one thread,
    however many the process uses. It takes about two seconds; on a busy machine differences of
    10 % between times mean nothing.

    Args:
        model: A model directory, or an open model (which is measured on its own device).
        timed: Whether it is asked at all; else only ``parameters``, ``nonzero_parameters`` and
            ``bytes`` are returned, at once.

    Returns:
        ``parameters``: weights, zero or not, however they are stored.
        ``nonzero_parameters``: those that are stored as other than zero.
        ``bytes``: size of the whole directory, without its model card.
        ``flops``: operations of the matrix products of one example.
        ``peak_memory``: bytes that the model and a batch of 32 hold at most; see
        :meth:`Runner.peak_memory`.
        ``latency_ms``, ``latency_ms_p95``: median and 95th percentile for one example.
        ``latency_ms_b32``, ``latency_ms_b32_p95``: the same for a batch of 32, of as many runs
        as fit into half a second, at least one.
        ``throughput``: examples a second in batches of 32.
        ``latency_threads``: threads of all times, 1.

        What a form cannot tell is left out, and so is what regards a batch of 32 when that
        would take more than ten seconds.

    Raises:
        ModelError: The directory cannot be opened.
    """
    runner = model if isinstance(model, Runner) else load(model, threads=THREADS, device="cpu")
    if not timed:
        return _sizes(runner)
    asked = runner.timed()
    with asked.limited(THREADS):
        found = {**_sizes(runner), **_work(asked), **_times(asked)}
    return {**found, "latency_threads": float(THREADS)}


def _sizes(runner: Runner) -> dict[str, float]:
    import torch

    counts = [int(torch.count_nonzero(tensor)) for tensor in runner.weights()]
    sizes = {"parameters": float(runner.parameters), "bytes": float(_bytes(runner.directory))}
    return {**sizes, "nonzero_parameters": float(sum(counts))} if counts else sizes


def _work(runner: Runner) -> dict[str, float]:
    found = {
        "flops": runner.flops(_batch(runner, 1)),
        "peak_memory": runner.peak_memory(lambda size: _batch(runner, size), BATCH),
    }
    return {name: value for name, value in found.items() if value is not None}


def _times(runner: Runner) -> dict[str, float]:
    single = _batch(runner, 1)
    one = _repeat(lambda: runner.logits(single), _WARM_UP, _WARM_UP, _SECONDS)
    found = _named("latency_ms", one)
    expected = BATCH * _quantile(one, 0.5)
    if expected > _TOO_SLOW:
        return found
    batch = _batch(runner, BATCH)
    # What takes long needs no warm-up: the first touch of memory is a small part of it.
    warm_up = 1 if expected < _BATCH_SECONDS else 0
    many = _repeat(lambda: runner.logits(batch), warm_up, 1, _BATCH_SECONDS)
    throughput = BATCH / _quantile(many, 0.5)
    return {**found, **_named("latency_ms_b32", many), "throughput": throughput}


def _named(name: str, rising: list[float]) -> dict[str, float]:
    return {
        name: 1e3 * _quantile(rising, 0.5),
        f"{name}_p95": 1e3 * _quantile(rising, 0.95),
    }


def _batch(runner: Runner, size: int) -> Mapping[str, Any]:
    import numpy as np

    length = min(_LENGTH, runner.max_length)
    ids = np.random.default_rng(_SEED).integers(0, len(runner.tokenizer), size=(size, length))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def _repeat(run: Callable[[], object], warm_up: int, least: int, seconds: float) -> list[float]:
    """Return the seconds of every timed run, in rising order."""
    for _ in range(warm_up):
        run()
    times: list[float] = []
    while len(times) < _RUNS and (sum(times) < seconds or len(times) < least):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return sorted(times)


def _quantile(rising: list[float], share: float) -> float:
    """Return a quantile of numbers in rising order, interpolated between neighbours."""
    place = share * (len(rising) - 1)
    below = int(place)
    above = min(below + 1, len(rising) - 1)
    return rising[below] + (place - below) * (rising[above] - rising[below])


def _bytes(directory: Path) -> int:
    files = (path for path in directory.rglob("*") if path.is_file() and path.name != CARD)
    return sum(path.stat().st_size for path in files)
