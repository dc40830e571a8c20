"""Learning what a teacher computes inside, beside what it answers."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from stagetree.core.errors import ModelError
from stagetree.tasks.base import IGNORED
from stagetree.training import transfer_losses as losses
from stagetree.training.layer_map import matched_layers
from stagetree.training.projections import Projections
from stagetree.training.transfer_config import AttentionForm, TransferConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from stagetree.training.objectives import Objective

_NAME = "transfer_projections"
_ABSOLUTE = frozenset({"bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta"})
"""Families whose attention is the product of queries and keys and nothing else."""

Parts = Mapping[tuple[int, str], torch.Tensor]


class Transfer:
    """An objective and, weighted, the differences inside of teacher and student.

    The teacher computes beside the student at every step, in evaluation mode and in the step's
    numerics. Each row's differences are means over its tokens, over matched layers and heads, and
    sums over relations; they count as often as the row has labelled positions, so that cutting a
    batch into micro-batches changes nothing.

    Args:
        objective: What else is minimised.
        student: The model that will be trained.
        teacher: The model that teaches; it reads the same token ids.
        config: What is compared.
        seed: Seed of the learnt projections' first weights.

    Raises:
        ModelError: The two models cannot be compared as the config wants.
    """

    whole_rows = True

    def __init__(
        self,
        objective: Objective,
        student: PreTrainedModel,
        teacher: PreTrainedModel,
        config: TransferConfig,
        seed: int,
    ) -> None:
        self._objective = objective
        self._teacher = teacher.eval().requires_grad_(False)
        self._config = config
        self._pairs = matched_layers(
            config, student.config.num_hidden_layers, teacher.config.num_hidden_layers
        )
        self._hidden = bool(config.hidden or config.embedding)
        self._inputs = frozenset(inspect.signature(teacher.forward).parameters) - {"labels"}
        self._projections = _projections(config, student, teacher, seed)
        self._watch(student, teacher)

    @property
    def asks(self) -> Mapping[str, bool]:
        """See :class:`Objective`."""
        states = {"output_hidden_states": True} if self._hidden else {}
        return {**self._objective.asks, **states}

    @contextlib.contextmanager
    def joined(self, model: PreTrainedModel) -> Iterator[None]:
        """Let the learnt projections be part of ``model`` inside the block, and only there.

        So they are trained, clipped, saved in checkpoints and resumed with its own weights.
        """
        with contextlib.ExitStack() as stack:
            for watched in (self._ours, self._theirs):
                if watched is not None:
                    stack.enter_context(watched.watched())
            if len(self._projections):
                model.add_module(_NAME, self._projections)
                stack.callback(model.__delattr__, _NAME)
            yield

    def __call__(
        self, outputs: Any, labels: torch.Tensor, batch: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        """See :class:`Objective`."""
        loss = self._objective(outputs, labels, batch)
        mask = batch.get("attention_mask")
        real = torch.ones_like(batch["input_ids"]) if mask is None else mask
        taught = self._ask(batch)
        ours = self._ours.take() if self._ours else {}
        theirs = self._theirs.take() if self._theirs else {}
        with torch.autocast(labels.device.type, enabled=False):
            rows = self._states(outputs, taught, real.bool()) + self._attention(
                _floats(ours), _floats(theirs), real.bool()
            )
        weights = (labels.reshape(len(labels), -1) != IGNORED).sum(dim=1)
        return loss + (weights * rows).sum()

    def _watch(self, student: PreTrainedModel, teacher: PreTrainedModel) -> None:
        config = self._config
        self._ours: Projections | None = None
        self._theirs: Projections | None = None
        if not (config.attention or config.relation):
            return
        deep, top = student.config.num_hidden_layers, teacher.config.num_hidden_layers
        self._related = (deep, config.relation_layer or top)
        pairs = [*self._pairs] if config.attention else []
        pairs += [self._related] if config.relation else []
        if self._related[1] > top:
            raise ModelError(
                f"expected transfer.relation_layer of at most {top}, the teacher's layers, but "
                f"got {self._related[1]}"
            )
        self._ours = Projections(student, [ours for ours, _ in pairs])
        self._theirs = Projections(teacher, [theirs for _, theirs in pairs])
        self._heads = config.relation_heads or _heads(teacher, self._theirs, self._related[1])
        if config.relation:
            self._refuse_uneven()
        if config.attention:
            self._attention_heads = self._equal_heads(student, teacher)

    def _refuse_uneven(self) -> None:
        sides = zip(("student", "teacher"), (self._ours, self._theirs), self._related, strict=True)
        for side, watched, layer in sides:
            width = watched.width(layer, "query") if watched else 0
            if width % self._heads:
                raise ModelError(
                    f"expected transfer.relation_heads to divide the {side}'s width {width} but "
                    f"got {self._heads}; give a divisor of both models' widths"
                )

    def _equal_heads(self, student: PreTrainedModel, teacher: PreTrainedModel) -> dict[int, int]:
        """Return the number of heads of each student layer that is compared."""
        for model in (student, teacher):
            if model.config.model_type not in _ABSOLUTE:
                raise ModelError(
                    f"expected a model out of {sorted(_ABSOLUTE)} for transfer.attention but got "
                    f"{model.config.model_type!r}, whose positions enter its attention; use "
                    "transfer.relation"
                )
        found = {}
        for ours, theirs in self._pairs:
            heads = _heads(student, self._ours, ours), _heads(teacher, self._theirs, theirs)
            if heads[0] != heads[1]:
                raise ModelError(
                    f"expected equal numbers of heads for transfer.attention but layer {ours} of "
                    f"the student has {heads[0]} and layer {theirs} of the teacher {heads[1]}; use "
                    "transfer.relation, which needs no equal heads"
                )
            found[ours] = heads[0]
        return found

    def _ask(self, batch: Mapping[str, torch.Tensor]) -> Any:
        """Have the teacher compute, and return its hidden states."""
        device = batch["input_ids"].device
        inputs = {name: value for name, value in batch.items() if name in self._inputs}
        with torch.no_grad():
            outputs = self._teacher.to(device)(**inputs, output_hidden_states=self._hidden)
        return outputs.hidden_states

    def _states(self, outputs: Any, taught: Any, real: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(len(real), device=real.device)
        for name, weight, pairs in (
            ("hidden", self._config.hidden, self._pairs),
            ("embedding", self._config.embedding, [(0, 0)]),
        ):
            if not weight:
                continue
            learnt = self._projections[name] if name in self._projections else nn.Identity()
            for ours, theirs in pairs:
                difference = losses.hidden_difference(
                    learnt(outputs.hidden_states[ours].float()), taught[theirs].float(), real
                )
                total = total + weight / len(pairs) * difference
        return total

    def _attention(self, ours: Parts, theirs: Parts, real: torch.Tensor) -> torch.Tensor:
        total, config = torch.zeros(len(real), device=real.device), self._config
        if config.attention:
            for pair in self._pairs:
                heads = self._attention_heads[pair[0]]
                scores = [
                    losses.attention_scores(parts[layer, "query"], parts[layer, "key"], heads)
                    for parts, layer in zip((ours, theirs), pair, strict=True)
                ]
                if config.form is AttentionForm.probabilities:
                    scores = [losses.log_attention(score, real).exp() for score in scores]
                difference = losses.attention_difference(scores[0], scores[1], real)
                total = total + config.attention / len(self._pairs) * difference
        for relation in config.relations if config.relation else ():
            one, other = ("query", "key") if relation == "attention" else (relation, relation)
            scores = [
                losses.attention_scores(parts[layer, one], parts[layer, other], self._heads)
                for parts, layer in zip((ours, theirs), self._related, strict=True)
            ]
            divergence = losses.relation_divergence(scores[0], scores[1], real)
            total = total + config.relation * divergence
        return total


def _projections(
    config: TransferConfig, student: PreTrainedModel, teacher: PreTrainedModel, seed: int
) -> nn.ModuleDict:
    """Return linear maps from the student's width to the teacher's, where they differ."""
    ours, theirs = student.config.hidden_size, teacher.config.hidden_size
    learnt = nn.ModuleDict()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for name in ("hidden", "embedding"):
            if getattr(config, name) and ours != theirs:
                learnt[name] = nn.Linear(ours, theirs, bias=False)
    return learnt


def _heads(model: PreTrainedModel, parts: Projections | None, layer: int) -> int:
    config = model.config
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return parts.width(layer, "query") // size if parts else 0


def _floats(parts: Parts) -> dict[tuple[int, str], torch.Tensor]:
    return {key: value.float() for key, value in parts.items()}
