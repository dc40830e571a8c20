"""Taking whole layers, heads and feed-forward units out of a model by their importance."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from stagetree.core.errors import ModelError
from stagetree.models import structure
from stagetree.models.student import layer_count, select_layers, spread
from stagetree.training import importance, numerics
from stagetree.training.allocation import Allocation, Plan, largest_within, parameters
from stagetree.training.batches import Collate, Rows, ShuffledRows, lengths_of
from stagetree.training.encoded import encoded
from stagetree.training.objectives import CrossEntropy
from stagetree.training.pruning import ImportanceMeasure, LayerChoice, PruningConfig

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor
    from transformers import PreTrainedModel

    from stagetree.models.format import Manifest
    from stagetree.training.fit import StageSurroundings
    from stagetree.training.importance import Importance
    from stagetree.training.learner import Learner

_ROWS = 8
"""Rows a pass when importance is judged; a size of its own, for it may not depend on memory."""


def cut(
    learner: Learner,
    wanted: PruningConfig,
    context: StageSurroundings,
    source: Path,
    manifest: Manifest,
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Return a smaller model, and plain values that say what it kept.

    Layers go first; the importance of heads and feed-forward units is asked of what remains.

    Args:
        learner: The model to cut, which comes back spoilt.
        wanted: What is to be taken out.
        context: Data, seed and the stage's name.
        source: The directory that the model was read from.
        manifest: Its manifest.

    Raises:
        ModelError: The family is not supported, or a target cannot be met.
    """
    whole = model = learner.model
    scores = _Scores(learner, wanted, context)
    layers = _layers(model, wanted, scores, context.name)
    if len(layers) < layer_count(model):
        model = select_layers(model, layers)
    kept: dict[str, Any] = {"layers": layers}
    if any(share is not None for share in _shares(wanted)):
        spread_out = Allocation(scores(model), wanted.ffn_multiple, wanted.uniform)
        plan = _plan(whole, model, wanted, spread_out, context.name, (source, manifest))
        structure.keep(model, plan.heads, plan.units)
    if structure.supported(model):
        now = structure.structure_of(model)
        kept |= {"heads": list(now.heads), "ffn": list(now.units)}
        kept["parameters"] = round(parameters(model) / scores.parameters, 4)
    return model.eval(), kept


def _shares(wanted: PruningConfig) -> tuple[float | None, ...]:
    return wanted.heads, wanted.ffn, wanted.parameters, wanted.latency


class _Scores:
    """Importance of the parts of a model, as the config wants it judged."""

    def __init__(self, learner: Learner, wanted: PruningConfig, context: StageSurroundings) -> None:
        self._learner = learner
        self._wanted = wanted
        self._context = context
        model = learner.model
        self.parameters = parameters(model) if structure.supported(model) else 0

    def __call__(self, model: PreTrainedModel) -> Importance:
        if self._wanted.importance is ImportanceMeasure.magnitude:
            return importance.magnitude(model)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        objective = CrossEntropy()
        with numerics.apply("fp32"):
            found = importance.taylor(model.to(device), self._batches(), objective)
        model.to("cpu")
        return found

    def _batches(self) -> Iterator[Mapping[str, Tensor]]:
        learner, wanted, context = self._learner, self._wanted, self._context
        rows = encoded(
            context.corpus,
            "train",
            context.task,
            learner.tokenizer,
            learner.labels,
            wanted.max_length,
            context.cache,
        )
        order = iter(ShuffledRows(lengths_of(rows), wanted.batch_size, context.seed))
        collate, given = Collate(context.task.collator(learner.tokenizer)), Rows(rows)
        chosen = itertools.islice(order, wanted.batch_size * wanted.importance_batches)
        while part := list(itertools.islice(chosen, _ROWS)):
            yield collate(given.__getitems__(part))


def _layers(model: PreTrainedModel, wanted: PruningConfig, scores: _Scores, name: str) -> list[int]:
    """Return which layers stay."""
    total = layer_count(model)
    if wanted.keep_layers:
        return list(wanted.keep_layers)
    if wanted.layers is None:
        return list(range(total))
    count = wanted.layers if wanted.layers >= 1 else max(1, int(wanted.layers * total + 0.5))
    if count > total:
        raise ModelError(
            f"expected stages.{name}.layers of at most {total}, the layers of its input, "
            f"but got {count:g}"
        )
    if count == total or wanted.layer_choice is LayerChoice.even:
        return spread(total, int(count))
    order = (-scores(model).layers).argsort(kind="stable")
    return sorted(int(layer) for layer in order[: int(count)])


def _plan(
    whole: PreTrainedModel,
    model: PreTrainedModel,
    wanted: PruningConfig,
    spread_out: Allocation,
    name: str,
    stored: tuple[Path, Manifest],
) -> Plan:
    """Return what stays of ``model``, so that a target that is a share of ``whole`` is met."""
    if wanted.parameters is not None:
        before = parameters(whole)
        return largest_within(
            spread_out.plans(),
            lambda plan: parameters(model, plan.structure) / before,
            wanted.parameters,
            f"stages.{name}.parameters",
        )
    if wanted.latency is not None:
        base = _milliseconds(whole, stored)
        return largest_within(
            spread_out.plans(),
            lambda plan: _milliseconds(model, stored, plan) / base,
            wanted.latency,
            f"stages.{name}.latency",
        )
    return spread_out.plan(
        1.0 if wanted.heads is None else wanted.heads, 1.0 if wanted.ffn is None else wanted.ffn
    )


def _milliseconds(
    model: PreTrainedModel, stored: tuple[Path, Manifest], plan: Plan | None = None
) -> float:
    """Return the median time of one example on one CPU thread, of the sizes of a plan."""
    from stagetree.models.forms.huggingface import TorchRunner
    from stagetree.models.measure import measure

    sized = copy.deepcopy(model)
    if plan is not None:
        structure.shrink(sized, plan.structure)
    return measure(TorchRunner(sized, *stored, numerics="fp32", device="cpu"))["latency_ms"]
