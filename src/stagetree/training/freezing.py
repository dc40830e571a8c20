"""Which parameters train when, and how fast: gradual unfreezing, layer-wise learning rates.

Both are after Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text
Classification" (arXiv 1801.06146).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from stagetree.training.config import Phase

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ALL = -1
"""``Phase.layers`` that trains every layer and the embeddings."""


def encoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """Return the model's stack of layers: the largest module list of its base model.

    Raises:
        ValueError: The model has no list of layers.
    """
    lists = [module for module in model.base_model.modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        raise ValueError(f"expected a model with a list of layers but got {type(model).__name__}")
    return max(lists, key=lambda layers: sum(weight.numel() for weight in layers.parameters()))


def depths(model: PreTrainedModel) -> list[int]:
    """Return for each parameter of ``model.parameters()`` how deep it lies below the head.

    The head, and what else comes after the layers (poolers, final norms), is 0; the top layer
    is 1; the embeddings, and what else comes before the layers, are one deeper than the lowest
    layer.
    """
    layers = encoder_layers(model)
    of_layer = {
        id(weight): len(layers) - index
        for index, layer in enumerate(layers)
        for weight in layer.parameters()
    }
    base = [id(weight) for weight in model.base_model.parameters()]
    first = next(place for place, key in enumerate(base) if key in of_layer)
    before = set(base[:first])
    bottom = len(layers) + 1
    return [
        of_layer.get(id(weight), bottom if id(weight) in before else 0)
        for weight in model.parameters()
    ]


def parameter_groups(
    model: PreTrainedModel,
    learning_rate: float,
    layer_decay: float,
    weight_decay: float,
    frozen: bool = True,
) -> list[dict[str, Any]]:
    """Return optimiser groups over parameters, by default over the frozen ones too.

    The head and the top layer get ``learning_rate``, each layer below ``layer_decay`` times that
    of the layer above it, the embeddings the least. Vectors (biases, norms) are not decayed.
    Without ``frozen``, only parameters that have gradients now are in it.
    """
    members: dict[tuple[int, bool], list[nn.Parameter]] = defaultdict(list)
    for weight, depth in zip(model.parameters(), depths(model), strict=True):
        if not (frozen or weight.requires_grad):
            continue
        below_top = max(0, depth - 1) if layer_decay != 1.0 else 0
        members[below_top, weight.ndim >= 2].append(weight)
    return [
        {
            "params": weights,
            "lr": learning_rate * layer_decay**below_top,
            "weight_decay": weight_decay if decayed else 0.0,
        }
        for (below_top, decayed), weights in sorted(members.items())
    ]


class Unfreezer:
    """Lets through the gradients of the parameters whose phase it is.

    A frozen parameter has no gradient at all, so that an optimiser over all parameters neither
    moves nor decays it and keeps no momentum for it.
    """

    def __init__(self, model: PreTrainedModel, phases: Sequence[Phase], total_steps: int) -> None:
        self._weights = list(zip(model.parameters(), depths(model), strict=True))
        self._ends = [(round(phase.until * total_steps), phase) for phase in phases]
        self._layers: int | None = None

    def before_step(self, step: int) -> Phase:
        """Freeze and unfreeze for the optimiser step after the first ``step`` ones.

        Returns:
            The phase of that step.
        """
        phase = next((phase for end, phase in self._ends if step < end), Phase())
        if phase.layers != self._layers:
            self._layers = phase.layers
            for weight, depth in self._weights:
                weight.requires_grad_(phase.layers == ALL or depth <= phase.layers)
                weight.grad = None
        return phase
