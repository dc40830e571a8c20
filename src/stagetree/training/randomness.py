"""The states of all random number generators, as plain JSON values."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def seed_of(seed: int, place: int) -> int:
    """Return the seed of one of several processes that share a seed; the first keeps it.

    >>> seed_of(13, 0), seed_of(13, 1) != seed_of(13, 2)
    (13, True)
    """
    return int(np.random.SeedSequence([seed, place]).generate_state(1)[0]) if place else seed


def states() -> dict[str, Any]:
    """Return the states of Python's, NumPy's and PyTorch's generators, on all devices."""
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    version, internal, gauss = random.getstate()
    return {
        "python": [version, list(internal), gauss],
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": _text(torch.random.get_rng_state()),
        "cuda": [_text(state) for state in torch.cuda.get_rng_state_all()]
        if torch.cuda.is_available()
        else [],
    }


def restore(saved: Mapping[str, Any]) -> None:
    """Put every generator back to what ``states`` saw."""
    version, internal, gauss = saved["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = saved["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.random.set_rng_state(_tensor(saved["torch"]))
    if torch.cuda.is_available() and saved["cuda"]:
        torch.cuda.set_rng_state_all([_tensor(state) for state in saved["cuda"]])


def _text(state: torch.Tensor) -> str:
    return bytes(state.tolist()).hex()


def _tensor(text: str) -> torch.Tensor:
    return torch.tensor(list(bytes.fromhex(text)), dtype=torch.uint8)
