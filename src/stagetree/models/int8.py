"""PyTorch models whose matrices and tables are int8, as plain named tensors and back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
import transformers
from torch import nn
from torch.ao.nn.quantized import dynamic

from stagetree.core.errors import ModelError
from stagetree.models.blank import blank
from stagetree.models.checkpoint import unreadable
from stagetree.models.quiet import quiet

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from stagetree.models.format import Manifest

_SCALE = "weight_scale"
_LARGEST = 127


class Int8Embedding(nn.Module):
    """An embedding table of signed bytes; what is looked up has the type of the scales.

    Args:
        weight: int8, (rows, dimensions).
        scale: (rows, 1), or (1, 1) for the whole table.
    """

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer(_SCALE, scale)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the rows of ``ids``: (..., dimensions)."""
        weight, scale = self.get_buffer("weight"), self.get_buffer(_SCALE)
        return weight[ids].to(scale.dtype) * (scale[ids] if len(scale) > 1 else scale)


def small_tables(model: PreTrainedModel, per_channel: bool) -> None:
    """Replace every embedding table of a model by one of signed bytes.

    Args:
        model: The model; changed in place.
        per_channel: Give every row its own scale.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Embedding):
            weight = module.weight.detach()
            largest = weight.abs().amax(1, keepdim=True) if per_channel else weight.abs().amax()
            scale = (largest.reshape(-1, 1) / _LARGEST).clamp(min=torch.finfo().tiny)
            whole = torch.round(weight / scale).to(torch.int8)
            model.set_submodule(name, Int8Embedding(whole, scale))


def dynamic_int8(
    model: PreTrainedModel, per_channel: bool, embeddings: bool
) -> dict[str, torch.Tensor]:
    """Return a model quantised for PyTorch's dynamic int8 kernels, as named tensors.

    Args:
        model: The fp32 model; it stays as it is.
        per_channel: Give every output channel, and every row of a table, its own scale.
        embeddings: Quantise the embedding tables too.
    """
    from torch.ao.quantization import (
        default_dynamic_qconfig,
        per_channel_dynamic_qconfig,
        quantize_dynamic,
    )

    small = copy.deepcopy(model)
    chosen = per_channel_dynamic_qconfig if per_channel else default_dynamic_qconfig
    if embeddings:
        small_tables(small, per_channel)
    with quiet():  # it says that it is deprecated
        quantize_dynamic(small, {nn.Linear: chosen}, inplace=True)  # type: ignore[no-untyped-call]
    linear = {
        name: module for name, module in small.named_modules() if isinstance(module, dynamic.Linear)
    }
    tensors = {
        key: value.detach().clone().contiguous()
        for key, value in small.state_dict().items()
        if isinstance(value, torch.Tensor) and _module_of(key) not in linear
    }
    for name, module in linear.items():
        weight, bias = module._weight_bias()  # type: ignore[no-untyped-call]
        tensors[f"{name}.weight"] = weight.int_repr()
        tensors[f"{name}.{_SCALE}"] = (
            weight.q_per_channel_scales() if per_channel else torch.tensor([weight.q_scale()])
        ).double()
        if bias is not None:
            tensors[f"{name}.bias"] = bias.detach().clone()
    return tensors


def skeleton(directory: Path, manifest: Manifest) -> PreTrainedModel:
    """Return a model of a directory's architecture, whose weights mean nothing yet."""
    with quiet():
        settings = transformers.AutoConfig.from_pretrained(directory)
        loader: Any = getattr(transformers, manifest.auto_class)
        make = loader.from_config if hasattr(loader, "from_config") else loader._from_config
        model = blank(make, settings)
    return model.eval()


def restored(
    directory: Path,
    manifest: Manifest,
    read: Callable[[], Mapping[str, torch.Tensor]],
    hushed: Callable[[], AbstractContextManager[None]] = quiet,
) -> PreTrainedModel:
    """Return a stored model of tensors that are int8 or smaller.

    Args:
        directory: The model directory.
        manifest: Its manifest.
        read: Returns the tensors.
        hushed: Gives the context in which what libraries say is not heard.

    Raises:
        ModelError: The directory cannot be read as one.
    """
    try:
        model = skeleton(directory, manifest)
        with hushed():
            fill(model, read())
    except Exception as error:
        raise unreadable(str(directory), error) from error
    return model


def fill(model: PreTrainedModel, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give a model the tensors of a stored one, whose layers may be of another shape.

    Raises:
        ModelError: A weight of the model is not among the tensors.
    """
    missing = sorted(set(model.state_dict()) - set(tensors))
    missing = [key for key in missing if f"{_module_of(key)}.{_SCALE}" not in tensors]
    if missing:
        raise ModelError(f"expected weights for {missing[:3]} but the file has none")
    for name, module in list(model.named_modules()):
        if f"{name}.{_SCALE}" in tensors:
            model.set_submodule(name, _small(module, name, tensors))
    small = {name for name, module in model.named_modules() if _is_small(module)}
    for key, value in tensors.items():
        holder, leaf = _module_of(key), key.rpartition(".")[2]
        if holder in small:
            continue
        module = model.get_submodule(holder)
        if leaf in module._buffers:
            module._buffers[leaf] = value
        else:
            setattr(module, leaf, nn.Parameter(value, requires_grad=False))


def _is_small(module: nn.Module) -> bool:
    return isinstance(module, Int8Embedding | dynamic.Linear)


def _small(module: nn.Module, name: str, tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    weight, scale = tensors[f"{name}.weight"], tensors[f"{name}.{_SCALE}"]
    if isinstance(module, nn.Embedding):
        return Int8Embedding(weight, scale)
    rows, columns = weight.shape
    linear = dynamic.Linear(columns, rows, dtype=torch.qint8)  # type: ignore[no-untyped-call]
    if len(scale) == 1:
        packed = torch._make_per_tensor_quantized_tensor(weight, scale.item(), 0)
    else:
        zero = torch.zeros(rows, dtype=torch.int64)
        packed = torch._make_per_channel_quantized_tensor(weight, scale, zero, 0)
    linear.set_weight_bias(packed, tensors.get(f"{name}.bias"))
    return linear


def _module_of(key: str) -> str:
    """Return the module a name in a state dict belongs to, its packed parameters included."""
    holder, packed, _ = key.partition("._packed_params")
    return holder if packed else key.rpartition(".")[0]
