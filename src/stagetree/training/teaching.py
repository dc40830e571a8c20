"""Asking teachers, and laying their answers beside a student's rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from stagetree.core.errors import ModelError
from stagetree.core.signature import digest
from stagetree.data.unlabeled import read_unlabeled
from stagetree.models import format as model_format
from stagetree.models.load import load
from stagetree.tasks.base import IGNORED, UNKNOWN
from stagetree.training import answers
from stagetree.training.encoded import encoded, identity
from stagetree.training.fit import StageSurroundings
from stagetree.training.soft_targets import (
    OneAfterAnother,
    SeveralTeachers,
    SoftTargets,
    aligned,
)

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from stagetree.data.corpus import Corpus
    from stagetree.training.memory import BatchSize


class Surroundings(StageSurroundings, Protocol):
    """What teaching needs of a stage's context; see ``stages.base.StageContext``."""

    @property
    def inputs(self) -> Mapping[str, Path]:
        """Model directories by role."""

    def shared(
        self,
        kind: str,
        version: int,
        fields: Mapping[str, object],
        roles: Sequence[str],
        make: Callable[[Path], None],
    ) -> Path:
        """Return a directory that is made once for all stages."""


@dataclass(frozen=True)
class Examples:
    """Examples that teachers answer.

    Attributes:
        fields: What identifies them, and how they are cut.
        count: How many there are.
        encode: Makes rows of them, for a tokenizer and label names.
    """

    fields: Mapping[str, object]
    count: int
    encode: Callable[[PreTrainedTokenizerBase, Sequence[str]], Dataset]


def training_examples(corpus: Corpus, context: StageSurroundings, max_length: int) -> Examples:
    """Return the training split of the corpus that a stage trains on."""

    def encode(tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]) -> Dataset:
        return encoded(corpus, "train", context.task, tokenizer, labels, max_length, context.cache)

    fields = {"corpus": corpus.fingerprint, "split": "train"}
    return Examples(_cut(fields, context, max_length), len(corpus.train), encode)


def unlabeled_examples(
    context: StageSurroundings,
    max_length: int,
    files: Sequence[str],
    limit: int | None,
    identified: Mapping[str, object],
) -> Examples:
    """Return examples of files; their labels are ``UNKNOWN`` where a label would be.

    Args:
        context: The stage's context.
        max_length: Longest row in sub-words.
        files: See :func:`stagetree.data.unlabeled.read_unlabeled`.
        limit: How many examples at most.
        identified: What identifies the files' content.

    Raises:
        DataError: A file cannot be used.
        ModelError: The task reads no such text.
    """
    from stagetree.data.tokenized import tokenized

    task = context.task
    if task.layout not in _GOLD:
        raise ModelError(
            f"expected a task that reads {' or '.join(_GOLD)} for unlabeled text but "
            f"{task.kind!r} reads {task.layout!r}; leave unlabeled.files empty"
        )
    examples = read_unlabeled(files, task.layout, limit)
    fields = _cut({"unlabeled": dict(identified)}, context, max_length)

    def encode(tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]) -> Dataset:
        def build() -> Dataset:
            guessed = _with_labels(examples, task.layout, labels)
            return _without_gold(task.encode(guessed, tokenizer, labels, max_length))

        key = digest({**fields, "tokenizer": identity(tokenizer), "labels": list(labels)})
        return tokenized(key, build, context.cache / "encoded")

    return Examples(fields, len(examples), encode)


def without_some_gold(rows: Dataset, share: float, seed: int) -> Dataset:
    """Return rows of which a share, drawn by ``seed``, has the label ``UNKNOWN``."""
    if not share:
        return rows
    order = np.random.default_rng(seed).permutation(len(rows))
    chosen = set(order[: round(share * len(rows))].tolist())
    labels = [
        _unknown(label) if place in chosen else label for place, label in enumerate(rows["labels"])
    ]
    return _relabelled(rows, labels)


def soft_targets(
    parts: Sequence[tuple[Examples, Dataset]],
    roles: Sequence[str],
    labels: Sequence[str],
    context: Surroundings,
    batch_size: BatchSize,
) -> SoftTargets:
    """Return teachers' logits over a student's rows; each teacher answers once for all stages.

    Args:
        parts: Examples, and the student's rows of them.
        roles: Roles of the teachers among the inputs.
        labels: The student's labels.
        context: The stage's context.
        batch_size: Rows a forward pass of a teacher.

    Raises:
        ModelError: A teacher does not know a label, or its rows do not match.
        OutOfMemory: Not even one row at a time fits into memory.
    """
    found: list[SoftTargets] = []
    for examples, rows in parts:
        counts = answers.labelled(rows)
        each = [
            aligned(
                _answers(examples, role, labels, context, batch_size),
                counts,
                examples.count,
                role,
                columns(role, context.name, model_format.read(context.inputs[role]).labels, labels),
            )
            for role in roles
        ]
        found.append(each[0] if len(each) == 1 else SeveralTeachers(each))
    return found[0] if len(found) == 1 else OneAfterAnother(found)


def _answers(
    examples: Examples,
    role: str,
    labels: Sequence[str],
    context: Surroundings,
    batch_size: BatchSize,
) -> answers.Answers:
    def make(directory: Path) -> None:
        teacher = load(context.inputs[role])
        rows = examples.encode(teacher.tokenizer, labels)
        answers.write(directory, teacher, context.task, rows, batch_size)

    place = context.shared("answers", answers.VERSION, examples.fields, [role], make)
    return answers.read(place)


def columns(role: str, stage: str, found: Sequence[str], labels: Sequence[str]) -> list[int] | None:
    """Return the places of a student's labels among a teacher's; nothing where they are alike.

    Raises:
        ModelError: The teacher lacks some of them.
    """
    if list(found) == list(labels):
        return None
    if set(labels) <= set(found):
        return [list(found).index(label) for label in labels]
    raise ModelError(_other_labels(role, stage, found, labels))


def check_labels(role: str, stage: str, found: Sequence[str], labels: Sequence[str]) -> None:
    """Check that a model has the labels of its task, in their order.

    Raises:
        ModelError: It does not; says in which they differ.
    """
    if list(found) != list(labels):
        raise ModelError(_other_labels(role, stage, found, labels))


def _other_labels(role: str, stage: str, found: Sequence[str], labels: Sequence[str]) -> str:
    lacking = [label for label in labels if label not in found]
    extra = [label for label in found if label not in labels]
    differing = f"it lacks {lacking or 'none'} and has {extra or 'none'} beside"
    if not lacking and not extra:
        differing = f"it has them in another order, {list(found)}"
    return (
        f"expected the {role} of {stage!r} to have the labels {list(labels)} but {differing}; "
        "train it on the same task and data"
    )


def _cut(
    fields: Mapping[str, object], context: StageSurroundings, max_length: int
) -> dict[str, object]:
    task = context.task
    return {
        **fields,
        "task": task.encoding(),
        "max_length": max_length,
    }


_GOLD: Mapping[str, tuple[str, Callable[[Any, str], Any]]] = {
    "tokens": ("tags", lambda words, label: [label] * len(words)),
    "text": ("label", lambda text, label: label),
}
"""By layout: the column of gold labels, and what stands there for an example without any."""


def _with_labels(examples: Dataset, layout: str, labels: Sequence[str]) -> Dataset:
    name, fill = _GOLD[layout]
    return examples.add_column(name, [fill(value, labels[0]) for value in examples[layout]])


def _without_gold(rows: Dataset) -> Dataset:
    return _relabelled(rows, [_unknown(label) for label in rows["labels"]])


def _unknown(label: Any) -> Any:
    if isinstance(label, list):
        return [_unknown(one) for one in label]
    return label if label == IGNORED else UNKNOWN


def _relabelled(rows: Dataset, labels: list[Any]) -> Dataset:
    features = rows.features
    kept = rows.remove_columns("labels").add_column("labels", labels)
    return kept.select_columns(list(features)).cast(features)
