"""What a stored model costs: weights, bytes, milliseconds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from stagetree.models.load import load
from stagetree.models.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_WARM_UP = 3
_RUNS = 15
_SECONDS = 0.7
_LENGTH = 128
_SEED = 0


def measure(model: Path | str | Runner) -> dict[str, float]:
    """Return what a model costs to keep and to ask, on the CPU.

    Latency is that of one example of ``min(128, max_length)`` sub-words on one thread, however
    many the process uses. It takes about a second; on a busy machine differences of 10 % mean
    nothing.

    Args:
        model: A model directory, or an open model (which is measured on its own device).

    Returns:
        ``parameters``; ``bytes`` of the whole directory; ``latency_ms``, the median; and
        ``latency_ms_p95``.

    Raises:
        ModelError: The directory cannot be opened.
    """
    runner = model if isinstance(model, Runner) else load(model, threads=1, device="cpu")
    times = _times(runner)
    return {
        "parameters": float(runner.parameters),
        "bytes": float(_bytes(runner.directory)),
        "latency_ms": 1e3 * _quantile(times, 0.5),
        "latency_ms_p95": 1e3 * _quantile(times, 0.95),
    }


def _times(runner: Runner) -> list[float]:
    """Return the seconds of every timed run, in rising order."""
    import numpy as np

    length = min(_LENGTH, runner.max_length)
    ids = np.random.default_rng(_SEED).integers(0, len(runner.tokenizer), size=(1, length))
    batch = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    with runner.limited(1):
        return _repeat(lambda: runner.logits(batch))


def _repeat(run: Callable[[], object]) -> list[float]:
    for _ in range(_WARM_UP):
        run()
    times: list[float] = []
    while len(times) < _RUNS and (sum(times) < _SECONDS or len(times) < _WARM_UP):
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
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
