"""What can be said in a configuration about transfer from inside a teacher."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from stagetree.core.errors import Fault, unknown

RELATIONS = ("query", "key", "value", "attention")
"""What MiniLM relates: projections with themselves, or queries with keys."""

_WEIGHTS = ("hidden", "embedding", "attention", "relation")


class LayerMap(Enum):
    """Which teacher layer a student layer is compared with.

    Attributes:
        uniform: Layer m of M with layer ``m * N / M`` (rounded) of N, as TinyBERT does.
        last: The student's layers with as many top layers of the teacher.
    """

    uniform = "uniform"
    last = "last"


class AttentionForm(Enum):
    """What of the attention is compared: scores before the softmax, or probabilities."""

    scores = "scores"
    probabilities = "probabilities"


@dataclass
class TransferConfig:
    """Losses between what teacher and student compute inside; all weights 0 turn them off.

    Attributes:
        hidden: Weight of the mean squared difference of hidden states of matched layers
            (TinyBERT: Jiao et al. 2020, arXiv 1909.10351); a projection is learnt where widths
            differ.
        embedding: Weight of the same for the embeddings' output.
        attention: Weight of the mean squared difference of matched layers' attention (TinyBERT);
            numbers of heads must be equal.
        relation: Weight of the divergence of self-attention relations of the student's last layer
            (MiniLM: Wang et al. 2020, arXiv 2002.10957; MiniLMv2: 2021, arXiv 2012.15828).
        layers: Which teacher layer a student layer is compared with.
        pairs: Instead of ``layers``: for each student layer, from the lowest, the teacher's layer,
            counted from 1; 0 leaves the student's layer out.
        form: What of the attention is compared.
        relations: What is related: ``query``, ``key`` and ``value`` as MiniLMv2, ``attention``
            and ``value`` as MiniLM.
        relation_heads: Into how many heads it is divided; 0 is the teacher's number.
        relation_layer: The teacher's layer for relations, counted from 1; 0 is the last.
    """

    hidden: float = 0.0
    embedding: float = 0.0
    attention: float = 0.0
    relation: float = 0.0
    layers: LayerMap = LayerMap.uniform
    pairs: list[int] = field(default_factory=list)
    form: AttentionForm = AttentionForm.scores
    relations: list[str] = field(default_factory=lambda: ["query", "key", "value"])
    relation_heads: int = 0
    relation_layer: int = 0

    @property
    def on(self) -> bool:
        """Whether there is anything to transfer."""
        return any(getattr(self, name) for name in _WEIGHTS)


def faults(config: TransferConfig) -> Iterator[Fault]:
    """Yield what is wrong beyond types; paths relative to the config."""
    for name in (*_WEIGHTS, "relation_heads", "relation_layer"):
        value = getattr(config, name)
        if value < 0:
            yield Fault(name, f"expected a number of at least 0 but got {value}")
    if any(layer < 0 for layer in config.pairs):
        yield Fault(
            "pairs", f"expected layer numbers from 1, or 0 for none, but got {list(config.pairs)}"
        )
    elif config.pairs and not any(config.pairs):
        yield Fault("pairs", "expected at least one layer above 0 but got only zeros")
    for name in config.relations:
        if name not in RELATIONS:
            yield Fault("relations", unknown("relation", name, RELATIONS))
    if not config.relations:
        yield Fault("relations", f"expected some of {', '.join(RELATIONS)} but got none")
