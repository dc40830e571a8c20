"""A model shared out among the processes that train it, layer by layer.

Fully sharded data parallelism (Zhao et al. 2023, "PyTorch FSDP", arXiv 2304.11277) as PyTorch's
``fully_shard`` does it: each process holds its part of every weight, gradient and optimiser state,
and a layer's weights are whole only while it computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from stagetree.training import ranks
from stagetree.training.freezing import encoder_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def shard(model: PreTrainedModel, device: torch.device) -> None:
    """Leave this process its part of the model, on ``device``; every process must call it."""
    mesh = init_device_mesh(device.type, (ranks.count(),))
    for layer in encoder_layers(model):
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor with the parts of all processes, who must all call it, if it has parts."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return a whole tensor shared out as ``other`` is, if that is and has its shape."""
    if not isinstance(other, DTensor) or tensor.shape != other.shape:
        return tensor
    return distribute_tensor(tensor, other.device_mesh, other.placements)


def gathered(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the whole weights and buffers by name, tied ones once; every process must call it."""
    names = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    once = {name for name, _ in model.named_parameters()}
    state: dict[str, Any] = model.state_dict()
    return {
        name: whole(value).cpu().contiguous()
        for name, value in state.items()
        if name in once or name not in names
    }
