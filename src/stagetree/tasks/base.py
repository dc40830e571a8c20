"""What a task is: labels, encoding, collating, scoring and decoding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from omegaconf import MISSING

from stagetree.core.errors import ModelError
from stagetree.core.registry import Registry
from stagetree.core.signature import result_fields

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from stagetree.data.corpus import Corpus
    from stagetree.tasks.examples import Confusion, Examples
    from stagetree.tasks.prediction import PredictOptions, Predictor

IGNORED = -100
"""Label of positions that are neither trained on nor scored."""

UNKNOWN = -101
"""Label of positions that only a teacher knows an answer to."""


@dataclass
class TaskConfig:
    """Options every task understands.

    Attributes:
        kind: Registered name of the task.
    """

    kind: str = MISSING


@dataclass(frozen=True)
class Scores:
    """How good predictions are.

    Attributes:
        metrics: Flat numbers; the task's primary metric among them.
        per_class: For every class (entity type or label): precision, recall, f1, support.
    """

    metrics: Mapping[str, float]
    per_class: Mapping[str, Mapping[str, float]]


class Task(ABC):
    """One kind of problem. Importing a task's module imports neither torch nor datasets.

    Attributes:
        kind: Registered name.
        VERSION: Raise it when the code changes what encoding or scoring produce.
        Config: Dataclass of the task's options.
        layout: Which columns of a corpus it reads: ``tokens`` or ``text``; ``several`` of both.
        primary_metric: The metric that chooses checkpoints and, by default, trials.
        auto_class: Name of the ``transformers`` class that puts the right head on a model.
    """

    kind: ClassVar[str]
    VERSION: ClassVar[int] = 1
    Config: ClassVar[type[TaskConfig]]
    layout: ClassVar[str]
    primary_metric: ClassVar[str]
    auto_class: ClassVar[str]

    def __init__(self, config: Any) -> None:
        self.config = config

    def identity(self) -> list[Any]:
        """Return, as plain values, all of the task that can change a result."""
        return [self.kind, self.VERSION, result_fields(self.config)]

    def encoding(self) -> list[Any]:
        """Return, as plain values, all of the task that can change what ``encode`` makes."""
        return self.identity()

    @abstractmethod
    def labels(self, corpus: Corpus) -> list[str]:
        """Return the label names, in the order of the model's outputs.

        Raises:
            DataError: The corpus has no usable labels (none, or only one class).
        """

    @abstractmethod
    def encode(
        self,
        examples: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str],
        max_length: int,
    ) -> Dataset:
        """Tokenise examples into ``input_ids``, ``labels``, ``length`` (and what the model needs).

        Nothing is padded here. Rows keep the order of ``examples``; a task may make several rows
        of a long example.
        """

    @abstractmethod
    def collator(
        self, tokenizer: PreTrainedTokenizerBase
    ) -> Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]]:
        """Return a function that pads rows of ``encode`` to their longest, as torch tensors."""

    @abstractmethod
    def score(
        self, logits: Sequence[np.ndarray], label_ids: Sequence[np.ndarray], labels: Sequence[str]
    ) -> Scores:
        """Score logits against gold labels.

        Args:
            logits: One float array a row: (length, labels) for token tasks, (labels,) else.
            label_ids: One integer array a row, ``IGNORED`` where nothing is scored: (length,)
                for token tasks, () else.
            labels: Label names.
        """

    def examples(
        self,
        logits: Sequence[np.ndarray],
        label_ids: Sequence[np.ndarray],
        labels: Sequence[str],
        rows: Dataset,
    ) -> Examples | None:
        """Return what was predicted of each example, or ``None`` where the task cannot say.

        Args:
            logits: As for :meth:`score`.
            label_ids: As for :meth:`score`.
            labels: Label names.
            rows: The examples that ``encode`` was given.
        """
        return None

    def tallies(self, examples: Examples) -> np.ndarray:
        """Return counts of each example, to be added up: (examples, counts) integers.

        Raises:
            ModelError: The task does not score example by example.
        """
        raise ModelError(f"task {self.kind!r} does not score example by example")

    def from_tallies(self, sums: np.ndarray) -> np.ndarray:
        """Return the primary metric from summed counts: (..., counts) -> (...).

        Raises:
            ModelError: The task does not score example by example.
        """
        raise ModelError(f"task {self.kind!r} does not score example by example")

    def confusion(self, examples: Examples) -> Confusion:
        """Return how often each gold label is taken for which.

        Raises:
            ModelError: The task does not score example by example.
        """
        raise ModelError(f"task {self.kind!r} does not score example by example")

    def predictor(
        self,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str],
        max_length: int,
        options: PredictOptions,
    ) -> Predictor:
        """Return what turns inputs without labels into rows, and logits into plain answers.

        Args:
            tokenizer: The model's tokenizer.
            labels: Label names, in the order of the model's outputs.
            max_length: Longest row in sub-words.
            options: What the user asks for.

        Raises:
            ConfigError: The options do not fit the task.
            ModelError: The task cannot predict.
        """
        raise ModelError(f"task {self.kind!r} cannot predict: it has no predictor yet")


TASKS: Registry[type[Task]] = Registry("task.kind", "stagetree.tasks")
"""Every task, by kind; a new one is a new module in ``stagetree.tasks``."""
