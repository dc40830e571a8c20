"""Losses against gold labels, and how much each label weighs in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from stagetree.core.errors import ConfigError, Fault, unknown
from stagetree.tasks.base import IGNORED
from stagetree.training.config import GoldLoss, LossConfig

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor

_T = TypeVar("_T")


def gold_loss(
    logits: Tensor,
    labels: Tensor,
    label_smoothing: float = 0.0,
    gamma: float = 0.0,
    class_weights: Sequence[float] = (),
) -> Tensor:
    """Return ``sum_i w[y_i] (1 - p_i)^gamma (-log p_i)``, ``p_i`` the gold label's probability.

    With ``gamma`` above 0 this is focal loss (Lin et al. 2017, "Focal Loss for Dense Object
    Detection", arXiv 1708.02002), which is not smoothed; with 0 it is cross entropy.

    Args:
        logits: Shape (positions, labels).
        labels: Shape (positions,), ``IGNORED`` where nothing is learnt.
        label_smoothing: Share of the target spread over all labels; for ``gamma=0`` only.
        gamma: Focus on hard examples.
        class_weights: A weight for every label; empty weighs all alike.
    """
    from torch.nn import functional

    weight = logits.new_tensor(class_weights) if class_weights else None
    if not gamma:
        return functional.cross_entropy(
            logits,
            labels,
            weight,
            ignore_index=IGNORED,
            reduction="sum",
            label_smoothing=label_smoothing,
        )
    surprise = functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="none")
    # expm1 keeps 1 - p above 0 where p rounds to 1, and its gradient finite.
    focus = (-(-surprise).expm1()).clamp(min=_TINY) ** gamma
    if weight is not None:
        focus = focus * weight[labels.clamp(min=0)]
    return (focus * surprise).sum()


_TINY = 1e-30


def focus(loss: LossConfig) -> float:
    """Return the exponent of focal loss; 0 for cross entropy."""
    return loss.gamma if loss.kind is GoldLoss.focal else 0.0


def weighted(objective: _T, loss: LossConfig, rows: Dataset, labels: Sequence[str]) -> _T:
    """Return ``objective`` with the weights that ``loss`` asks for; itself when it asks for none.

    Args:
        objective: A dataclass with a field ``class_weights``.
        loss: Options of the loss.
        rows: Encoded training rows.
        labels: Label names, in the order of the model's outputs.

    Raises:
        ConfigError: A weight is for a label that is none, or the objective takes no weights.
    """
    rule = loss.class_weights
    if rule == "none":
        return objective
    names = {field.name for field in dataclasses.fields(objective)}  # type: ignore[arg-type]
    if "class_weights" not in names:
        message = f"expected none but got {rule!r}: this stage does not learn single gold labels"
        raise ConfigError([Fault("loss.class_weights", message)])
    if isinstance(rule, Mapping):
        found = _named(rule, labels)
    else:
        found = by_rule(str(rule), _counts(rows, len(labels)))
    changed: _T = dataclasses.replace(objective, class_weights=tuple(found))  # type: ignore[type-var]
    return changed


def by_rule(rule: str, counts: Sequence[int] | np.ndarray) -> list[float]:
    """Return a weight for every label: falling with its count, with a mean of 1 over the counts.

    ``balanced`` is ``total / (labels * count)`` over the labels that occur, as in scikit-learn;
    labels that do not occur get 1.

    >>> by_rule("balanced", [6, 2])
    [0.6666666666666666, 2.0]
    """
    found = np.asarray(counts, dtype=np.float64)
    occurs = found > 0
    raw = np.ones_like(found)
    raw[occurs] = found[occurs] ** (-1.0 if rule == "balanced" else -0.5)
    raw[occurs] *= found.sum() / (raw * found).sum()
    weights: list[float] = raw.tolist()
    return weights


def _named(rule: Mapping[Any, Any], labels: Sequence[str]) -> list[float]:
    given = {str(name): float(weight) for name, weight in rule.items()}
    strange = [name for name in given if name not in labels]
    if strange:
        raise ConfigError(
            [
                Fault(f"loss.class_weights.{name}", unknown("label", name, labels))
                for name in strange
            ]
        )
    return [given.get(label, 1.0) for label in labels]


def _counts(rows: Dataset, labels: int) -> np.ndarray:
    counts = np.zeros(labels, dtype=np.int64)
    for value in rows["labels"]:
        row = np.atleast_1d(np.asarray(value, dtype=np.int64))
        counts += np.bincount(row[row != IGNORED], minlength=labels)
    return counts
