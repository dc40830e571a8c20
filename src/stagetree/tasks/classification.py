"""Classification: one label for a text or a pair of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from stagetree.core.errors import DataError, unknown
from stagetree.tasks.base import TASKS, Scores, Task, TaskConfig
from stagetree.tasks.collate import WithoutLength
from stagetree.tasks.counts import Counts, ratio
from stagetree.tasks.examples import Confusion, Examples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from stagetree.data.corpus import Corpus
    from stagetree.tasks.prediction import PredictOptions, Predictor


@dataclass
class ClassificationConfig(TaskConfig):
    """Options of classification; texts longer than ``max_length`` are truncated.

    Attributes:
        kind: ``classification``.
    """

    kind: str = "classification"


@TASKS.register("classification")
class ClassificationTask(Task):
    """Gives every text, or pair of texts, one label."""

    kind = "classification"
    Config: ClassVar[type[TaskConfig]] = ClassificationConfig
    layout = "text"
    primary_metric = "macro_f1"
    auto_class = "AutoModelForSequenceClassification"

    def labels(self, corpus: Corpus) -> list[str]:
        """See :meth:`Task.labels`: sorted, numbers by value."""
        found: set[str] = set()
        # Labels of the test split count too: one that is missing could not even be scored.
        for rows in (corpus.train, corpus.validation, corpus.test):
            found.update(_column(rows, "label", corpus.name))
        if len(found) < 2:
            raise DataError(
                f"{corpus.name}: expected at least two different labels, got {sorted(found)}"
            )
        numeric = all(label.isdecimal() for label in found)
        return sorted(found, key=int if numeric else None)

    def encode(
        self,
        examples: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str],
        max_length: int,
    ) -> Dataset:
        """See :meth:`Task.encode`."""
        import datasets

        pair = _column(examples, "text_pair") if "text_pair" in examples.column_names else None
        # Asked for by name: some tokenizers leave them out, and pairs would look like one text.
        segments = pair is not None and "token_type_ids" in tokenizer.model_input_names
        texts = _column(examples, "text")
        names = ["input_ids", "attention_mask"] + ["token_type_ids"] * segments
        batch: Mapping[str, Any] = {name: [] for name in names}
        if texts:
            batch = tokenizer(
                texts,
                pair,
                truncation=True,
                max_length=max_length,
                return_token_type_ids=segments,
            )
        columns: dict[str, Any] = {name: batch[name] for name in names}
        columns["labels"] = _numbers(_column(examples, "label"), labels)
        columns["length"] = [len(ids) for ids in columns["input_ids"]]
        features = {
            "input_ids": datasets.List(datasets.Value("int32")),
            "attention_mask": datasets.List(datasets.Value("int8")),
            "token_type_ids": datasets.List(datasets.Value("int8")),
            "labels": datasets.Value("int64"),
            "length": datasets.Value("int32"),
        }
        return datasets.Dataset.from_dict(
            columns, features=datasets.Features({name: features[name] for name in columns})
        )

    def collator(
        self, tokenizer: PreTrainedTokenizerBase
    ) -> Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]]:
        """See :meth:`Task.collator`."""
        from transformers import DataCollatorWithPadding

        return WithoutLength(DataCollatorWithPadding(tokenizer))

    def predictor(
        self,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str],
        max_length: int,
        options: PredictOptions,
    ) -> Predictor:
        """See :meth:`Task.predictor`."""
        from stagetree.tasks.classification_prediction import ClassificationPredictor

        return ClassificationPredictor(tokenizer, labels, max_length, options)

    def score(
        self, logits: Sequence[np.ndarray], label_ids: Sequence[np.ndarray], labels: Sequence[str]
    ) -> Scores:
        """See :meth:`Task.score`.

        Metrics: ``accuracy``, and ``macro_f1``, ``micro_f1``, ``weighted_f1`` over the labels
        that occur in the gold or the predicted labels (as scikit-learn does).
        """
        gold = np.array([int(number) for number in label_ids], dtype=np.int64)
        predicted = self._best(logits)
        right = predicted[gold == predicted]
        counts = Counts(
            *(np.bincount(numbers, minlength=len(labels)) for numbers in (right, predicted, gold))
        )
        per_class = {
            label: row
            for label, row, guessed in zip(
                labels, counts.rows(), counts.predicted.tolist(), strict=True
            )
            if guessed or row["support"]
        }
        f1 = [row["f1"] for row in per_class.values()]
        support = [row["support"] for row in per_class.values()]
        accuracy = len(right) / len(gold) if len(gold) else 0.0
        metrics = {
            "accuracy": accuracy,
            "macro_f1": sum(f1) / len(f1) if f1 else 0.0,
            "micro_f1": accuracy,  # the same when every example has exactly one label
            "weighted_f1": float(np.average(f1, weights=support)) if f1 else 0.0,
        }
        return Scores(metrics, per_class)

    def examples(
        self,
        logits: Sequence[np.ndarray],
        label_ids: Sequence[np.ndarray],
        labels: Sequence[str],
        rows: Dataset,
    ) -> Examples:
        """See :meth:`Task.examples`: labels."""
        gold = [labels[int(number)] for number in label_ids]
        return Examples(gold, self.decode(logits, labels))

    def tallies(self, examples: Examples) -> np.ndarray:
        """See :meth:`Task.tallies`: right, predicted and gold of each label that occurs."""
        names = sorted({*examples.gold, *examples.predicted})
        number = {label: index for index, label in enumerate(names)}
        gold, guess = (
            np.array([number[label] for label in side], dtype=np.int64)
            for side in (examples.gold, examples.predicted)
        )
        one = np.eye(len(names), dtype=np.int64)
        right = one[guess] * (gold == guess)[:, None]
        return np.stack([right, one[guess], one[gold]], axis=2).reshape(len(gold), -1)

    def from_tallies(self, sums: np.ndarray) -> np.ndarray:
        """See :meth:`Task.from_tallies`: ``macro_f1`` over the labels that occur in the sums."""
        counts = np.asarray(sums, dtype=np.float64)
        counts = counts.reshape(*counts.shape[:-1], -1, 3)
        both = counts[..., 1] + counts[..., 2]
        seen = (both > 0).sum(axis=-1)
        return ratio(ratio(2 * counts[..., 0], both).sum(axis=-1), seen)

    def confusion(self, examples: Examples) -> Confusion:
        """See :meth:`Task.confusion`."""
        return Confusion.of(list(zip(examples.gold, examples.predicted, strict=True)))

    def decode(self, logits: Sequence[np.ndarray], labels: Sequence[str]) -> list[str]:
        """Return the predicted label of every row.

        Args:
            logits: One (labels,) array a row.
            labels: Label names.
        """
        return [labels[number] for number in self._best(logits).tolist()]

    @staticmethod
    def _best(logits: Sequence[np.ndarray]) -> np.ndarray:
        if not len(logits):
            return np.zeros(0, dtype=np.int64)
        best: np.ndarray = np.stack(list(logits)).argmax(axis=-1)
        return best


def _column(rows: Dataset, name: str, corpus: str = "data") -> list[str]:
    if name not in rows.column_names:
        raise DataError(
            f"{corpus}: task 'classification' expects the columns text and label (and text_pair), "
            f"got {rows.column_names}"
        )
    return list(rows[name])


def _numbers(names: Sequence[str], labels: Sequence[str]) -> list[int]:
    ids = {label: number for number, label in enumerate(labels)}
    for name in names:
        if name not in ids:
            raise DataError(unknown("label", name, labels))
    return [ids[name] for name in names]
