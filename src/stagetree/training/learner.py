"""What is trained, and on what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from stagetree.training.adapters import Adapted
    from stagetree.training.masks import Masks
    from stagetree.training.objectives import Objective
    from stagetree.training.soft_targets import SoftTargets


@dataclass(frozen=True)
class Learner:
    """A model and how it reads and answers.

    Attributes:
        model: The model with its head; dropout is already set.
        tokenizer: Its tokenizer.
        labels: Label names, in the order of the model's outputs.
        masks: What holds weights of the model at zero.
        adapted: The adapter on the model, if there is one.
        origin: Digest of what the model starts from, as far as the stage's configuration and
            inputs do not determine that.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    labels: list[str]
    masks: Masks | None = None
    adapted: Adapted | None = None
    origin: str = ""


@dataclass(frozen=True)
class Start:
    """What a stage trains, before it is loaded.

    Attributes:
        needs: Plain values that tell two starts of different size apart.
        build: Makes the learner, bit-equal at every call.
    """

    needs: Mapping[str, Any]
    build: Callable[[], Learner]


@dataclass(frozen=True)
class Taught:
    """What a teacher makes of the training rows.

    Attributes:
        rows: The rows to learn from: those given, and maybe more after them.
        soft_targets: Teachers' logits over ``rows``.
        objective: What to minimise instead of the stage's objective, where that depends on the
            models.
    """

    rows: Dataset
    soft_targets: SoftTargets
    objective: Objective | None = None


@dataclass(frozen=True)
class Lessons:
    """Encoded rows to learn from and to be scored on.

    Attributes:
        train: Training rows.
        validation: Validation rows.
        soft_targets: A teacher's logits over ``train``.
    """

    train: Dataset
    validation: Dataset
    soft_targets: SoftTargets | None = None
