"""A metric on resampled examples: the same examples for every run, so that runs stay paired."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Metric = Callable[[np.ndarray], np.ndarray]
"""From summed counts to the metric: (..., counts) -> (...)."""

REPLICATES = 2000
"""Resamples that an interval is made of; its ends then vary by some 2 % of its width."""

_CELLS = 2_000_000


def resampled(
    tallies: Sequence[np.ndarray], metric: Metric, *, replicates: int = REPLICATES, seed: int = 0
) -> np.ndarray:
    """Return each run's metric on examples drawn with replacement (Efron 1979).

    Every replicate draws once for all runs; the same seed draws the same again.

    Args:
        tallies: (examples, counts) of each run, of the same examples in the same order.
        metric: The metric of summed counts.
        replicates: How often to draw.
        seed: Seed of the draws.

    Returns:
        (replicates, runs) values of the metric.

    Raises:
        ValueError: The runs are not of equally many examples.
    """
    sizes = {len(counts) for counts in tallies}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(f"expected runs of the same examples but got {sorted(sizes)} of them")
    (size,) = sizes
    rng = np.random.default_rng(seed)
    at_once = max(1, _CELLS // size)
    parts = []
    for start in range(0, replicates, at_once):
        count = min(at_once, replicates - start)
        weights = rng.multinomial(size, np.full(size, 1 / size), size=count).astype(np.float64)
        parts.append(np.stack([metric(weights @ counts) for counts in tallies], axis=1))
    return np.concatenate(parts)
