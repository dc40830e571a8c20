"""What can be said about an adapter in a configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class AdapterMethod(Enum):
    """How few weights stand in for all of them.

    ``lora``, ``dora``, ``adalora`` and ``ia3`` change weights and are merged into them at the end
    of the stage; ``prefix`` and ``prompt`` add positions to attend to, and stay apart.
    """

    none = "none"
    lora = "lora"
    dora = "dora"
    adalora = "adalora"
    ia3 = "ia3"
    prefix = "prefix"
    prompt = "prompt"


class AdapterTargets(Enum):
    """Which linear maps of the layers are adapted."""

    all_linear = "all_linear"
    attention = "attention"


STAYS_APART = frozenset({AdapterMethod.prefix, AdapterMethod.prompt})
"""Methods that no weight of the model can express."""

WHY_FINAL = (
    "virtual tokens cannot be merged into weights, so that the model cannot be trained further, "
    "pruned or quantised: distil it first"
)
"""Why a model with such an adapter stays as it is."""


@dataclass
class AdapterConfig:
    """An adapter: the encoder is frozen, the adapter and the head train.

    Attributes:
        method: How; ``none`` trains the whole model.
        rank: Rank of ``lora``, ``dora`` and, on average at the end, ``adalora``.
        alpha: The low-rank update counts ``alpha / rank`` times.
        dropout: Share of a low-rank update's inputs that is dropped.
        targets: Which linear maps ``lora``, ``dora``, ``adalora`` and ``ia3`` adapt.
        modules: Their names, or ends of them, instead of ``targets``: ``[query, value]``.
        virtual_tokens: Positions that ``prefix`` and ``prompt`` add.
    """

    method: AdapterMethod = AdapterMethod.none
    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: AdapterTargets = AdapterTargets.all_linear
    modules: list[str] = field(default_factory=list)
    virtual_tokens: int = 20

    @property
    def active(self) -> bool:
        """Whether there is an adapter."""
        return self.method is not AdapterMethod.none

    @property
    def stays_apart(self) -> bool:
        """Whether there is one that cannot be merged into the model's weights."""
        return self.method in STAYS_APART
