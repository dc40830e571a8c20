"""How many attention heads and feed-forward units each layer has, and taking some of them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import ModelError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

FILE = "structure.json"
"""Name of the file that says it in a model directory of form ``pruned``."""


@dataclass(frozen=True)
class Structure:
    """The sizes of every layer, from the bottom.

    Attributes:
        heads: Attention heads.
        units: Feed-forward units.
    """

    heads: tuple[int, ...]
    units: tuple[int, ...]

    def only(self, layers: Sequence[int]) -> Structure:
        """Return the sizes of some of the layers."""
        return Structure(
            tuple(self.heads[layer] for layer in layers),
            tuple(self.units[layer] for layer in layers),
        )


@dataclass(frozen=True)
class _Family:
    """Where a family keeps its parts.

    Attributes:
        layers: The stack of layers in the base model.
        inputs: The projections whose outputs are heads, in a layer.
        output: The projection whose inputs are heads.
        up: The projection whose outputs are feed-forward units.
        down: The projection whose inputs are feed-forward units.
        width: What the config calls the number of feed-forward units.
    """

    layers: str
    inputs: tuple[str, ...]
    output: str
    up: str
    down: str
    width: str


_BERT = _Family(
    "encoder.layer",
    ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
    "intermediate_size",
)
_DISTILBERT = _Family(
    "transformer.layer",
    ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    "attention.out_lin",
    "ffn.lin1",
    "ffn.lin2",
    "hidden_dim",
)
_FAMILIES = {
    "bert": _BERT,
    "camembert": _BERT,
    "distilbert": _DISTILBERT,
    "electra": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
}


@dataclass(frozen=True)
class Block:
    """The parts of one layer.

    Attributes:
        layer: The layer.
        inputs: Linear layers whose outputs are heads.
        output: Linear layer whose inputs are heads.
        up: Linear layer whose outputs are feed-forward units.
        down: Linear layer whose inputs are feed-forward units.
        head_size: Width of a head.
    """

    layer: nn.Module
    inputs: tuple[Any, ...]
    output: Any
    up: Any
    down: Any
    head_size: int

    @property
    def heads(self) -> int:
        """How many heads it has."""
        return int(self.output.in_features) // self.head_size

    @property
    def units(self) -> int:
        """How many feed-forward units it has."""
        return int(self.down.in_features)

    @property
    def linears(self) -> tuple[Any, ...]:
        """All its weight matrices."""
        return (*self.inputs, self.output, self.up, self.down)


def supported(model: PreTrainedModel) -> bool:
    """Tell whether heads and feed-forward units of this family can be taken out."""
    decoder = getattr(model.config, "is_decoder", False)
    return model.config.model_type in _FAMILIES and not decoder


def blocks(model: PreTrainedModel) -> list[Block]:
    """Return the parts of every layer, from the bottom.

    Raises:
        ModelError: The family is not supported.
    """
    family = _family(model)
    head_size = model.config.hidden_size // model.config.num_attention_heads
    return [
        Block(
            layer,
            tuple(layer.get_submodule(name) for name in family.inputs),
            layer.get_submodule(family.output),
            layer.get_submodule(family.up),
            layer.get_submodule(family.down),
            head_size,
        )
        for layer in model.base_model.get_submodule(family.layers)
    ]


def structure_of(model: PreTrainedModel) -> Structure:
    """Return the sizes of a model's layers.

    Raises:
        ModelError: The family is not supported.
    """
    found = blocks(model)
    return Structure(tuple(block.heads for block in found), tuple(block.units for block in found))


def irregular(model: PreTrainedModel) -> bool:
    """Tell whether layers have other sizes than the config says, so that it cannot rebuild them."""
    if not supported(model):
        return False
    found, config = structure_of(model), model.config
    width = getattr(config, _family(model).width)
    return set(found.heads) != {config.num_attention_heads} or set(found.units) != {width}


def keep(
    model: PreTrainedModel, heads: Sequence[Sequence[int]], units: Sequence[Sequence[int]]
) -> None:
    """Take all heads and feed-forward units out of a model, in place, but these.

    What remains computes what the whole model would with the others' outputs set to zero. Where
    all layers end with equally many feed-forward units the config says so. The random state
    stays as it is.

    Args:
        model: The model.
        heads: For each layer the places of the heads to keep, rising; at least one.
        units: For each layer the places of the feed-forward units to keep, rising; at least one.

    Raises:
        ModelError: The family is not supported.
    """
    import torch

    family = _family(model)
    with torch.random.fork_rng(devices=[]):
        for block, kept_heads, kept_units in zip(blocks(model), heads, units, strict=True):
            if len(kept_heads) < block.heads:
                _keep_heads(block, family, kept_heads)
            if len(kept_units) < block.units:
                _keep_units(block, family, kept_units)
    widths = set(structure_of(model).units)
    if len(widths) == 1:
        setattr(model.config, family.width, widths.pop())


def shrink(model: PreTrainedModel, structure: Structure) -> None:
    """Give a model's layers these sizes, in place; which weights remain does not matter.

    Raises:
        ModelError: The family is not supported, or a layer is smaller already.
    """
    now = structure_of(model)
    fits = len(now.heads) == len(structure.heads) == len(structure.units)
    if not fits or any(
        not 1 <= wanted <= size
        for wanted, size in zip(
            (*structure.heads, *structure.units), (*now.heads, *now.units), strict=True
        )
    ):
        raise ModelError(f"expected layers of at most {now} but got {structure}")
    keep(model, [range(n) for n in structure.heads], [range(n) for n in structure.units])


def _family(model: PreTrainedModel) -> _Family:
    if not supported(model):
        raise ModelError(
            f"expected a model of one of the families {', '.join(_FAMILIES)}, whose heads and "
            f"feed-forward units can be taken out, but got {model.config.model_type!r}"
        )
    return _FAMILIES[model.config.model_type]


def _keep_heads(block: Block, family: _Family, heads: Sequence[int]) -> None:
    import torch

    size = block.head_size
    index = torch.tensor([head * size + place for head in heads for place in range(size)])
    for name in family.inputs:
        _slice(block, name, index, 0)
    _slice(block, family.output, index, 1)


def _keep_units(block: Block, family: _Family, units: Sequence[int]) -> None:
    import torch

    index = torch.tensor(list(units))
    _slice(block, family.up, index, 0)
    _slice(block, family.down, index, 1)


def _slice(block: Block, name: str, index: Any, dim: int) -> None:
    import torch
    from transformers.pytorch_utils import prune_linear_layer

    with torch.no_grad():
        sliced = prune_linear_layer(block.layer.get_submodule(name), index, dim)
    block.layer.set_submodule(name, sliced.train(block.layer.training))
