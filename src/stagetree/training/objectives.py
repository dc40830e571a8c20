"""What training minimises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from stagetree.tasks.base import IGNORED, UNKNOWN
from stagetree.training.batches import TEACHER_LOGITS
from stagetree.training.gold import gold_loss

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor
    from transformers import PreTrainedModel


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
            batch: What else the collator made: the model's inputs, and a teacher's logits.
        """
        ...


@runtime_checkable
class Joined(Protocol):
    """An objective that needs more of the model than its outputs.

    Attributes:
        whole_rows: Whether it needs what the model computes inside laid out as the batch is:
            then padding is computed on, see ``unpadding``.
    """

    whole_rows: bool

    def joined(self, model: PreTrainedModel) -> AbstractContextManager[None]:
        """Make ready for the training of ``model``, and clear up after it."""


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
    """Learning from softened outputs of one or several teachers beside the gold labels.

    ``alpha * T^2 * KL(teacher || student) + (1 - alpha) * cross entropy`` at labelled positions
    (Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531). Several
    teachers speak as the mixture of their softened distributions. Positions with the label
    ``UNKNOWN`` have the teacher alone, at full weight. Only the gold labels are smoothed; the
    teacher is soft already.

    Attributes:
        temperature: Softens both distributions of the first part.
        alpha: Share of the teacher in the loss.
        label_smoothing: Share of the gold target spread over all labels.
        gamma: Focus of the gold labels' part on hard examples; 0 is cross entropy.
        class_weights: A weight for every gold label; empty weighs all alike.
        weights: Shares of several teachers, in the order of their logits; of any sum.
        unlabeled: Whether there may be positions without a gold label.
    """

    temperature: float = 2.0
    alpha: float = 0.5
    asks: ClassVar[Mapping[str, bool]] = _NOTHING
    label_smoothing: float = 0.0
    gamma: float = 0.0
    class_weights: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    unlabeled: bool = False

    def __call__(self, outputs: Any, labels: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """See :class:`Objective`; ``batch`` holds the teachers' logits at labelled positions.

        Their shape is (labelled positions, labels), with several teachers (labelled positions,
        teachers, labels).
        """
        from torch.nn import functional

        labelled = labels != IGNORED
        student, gold = outputs.logits[labelled].float(), labels[labelled]
        answered = functional.log_softmax(student / self.temperature, dim=-1)
        soft = self._soft(answered, self._taught(batch[TEACHER_LOGITS]), gold)
        if self.unlabeled:
            student, gold = student[gold != UNKNOWN], gold[gold != UNKNOWN]
        hard = gold_loss(student, gold, self.label_smoothing, self.gamma, self.class_weights)
        return soft + (1 - self.alpha) * hard

    def _taught(self, logits: Tensor) -> Tensor:
        """Return the log probabilities of the softened target."""
        from torch.nn import functional

        each = functional.log_softmax(logits / self.temperature, dim=-1)
        if not self.weights:
            return each
        shares = each.new_tensor(self.weights) / sum(self.weights)
        return (each + shares.log()[:, None]).logsumexp(dim=-2)

    def _soft(self, answered: Tensor, taught: Tensor, gold: Tensor) -> Tensor:
        from torch.nn import functional

        if not self.unlabeled:
            soft = functional.kl_div(answered, taught, reduction="sum", log_target=True)
            return self.alpha * self.temperature**2 * soft
        each = functional.kl_div(answered, taught, reduction="none", log_target=True).sum(dim=-1)
        share = each.new_full(each.shape, self.alpha).masked_fill(gold == UNKNOWN, 1.0)
        return self.temperature**2 * (share * each).sum()
