"""What can be said about an adapter in a configuration."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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

    def settled(self) -> AdapterConfig:
        """Return it with every option that its method does not read at the default.

        Configs that differ only there are equal then, and so are their results.
        """
        default = AdapterConfig()
        return replace(self, **{name: getattr(default, name) for name in _UNREAD[self.method]})

    @property
    def active(self) -> bool:
        """Whether there is an adapter."""
        return self.method is not AdapterMethod.none

    @property
    def stays_apart(self) -> bool:
        """Whether there is one that cannot be merged into the model's weights."""
        return self.method in STAYS_APART


_LOW_RANK = ("rank", "alpha", "dropout")
_PLACES = ("targets", "modules")
_TOKENS = ("virtual_tokens",)
_UNREAD = {
    AdapterMethod.none: (*_LOW_RANK, *_PLACES, *_TOKENS),
    AdapterMethod.lora: _TOKENS,
    AdapterMethod.dora: _TOKENS,
    AdapterMethod.adalora: _TOKENS,
    AdapterMethod.ia3: (*_LOW_RANK, *_TOKENS),
    AdapterMethod.prefix: (*_LOW_RANK, *_PLACES),
    AdapterMethod.prompt: (*_LOW_RANK, *_PLACES),
}
