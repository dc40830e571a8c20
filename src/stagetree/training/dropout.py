"""Dropout on CPUs without waiting for random numbers.

PyTorch draws a CPU's dropout masks one number at a time from a Mersenne Twister, which took 15 % of
a bfloat16 training step of a 6x384 encoder. A small fast generator (SFC64) and comparisons of whole
arrays give masks of the same distribution several times faster.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

_RANGE = 1 << 32


class FastDropout(TorchFunctionMode):
    """Inside the block, dropout and attention dropout on CPU tensors take masks from here.

    An element is dropped with the probability asked for, to within 2 ** -32.

    Args:
        seed: Seed of all masks.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._bits: Any = np.random.SFC64(seed)

    def state(self) -> dict[str, Any]:
        """Return the generator's state as plain JSON values."""
        state = self._bits.state
        return {**state, "state": {"state": state["state"]["state"].tolist()}}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go back to what ``state`` saw."""
        words = np.array(saved["state"]["state"], dtype=np.uint64)
        self._bits.state = {**saved, "state": {"state": words}}

    def replay(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Return two blocks of which the second gives the masks that the first gave.

        For :func:`torch.utils.checkpoint.checkpoint`, whose second pass runs in backward, outside
        of the block of this object. Masks after either block go on as if there had been no second.
        """
        begun: list[Any] = []

        @contextlib.contextmanager
        def first() -> Iterator[None]:
            begun.append(self._bits.state)
            yield

        @contextlib.contextmanager
        def again() -> Iterator[None]:
            reached = self._bits.state
            self._bits.state = begun[0]
            try:
                with self:
                    yield
            finally:
                self._bits.state = reached

        return first(), again()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Take over the two functions that drop; let all others pass."""
        options = kwargs or {}
        if func is functional.dropout:
            return self._dropout(*args, **options)
        if func is functional.scaled_dot_product_attention and _plain(args, options):
            return self._attention(*args, **options)
        return func(*args, **options)

    def _dropout(
        self, input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> torch.Tensor:
        if not training or not 0 < p < 1 or inplace or input.device.type != "cpu":
            return functional.dropout(input, p, training, inplace)
        return input * self._noise(input, p)

    def _attention(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
        scores = torch.matmul(query * factor, key.transpose(-2, -1))
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, torch.finfo(scores.dtype).min)
        elif attn_mask is not None:
            scores = scores + attn_mask
        weights = functional.softmax(scores, dim=-1, dtype=torch.float32).to(value.dtype)
        return torch.matmul(weights * self._noise(weights, dropout_p), value)

    def _noise(self, like: torch.Tensor, p: float) -> torch.Tensor:
        """Return a tensor of zeros, with probability ``p``, and of ``1 / (1 - p)``."""
        count = like.numel()
        words = self._bits.random_raw((count + 1) // 2).view(np.uint32)[:count]
        kept = np.multiply(words >= np.uint32(round(p * _RANGE)), np.float32(1 / (1 - p)))
        return torch.from_numpy(kept).view(like.shape).to(like.dtype)


def _plain(args: Sequence[Any], options: Mapping[str, Any]) -> bool:
    """Return whether attention drops something, on a CPU, and needs no more than a mask."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")
    given = {**dict(zip(names, args, strict=False)), **options}
    return (
        0 < given.get("dropout_p", 0.0) < 1
        and not given.get("is_causal", False)
        and not given.get("enable_gqa", False)
        and given["query"].device.type == "cpu"
    )
