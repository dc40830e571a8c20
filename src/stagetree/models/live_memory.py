"""What tensors a PyTorch model keeps alive at most while it computes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors made inside the block that are alive at the same time.

    The count is that of the tensors themselves: it is the same on every machine, and what a
    kernel takes for itself while it runs is not in it. A view counts once, with what it views.

    Attributes:
        peak: Most bytes alive at any time so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._live = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and note what it made."""
        known = {_key(tensor) for tensor in tree_leaves((args, kwargs)) if _is_tensor(tensor)}
        outputs = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(outputs):
            if _is_tensor(tensor) and _key(tensor) not in known:
                self._note(tensor.untyped_storage())
        return outputs

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return
        self._seen.add(key)
        self._live += size
        self.peak = max(self.peak, self._live)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self._live -= size


def peak_of(run: Callable[[int], object], batch: int) -> float:
    """Return the most bytes that ``run(batch)`` keeps alive at once, without running it.

    Two small batches are run instead: the peak rises by the same amount with each example.

    Args:
        run: Computes a batch of the given size.
        batch: The batch size that is asked about.
    """
    small, large = 2, 3
    peaks = []
    for size in (small, large):
        with LiveMemory() as memory:
            run(size)
        peaks.append(memory.peak)
    return float(peaks[0] + (batch - small) * (peaks[1] - peaks[0]))


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.layout == torch.strided


def _key(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
