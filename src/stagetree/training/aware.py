"""Quantisation-aware training: a model learns to live with the rounding of int8."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from stagetree.models import fake_quant, huggingface
from stagetree.models.format import MANIFEST
from stagetree.training import teaching
from stagetree.training.fit import fit, training_corpus
from stagetree.training.gold import focus
from stagetree.training.learner import Learner, Start, Taught
from stagetree.training.limits import shape
from stagetree.training.objectives import CrossEntropy, Distillation

if TYPE_CHECKING:
    from pathlib import Path

    from datasets import Dataset

    from stagetree.training.memory import BatchSize
    from stagetree.training.objectives import Objective

_SHARE = 0.95
"""Fraction of the stage that training is; the end belongs to the artefact's own score."""


@dataclass(frozen=True)
class Lesson:
    """What is trained for int8, and by whom.

    Attributes:
        source: Directory of the model.
        teacher: Directory of the model whose outputs it also learns from, if any.
        per_channel: Whether weights are rounded with one scale an output channel.
        temperature: Softens the outputs of teacher and model.
        alpha: Share of the teacher in the loss.
    """

    source: Path
    teacher: Path | None
    per_channel: bool
    temperature: float
    alpha: float


def adapt(lesson: Lesson, config: Any, context: Any) -> Path:
    """Train a model with rounded linear layers and return its directory, in fp32.

    It is scored as rounded, too, so that the best evaluation is the best for int8. Interrupted,
    it goes on from its last checkpoint; done, it is not done again.

    Args:
        lesson: What is trained.
        config: Training options.
        context: The stage's context.

    Raises:
        TrialPruned: ``context.evaluated`` said so.
        TrialFailed: A loss is not a finite number.
        OutOfMemory: Not even one example at a time fits into memory.
    """
    place = context.scratch / "trained"
    if (place / MANIFEST).exists():
        return place  # type: ignore[no-any-return]
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    needs = {"kind": "qat", "input": shape(lesson.source)}
    if lesson.teacher is not None:
        needs["teacher"] = shape(lesson.teacher)
    smoothing, gamma = config.label_smoothing, focus(config.loss)
    objective = (
        CrossEntropy(smoothing, gamma)
        if lesson.teacher is None
        else Distillation(lesson.temperature, lesson.alpha, smoothing, gamma)
    )

    def evaluated(fraction: float, metrics: Mapping[str, float]) -> None:
        context.evaluated(_SHARE * fraction, metrics)

    fit(
        Start(needs, partial(_learner, lesson, config, context)),
        config,
        objective,
        replace(context, output=place, evaluated=evaluated),
        None if lesson.teacher is None else partial(_taught, config, context),
    )
    return place  # type: ignore[no-any-return]


def _learner(lesson: Lesson, config: Any, context: Any) -> Learner:
    labels = context.task.labels(context.corpus)
    model, tokenizer, manifest = huggingface.open_model(lesson.source, config.dropout)
    teaching.check_labels("input", context.name, manifest.labels, labels)
    fake_quant.prepare(model, lesson.per_channel)
    return Learner(model, tokenizer, labels)


def _taught(
    config: Any,
    context: Any,
    learner: Learner,
    rows: Dataset,
    eval_batch: BatchSize,
    objective: Objective,
) -> Taught:
    """Return the training rows with the teacher's outputs on them."""
    corpus = training_corpus(config, context)
    examples = teaching.training_examples(corpus, context, config.max_length)
    soft = teaching.soft_targets(
        [(examples, rows)], ["teacher"], learner.labels, context, eval_batch
    )
    return Taught(rows, soft, objective)
