"""Floating-point operations of a PyTorch model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count


def counted(run: Callable[[], object]) -> float:
    """Return the floating-point operations of matrix products while ``run`` runs.

    They are PyTorch's counts, two a multiply-add, with attention's kernel for the CPU added.
    """
    attention: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with FlopCounterMode(display=False, custom_mapping={attention: _attention}) as counter:
        run()
    return float(counter.get_total_flops())


def _attention(query: Any, key: Any, value: Any, *_rest: Any, **_options: Any) -> Any:
    return sdpa_flop_count(query, key, value)  # type: ignore[no-untyped-call]
