"""From a pretrained model to one with what a task needs on top."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stagetree.models import huggingface
from stagetree.tasks.multitask import MultitaskTask, split_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

    from stagetree.models.config import ModelConfig
    from stagetree.tasks.base import Task


def build(
    config: ModelConfig,
    task: Task,
    labels: Sequence[str],
    seed: int,
    dropout: float | None = None,
) -> PreTrainedModel:
    """Return a fp32 model, in evaluation mode, with the task's head or its several heads.

    See :func:`stagetree.models.huggingface.build`.
    """
    if not isinstance(task, MultitaskTask):
        return huggingface.build(config, task.auto_class, labels, seed, dropout)
    from stagetree.models import multitask

    own = split_labels(labels)
    heads = [
        multitask.Head(name, part.kind, part.auto_class, own[name])
        for name, part in task.parts.items()
    ]
    return multitask.build(config, heads, seed, dropout)
