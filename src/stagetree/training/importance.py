"""How much each head, feed-forward unit and layer of a model matters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from stagetree.models.structure import Block, blocks

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from stagetree.training.objectives import Objective


@dataclass(frozen=True)
class Importance:
    """Scores, higher for what matters more; comparable within a kind of part.

    Attributes:
        heads: For each layer one score a head.
        units: For each layer one score a feed-forward unit.
        layers: One score a layer.
    """

    heads: Sequence[np.ndarray]
    units: Sequence[np.ndarray]
    layers: np.ndarray


def magnitude(model: PreTrainedModel) -> Importance:
    """Return the Euclidean norm of the weights of each part.

    Raises:
        ModelError: The family is not supported.
    """
    found = blocks(model)
    with torch.no_grad():
        return Importance(
            [_head_energy(block).sqrt().cpu().numpy() for block in found],
            [_unit_energy(block).sqrt().cpu().numpy() for block in found],
            torch.stack([(_head_energy(b).sum() + _unit_energy(b).sum()).sqrt() for b in found])
            .cpu()
            .numpy(),
        )


def taylor(
    model: PreTrainedModel, batches: Iterable[Mapping[str, Tensor]], objective: Objective
) -> Importance:
    """Return how much the loss would change, to first order, if each part gave nothing.

    For one example that is the absolute sum of activation times gradient over the positions of a
    head or a feed-forward unit, and for a layer over what it adds to its input; examples are
    summed (Michel et al. 2019, "Are Sixteen Heads Really Better than One?", arXiv 1905.10650;
    Molchanov et al. 2019, arXiv 1906.10771). The model is asked in evaluation mode and comes
    back with its weights, mode and gradients as they were.

    Args:
        model: The model; it is asked where it lies.
        batches: Padded batches with ``labels``.
        objective: The loss.

    Raises:
        ModelError: The family is not supported.
    """
    tallies = [_Tally(block) for block in blocks(model)]
    handles = [handle for tally in tallies for handle in tally.listen()]
    training, weights = model.training, list(model.parameters())
    model.eval()
    try:
        for batch in batches:
            placed = {name: value.to(model.device) for name, value in batch.items()}
            labels = placed.pop("labels")
            with torch.enable_grad():
                loss = objective(model(**placed, **objective.asks), labels, placed)
            torch.autograd.grad(loss, weights, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
        model.train(training)
    return Importance(
        [tally.heads.cpu().numpy() for tally in tallies],
        [tally.units.cpu().numpy() for tally in tallies],
        torch.stack([tally.layer for tally in tallies]).cpu().numpy(),
    )


class _Tally:
    """The scores of one layer while examples go through it."""

    def __init__(self, block: Block) -> None:
        self._block = block
        device = block.output.weight.device
        self.heads = torch.zeros(block.heads, dtype=torch.float64, device=device)
        self.units = torch.zeros(block.units, dtype=torch.float64, device=device)
        self.layer = torch.zeros((), dtype=torch.float64, device=device)

    def listen(self) -> list[Any]:
        """Start to hear of activations and gradients; returns what ends it."""
        block: Any = self._block
        return [
            block.output.register_forward_pre_hook(self._heads),
            block.down.register_forward_pre_hook(self._units),
            block.layer.register_forward_hook(self._layer, with_kwargs=True),
        ]

    def _heads(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        def add(products: Tensor) -> None:
            by_head = products.sum(1).view(len(products), self._block.heads, -1).sum(-1)
            self.heads += by_head.abs().sum(0)

        _on_gradient(inputs[0], inputs[0], add)

    def _units(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        def add(products: Tensor) -> None:
            self.units += products.sum(1).abs().sum(0)

        _on_gradient(inputs[0], inputs[0], add)

    def _layer(self, module: nn.Module, inputs: Any, options: Any, output: Any) -> None:
        def add(products: Tensor) -> None:
            self.layer += products.sum((1, 2)).abs().sum()

        after = output[0] if isinstance(output, tuple) else output
        before = inputs[0] if inputs else options["hidden_states"]
        _on_gradient(after, after - before, add)


def _on_gradient(of: Any, factor: Tensor, add: Callable[[Tensor], None]) -> None:
    """Call ``add`` with ``factor`` times the gradient of ``of``, in the backward pass."""
    fixed = factor.detach()

    def hear(gradient: Tensor) -> None:
        add((fixed * gradient).double())

    of.register_hook(hear)


def _head_energy(block: Block) -> Tensor:
    """Return the sum of squares of each head's weights."""
    energy: Tensor = block.output.weight.double().square().sum(0)
    for layer in block.inputs:
        energy = energy + layer.weight.double().square().sum(1)
    return energy.view(block.heads, -1).sum(dim=-1)


def _unit_energy(block: Block) -> Tensor:
    """Return the sum of squares of each feed-forward unit's weights."""
    energy: Tensor = block.up.weight.double().square().sum(1)
    energy += block.down.weight.double().square().sum(0)
    return energy
