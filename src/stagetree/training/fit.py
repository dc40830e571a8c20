"""From a model and a corpus to a stored, trained model: what training stages have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from stagetree.models import huggingface
from stagetree.training.encoded import encoded
from stagetree.training.engine import Context, train

if TYPE_CHECKING:
    from pathlib import Path

    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from stagetree.data.corpus import Corpus
    from stagetree.tasks.base import Task
    from stagetree.training.config import TrainingConfig
    from stagetree.training.objectives import Objective
    from stagetree.training.soft_targets import SoftTargets


class StageSurroundings(Context, Protocol):
    """What fitting needs of a stage's context; see ``stages.base.StageContext``."""

    @property
    def task(self) -> Task:
        """The task."""

    @property
    def corpus(self) -> Corpus:
        """The data."""

    @property
    def cache(self) -> Path:
        """Directory for encoded rows."""

    @property
    def output(self) -> Path:
        """Empty directory for the result."""


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    config: TrainingConfig,
    objective: Objective,
    context: StageSurroundings,
    teach: Callable[[Dataset], SoftTargets] | None = None,
) -> None:
    """Train ``model`` on the stage's corpus and write its best weights to ``context.output``.

    Args:
        model: The model with its head.
        tokenizer: Its tokenizer.
        labels: Label names, in the order of the model's outputs.
        config: How to train.
        objective: What to minimise.
        context: The stage's surroundings.
        teach: Makes a teacher's outputs for the encoded training rows.

    Raises:
        TrialPruned: ``context.evaluated`` said so.
        TrialFailed: A loss is not a finite number.
    """
    train_rows, validation_rows = (
        encoded(
            context.corpus,
            split,
            context.task,
            tokenizer,
            labels,
            config.max_length,
            context.cache,
        )
        for split in ("train", "validation")
    )
    train(
        model,
        tokenizer,
        context.task,
        train_rows,
        validation_rows,
        labels,
        config,
        objective,
        context,
        None if teach is None else teach(train_rows),
    )
    huggingface.save(
        model,
        tokenizer,
        context.output,
        context.task.kind,
        labels,
        config.max_length,
        numerics=context.numerics,
    )
