"""Models of an architecture whose weights are read afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def blank(make: Callable[..., PreTrainedModel], settings: Any) -> PreTrainedModel:
    """Return an fp32 model whose weights are whatever lay in memory.

    Drawing weights that are overwritten at once takes longer than reading them. Torch's random
    state stays as it is.

    Args:
        make: ``from_config`` of a class of ``transformers``.
        settings: The config.
    """
    from transformers.initialization import no_init_weights

    with torch.random.fork_rng(devices=[]), no_init_weights():
        model = make(settings, dtype=torch.float32)
    model.tie_weights()
    return model
