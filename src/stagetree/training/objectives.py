"""What training minimises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from stagetree.tasks.base import IGNORED
from stagetree.training.batches import TEACHER_LOGITS
from stagetree.training.gold import gold_loss

if TYPE_CHECKING:
    from torch import Tensor


_NOTHING: Mapping[str, bool] = MappingProxyType({})


class Objective(Protocol):
    """A loss, summed: whoever calls divides by the labelled positions of the whole step."""

    @property
    def asks(self) -> Mapping[str, bool]:
        """What the model is to give beside logits, e.g. ``{"output_hidden_states": True}``."""

    def __call__(self, outputs: Any, labels: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss summed over labelled positions.

        Args:
            outputs: What the model gave; ``outputs.logits`` has shape (..., labels).
            labels: Shape (...), ``IGNORED`` where nothing is learnt.
            batch: What else the collator made.
        """
        ...


@dataclass(frozen=True)
class CrossEntropy:
    """Cross entropy with the gold labels, or focal loss.

    Attributes:
        label_smoothing: Share of the target spread over all labels.
        gamma: Focus on hard examples; 0 is cross entropy.
        class_weights: A weight for every label; empty weighs all alike.
    """

    asks: ClassVar[Mapping[str, bool]] = _NOTHING
    label_smoothing: float = 0.0
    gamma: float = 0.0
    class_weights: tuple[float, ...] = ()

    def __call__(self, outputs: Any, labels: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """See :class:`Objective`."""
        logits = outputs.logits
        return gold_loss(
            logits.reshape(-1, logits.shape[-1]).float(),
            labels.reshape(-1),
            self.label_smoothing,
            self.gamma,
            self.class_weights,
        )


@dataclass(frozen=True)
class Distillation:
    """Learning from a teacher's softened outputs beside the gold labels.

    ``alpha * T^2 * KL(teacher || student) + (1 - alpha) * cross entropy`` at labelled positions
    (Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531). Only
    the gold labels are smoothed; the teacher is soft already.

    Attributes:
        temperature: Softens both distributions of the first part.
        alpha: Share of the teacher in the loss.
        label_smoothing: Share of the gold target spread over all labels.
        gamma: Focus of the gold labels' part on hard examples; 0 is cross entropy.
        class_weights: A weight for every gold label; empty weighs all alike.
    """

    temperature: float = 2.0
    alpha: float = 0.5
    asks: ClassVar[Mapping[str, bool]] = _NOTHING
    label_smoothing: float = 0.0
    gamma: float = 0.0
    class_weights: tuple[float, ...] = ()

    def __call__(self, outputs: Any, labels: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """See :class:`Objective`."""
        from torch.nn import functional

        labelled = labels != IGNORED
        student, gold = outputs.logits[labelled].float(), labels[labelled]
        soft = functional.kl_div(
            functional.log_softmax(student / self.temperature, dim=-1),
            functional.log_softmax(batch[TEACHER_LOGITS] / self.temperature, dim=-1),
            reduction="sum",
            log_target=True,
        )
        hard = gold_loss(student, gold, self.label_smoothing, self.gamma, self.class_weights)
        return self.alpha * self.temperature**2 * soft + (1 - self.alpha) * hard
