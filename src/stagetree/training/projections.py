"""Queries, keys and values of a model's layers, seen while it computes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from stagetree.core.errors import ModelError
from stagetree.training.freezing import encoder_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NAMES = {
    "query": ("query", "q_lin", "q_proj", "query_proj"),
    "key": ("key", "k_lin", "k_proj", "key_proj"),
    "value": ("value", "v_lin", "v_proj", "value_proj"),
}
"""What families call the three projections of an attention layer."""


class Projections:
    """What a model's attention layers make of their input, before heads and softmax.

    Args:
        model: The model.
        layers: Which layers to watch, counted from 1.

    Raises:
        ModelError: The model has no such layer, or none whose projections can be told.
    """

    def __init__(self, model: PreTrainedModel, layers: Sequence[int]) -> None:
        stack = encoder_layers(model)
        if len(stack) != model.config.num_hidden_layers:
            raise ModelError(
                f"expected attention layers of their own but {type(model).__name__} shares them; "
                "use transfer.hidden instead of attention and relations"
            )
        self._modules = {
            (layer, part): _projection(stack[layer - 1], part, type(model).__name__)
            for layer in layers
            for part in _NAMES
        }
        self._seen: dict[tuple[int, str], torch.Tensor] = {}

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch inside the block, except in inference mode."""
        hooks = [
            module.register_forward_hook(self._hook(key)) for key, module in self._modules.items()
        ]
        try:
            yield
        finally:
            self._seen.clear()
            for hook in hooks:
                hook.remove()

    def width(self, layer: int, part: str) -> int:
        """Return how many numbers a layer's projection has for each token."""
        weight: Any = self._modules[layer, part].weight
        return int(weight.shape[0])

    def take(self) -> dict[tuple[int, str], torch.Tensor]:
        """Return what was seen last by (layer, part), each (rows, length, width); forget it."""
        seen, self._seen = self._seen, {}
        return seen

    def _hook(self, key: tuple[int, str]) -> Any:
        def see(module: nn.Module, args: Any, output: torch.Tensor) -> None:
            if not torch.is_inference_mode_enabled():
                self._seen[key] = output

        return see


def _projection(layer: nn.Module, part: str, model: str) -> nn.Module:
    found: list[nn.Module] = [
        module
        for name, module in layer.named_modules()
        if name.rpartition(".")[2] in _NAMES[part] and "cross" not in name
    ]
    if len(found) != 1:
        raise ModelError(
            f"expected one {part} projection in each layer of {model} but got {len(found)}; "
            "use transfer.hidden instead of attention and relations"
        )
    return found[0]
