"""Weights of a model held at zero while it trains: by magnitude, by movement, n of every m.

What is masked are the matrices of the encoder's layers; embeddings, heads, biases and norms are
left alone. Masks and scores are part of the model's state, so that checkpoints hold them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from stagetree.core.errors import ModelError
from stagetree.training.freezing import encoder_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Gradual:
    """The cubic schedule of Zhu and Gupta 2017, "To prune, or not to prune" (arXiv 1710.01878).

    Attributes:
        sparsity: Share of zeros at its end.
        until: It ends at this fraction of the steps; masks are held from there on.
        every: Masks are chosen anew every so many steps, and at the end.
        uniform: Each matrix has this share of zeros, instead of all together.
    """

    sparsity: float
    until: float = 0.7
    every: int = 10
    uniform: bool = False

    def last_step(self, total: int) -> int:
        """Return the step after which the sparsity is reached."""
        return max(1, round(self.until * total))

    def due(self, step: int, total: int) -> bool:
        """Return whether masks are chosen anew after this step."""
        last = self.last_step(total)
        return step == last or (step < last and step % self.every == 0)

    def at(self, step: int, total: int) -> float:
        """Return the share of zeros after this step.

        >>> [round(Gradual(0.8, until=1.0).at(step, 4), 3) for step in range(5)]
        [0.0, 0.463, 0.7, 0.788, 0.8]
        """
        done = min(1.0, step / self.last_step(total))
        return float(self.sparsity * (1 - (1 - done) ** 3))


class Masks:
    """The masks over a model's matrices, all open at first.

    Args:
        model: The model; it computes with masked weights from here on, until :meth:`bake`.
        learned: Learn by gradients what to mask: movement pruning (Sanh et al. 2020,
            arXiv 2005.07683), with straight-through gradients to scores that start at zero.
            Scores move at the learning rate of their matrix; only their order counts.
        schedule: How sparsity rises during training; without it masks stay as they are.
    """

    def __init__(
        self, model: PreTrainedModel, learned: bool = False, schedule: Gradual | None = None
    ) -> None:
        self.schedule = schedule
        self._linears: list[Any] = [
            module for module in encoder_layers(model).modules() if isinstance(module, nn.Linear)
        ]
        for linear in self._linears:
            parametrize.register_parametrization(linear, "weight", _Mask(linear.weight, learned))

    @property
    def sparsity(self) -> float:
        """Share of masked weights."""
        masks = [mask.mask for mask in self._masks]
        closed = sum(int((mask == 0).sum()) for mask in masks)
        return closed / sum(int(mask.numel()) for mask in masks)

    def since(self, total: int) -> int:
        """Return the step from which the model is as sparse as it shall be."""
        return 0 if self.schedule is None else self.schedule.last_step(total)

    def after_step(self, step: int, total: int) -> None:
        """Choose masks anew when the schedule says so."""
        if self.schedule is not None and self.schedule.due(step, total):
            self.sparsify(self.schedule.at(step, total), self.schedule.uniform)

    def sparsify(self, share: float, uniform: bool = False) -> None:
        """Mask this share of the weights, those of the lowest scores or least magnitude."""
        scores = self._scores()
        groups = [[place] for place in range(len(scores))] if uniform else [range(len(scores))]
        for group in groups:
            flat = torch.cat([scores[place].flatten() for place in group])
            closed = flat.topk(round(share * len(flat)), largest=False).indices
            chosen = torch.ones_like(flat).index_fill_(0, closed, 0.0)
            parts = torch.split(chosen, [scores[place].numel() for place in group])
            for place, part in zip(group, parts, strict=True):
                mask: Any = self._masks[place].mask
                mask.copy_(part.view_as(mask))

    def pattern(self, n: int, m: int) -> None:
        """Leave the ``n`` largest of every ``m`` neighbouring inputs of each output open.

        The masks work anywhere; a speed-up needs a GPU with sparse tensor cores (2 of 4) and its
        kernels.

        Raises:
            ModelError: The inputs of a matrix do not divide by ``m``.
        """
        for mask, scores in zip(self._masks, self._scores(), strict=True):
            rows, columns = scores.shape
            if columns % m:
                raise ModelError(
                    f"expected matrices whose inputs divide by {m} but got one of {columns}"
                )
            kept = scores.view(rows, -1, m).topk(n, dim=-1).indices
            grouped = torch.zeros(rows, columns // m, m, device=scores.device)
            target: Any = mask.mask
            target.copy_(grouped.scatter_(-1, kept, 1.0).view(rows, columns))

    def bake(self) -> None:
        """Set masked weights to zero for good and make the model a plain one again."""
        with torch.no_grad():
            for linear in self._linears:
                parametrize.remove_parametrizations(linear, "weight", leave_parametrized=True)
        self._linears = []

    @property
    def _masks(self) -> list[Any]:
        return [linear.parametrizations.weight[0] for linear in self._linears]

    def _scores(self) -> list[torch.Tensor]:
        return [
            (whole.abs() if mask.scores is None else mask.scores).detach()
            for whole, mask in (
                (linear.parametrizations.weight.original, linear.parametrizations.weight[0])
                for linear in self._linears
            )
        ]


class _Mask(nn.Module):
    """Turns a matrix into the masked one."""

    def __init__(self, weight: torch.Tensor, learned: bool) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones_like(weight, requires_grad=False))
        self.scores = nn.Parameter(torch.zeros_like(weight)) if learned else None

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the weights that count."""
        mask: Any = self.mask
        if self.scores is not None:
            # The difference is exactly zero; its gradient is that of the mask.
            mask = mask + (self.scores - self.scores.detach())
        masked: torch.Tensor = weight * mask
        return masked
