"""Training a model for int8: every linear layer computes as its quantised form will."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

_LARGEST = 127
_LEVELS = 255


class FakeQuantLinear(nn.Linear):
    """A linear layer whose weights and inputs are rounded as dynamic int8 rounds them.

    Gradients pass straight through the rounding (Bengio et al. 2013, arXiv 1308.3432; Jacob et
    al. 2018, arXiv 1712.05877). Weights have one scale an output channel, or one for all.
    """

    per_channel: bool = True

    def forward(self, input: Tensor) -> Tensor:
        """Return the layer's output for inputs (..., in features)."""
        weight = rounded_weight(self.weight.float(), self.per_channel)
        return functional.linear(rounded_input(input.float()), weight, self.bias)


def rounded_weight(weight: Tensor, per_channel: bool) -> Tensor:
    """Return weights (out, in) on the grid of signed int8, from -127 to 127 scales."""
    found = weight.detach().abs()
    largest = found.amax(1) if per_channel else found.amax()
    scale = (largest / _LARGEST).clamp(min=torch.finfo().tiny)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    if per_channel:
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -_LARGEST, _LARGEST)
    return torch.fake_quantize_per_tensor_affine(weight, scale, zero, -_LARGEST, _LARGEST)


def rounded_input(values: Tensor) -> Tensor:
    """Return activations on the grid of unsigned int8 that spans them all, zero included."""
    least, most = torch.aminmax(values.detach())
    least, most = least.clamp(max=0.0), most.clamp(min=0.0)
    scale = ((most - least) / _LEVELS).clamp(min=torch.finfo().tiny)
    zero = torch.round(-least / scale).clamp(0, _LEVELS).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, _LEVELS)


def prepare(model: nn.Module, per_channel: bool) -> None:
    """Have every linear layer of a model round from now on; its weights stay in fp32.

    The layers stay the same objects with the same names, so that checkpoints fit.
    """
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = FakeQuantLinear
            module.per_channel = per_channel  # type: ignore[assignment]
