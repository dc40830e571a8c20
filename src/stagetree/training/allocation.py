"""Which heads and feed-forward units stay, so that a target is met."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stagetree.core.errors import ModelError
from stagetree.models.structure import Structure, blocks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from stagetree.training.importance import Importance

_STEPS = 200
"""How finely a share is searched."""


@dataclass(frozen=True)
class Plan:
    """What stays.

    Attributes:
        heads: For each layer the places of its heads.
        units: For each layer the places of its feed-forward units.
    """

    heads: Sequence[Sequence[int]]
    units: Sequence[Sequence[int]]

    @property
    def structure(self) -> Structure:
        """The sizes of the layers that it leaves."""
        return Structure(tuple(map(len, self.heads)), tuple(map(len, self.units)))


@dataclass(frozen=True)
class Allocation:
    """How what stays is spread over the layers.

    Attributes:
        importance: Scores of all parts.
        multiple: Feed-forward units stay in groups of so many, the best with the best.
        uniform: Every layer keeps the same share; else the best of all layers stay, each layer's
            scores divided by their norm (as Molchanov et al. do, arXiv 1611.06440).
    """

    importance: Importance
    multiple: int = 8
    uniform: bool = False

    def plan(self, heads: float, units: float) -> Plan:
        """Return what stays of all heads and units when these shares do, to the nearest."""
        return Plan(
            allocate(self.importance.heads, heads, 1, self.uniform),
            allocate(self.importance.units, units, self.multiple, self.uniform),
        )

    def plans(self) -> list[Plan]:
        """Return plans for equal shares of heads and units, from all of them to the fewest."""
        found: list[Plan] = []
        for step in range(_STEPS, -1, -1):
            plan = self.plan(step / _STEPS, step / _STEPS)
            if not found or plan.structure != found[-1].structure:
                found.append(plan)
        return found


def allocate(
    scores: Sequence[np.ndarray], share: float, multiple: int, uniform: bool
) -> list[list[int]]:
    """Return for each layer the places of the parts that stay, rising.

    Args:
        scores: For each layer one score a part.
        share: Share of the parts that stay, to the nearest group; every layer keeps one group.
        multiple: Size of a group; a layer's last group may be smaller.
        uniform: Take the share from every layer instead of from all together.

    >>> import numpy as np
    >>> scores = [np.array([4.0, 3.0, 0.1, 0.2]), np.array([1.0, 1.1, 0.9, 0.8])]
    >>> allocate(scores, 0.5, 1, uniform=True)
    [[0, 1], [0, 1]]
    >>> allocate(scores, 0.75, 1, uniform=False)
    [[0, 1], [0, 1, 2, 3]]
    """
    orders = [np.argsort(-layer, kind="stable") for layer in scores]
    groups = [
        [order[start : start + multiple] for start in range(0, len(order), multiple)]
        for order in orders
    ]
    if uniform:
        counts = [max(1, _nearest(share * len(layer))) for layer in groups]
    else:
        counts = _best(scores, groups, share)
    return [
        sorted(int(place) for group in layer[:count] for place in group)
        for layer, count in zip(groups, counts, strict=True)
    ]


def _best(
    scores: Sequence[np.ndarray], groups: Sequence[Sequence[np.ndarray]], share: float
) -> list[int]:
    """Return how many groups each layer keeps when the best of all stay."""
    ranked = []
    for layer, (values, members) in enumerate(zip(scores, groups, strict=True)):
        norm = float(np.linalg.norm(values)) or 1.0
        ranked += [
            (-float(values[group].mean()) / norm, layer) for group in members[1:]
        ]  # the first of each layer stays anyway
    total = max(len(groups), _nearest(share * sum(map(len, groups))))
    counts = [1] * len(groups)
    for _, layer in sorted(ranked)[: total - len(groups)]:
        counts[layer] += 1
    return counts


def _nearest(value: float) -> int:
    return int(value + 0.5)


def parameters(model: PreTrainedModel, structure: Structure | None = None) -> int:
    """Return how many weights the layers of a model have, or would have with other sizes."""
    count = 0
    for place, block in enumerate(blocks(model)):
        count += sum(weight.numel() for weight in block.layer.parameters())
        if structure is not None:
            heads = block.heads - structure.heads[place]
            units = block.units - structure.units[place]
            rows = sum(layer.weight.shape[1] + _biases(layer) for layer in block.inputs)
            count -= heads * block.head_size * (rows + block.output.weight.shape[0])
            up = block.up.weight.shape[1] + _biases(block.up)
            count -= units * (up + block.down.weight.shape[0])
    return count


def _biases(layer: object) -> int:
    return 0 if getattr(layer, "bias", None) is None else 1


def largest_within(
    plans: Sequence[Plan], cost: Callable[[Plan], float], target: float, what: str
) -> Plan:
    """Return the first plan that costs no more than a target, by bisection.

    Args:
        plans: Plans of falling cost.
        cost: What a plan costs, as a share of what the whole model does.
        target: The largest share allowed.
        what: What is counted, for the error.

    Raises:
        ModelError: Even the last plan costs more.
    """
    least = cost(plans[-1])
    if least > target:
        raise ModelError(
            f"{what}={target:g} cannot be met by taking out heads and feed-forward units: the "
            f"least that can be reached is {least:.3f}; raise it, or take out whole layers too"
        )
    low, high = 0, len(plans) - 1  # plans[high] is known to be within
    while low < high:
        middle = (low + high) // 2
        if cost(plans[middle]) <= target:
            high = middle
        else:
            low = middle + 1
    return plans[high]
