"""What is added to a loss to keep a model simple: R-Drop, and penalties on its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from stagetree.tasks.base import IGNORED

if TYPE_CHECKING:
    from torch import Tensor, nn

    from stagetree.training.config import TrainingConfig


def divergence(one: Tensor, other: Tensor, labels: Tensor) -> Tensor:
    """Return ``(KL(p||q) + KL(q||p)) / 2`` of two passes, summed over labelled positions.

    Args:
        one: Logits of the first pass; shape (..., labels).
        other: Logits of the second.
        labels: Shape (...), ``IGNORED`` at positions that do not count.
    """
    labelled = labels != IGNORED
    first, second = (
        functional.log_softmax(logits[labelled].float(), dim=-1) for logits in (one, other)
    )
    return ((first.exp() - second.exp()) * (first - second)).sum() / 2


def r_drop(
    forward: Callable[[], Any], loss: Callable[[Any], Tensor], labels: Tensor, weight: float
) -> tuple[Tensor, Any]:
    """Return the loss of two passes that differ in dropout, and the outputs of the first.

    ``(loss_1 + loss_2) / 2 + weight * divergence`` (Liang et al. 2021, "R-Drop: Regularized
    Dropout for Neural Networks", arXiv 2106.14448), with the mean where they write the sum, so
    that a learning rate means the same with and without.
    """
    one, other = forward(), forward()
    agreed = divergence(one.logits, other.logits, labels)
    return (loss(one) + loss(other)) / 2 + weight * agreed, one


class Penalty:
    """``l1 * sum |w| + l2 / 2 * sum w^2 + l2_start / 2 * sum (w - start)^2`` over weights.

    Biases and the weights of norms do not count, nor does what is frozen at the moment. These
    penalties are coupled: they are part of the loss, so that AdamW scales their gradients by its
    second moment, unlike decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101).
    The third is L2-SP (Li et al. 2018, arXiv 1802.01483); a new head is held to how it was
    drawn, which is near 0.

    Args:
        model: The model as it is before its first step.
        config: The stage's training options.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig) -> None:
        self._l1, self._l2, self._l2_start = config.l1, config.l2, config.l2_start
        counts = bool(config.l1 or config.l2 or config.l2_start)
        self._weights = [weight for weight in model.parameters() if counts and weight.ndim >= 2]
        self._start = [weight.detach().clone() for weight in self._weights if config.l2_start]

    def __bool__(self) -> bool:
        return bool(self._weights)

    def __call__(self) -> Tensor:
        """Return the penalty of the weights as they are."""
        total = torch.zeros((), device=self._weights[0].device)
        for place, weight in enumerate(self._weights):
            if not weight.requires_grad:
                continue
            if self._l1:
                total = total + self._l1 * weight.abs().sum()
            if self._l2:
                total = total + self._l2 / 2 * weight.square().sum()
            if self._l2_start:
                moved = weight - self._start[place]
                total = total + self._l2_start / 2 * moved.square().sum()
        return total
