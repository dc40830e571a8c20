"""Several tasks at once: each row is of one of them, and each has a head of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from omegaconf import MISSING

from stagetree.core.errors import DataError
from stagetree.core.signature import result_fields
from stagetree.data.corpus import Corpus
from stagetree.data.sources.multitask import LAYOUT, TASK, rows_of
from stagetree.tasks.base import IGNORED, TASKS, Scores, Task, TaskConfig
from stagetree.tasks.examples import Confusion, Examples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

HEAD = "head"
"""Column of encoded rows, and entry of a batch, with the number of the row's task."""

KINDS = ("classification", "ner")
"""Kinds that can be one of several: their outputs are scores of labels."""

SEPARATOR = "/"
"""Stands between a task's name and the name of one of its labels."""


class Sampling(Enum):
    """Whose turn a training batch is.

    Attributes:
        proportional: Each task as often as it has training rows.
        uniform: All tasks equally often.
        temperature: By the rows to the power of ``exponent``, between the two.
    """

    proportional = "proportional"
    uniform = "uniform"
    temperature = "temperature"


@dataclass
class PartConfig:
    """One of several tasks.

    Attributes:
        task: Options of the task, as in the group ``task``.
        data: Options of its data, as in the group ``data``.
        weight: Factor of its loss.
    """

    task: Any = MISSING
    data: Any = MISSING
    weight: float = 1.0


@dataclass
class MultitaskConfig(TaskConfig):
    """Options of several tasks at once.

    Attributes:
        kind: ``multitask``.
        tasks: A :class:`PartConfig` for each task, by name; their order is that of the heads.
        sampling: Whose turn a training batch is.
        exponent: For ``temperature``: a task's share goes by its rows to this power; 1 is
            ``proportional``, 0 is ``uniform`` (Devlin et al. 2019, multilingual BERT, used 0.7;
            Raffel et al. 2020, arXiv 1910.10683, section 3.5.2).
    """

    kind: str = "multitask"
    tasks: dict[str, Any] = field(default_factory=dict)
    sampling: Sampling = Sampling.proportional
    exponent: float = 0.5


@TASKS.register("multitask")
class MultitaskTask(Task):
    """Several tasks over one encoder.

    Their labels form one list, ``NAME/label``, task after task; the label ids of a row and the
    logits of its head are places in that list (other heads' places hold a very low logit). A
    batch is to hold rows of one task only.

    Attributes:
        parts: The tasks, by name.
        weights: Factors of their losses.
    """

    kind = "multitask"
    Config: ClassVar[type[TaskConfig]] = MultitaskConfig
    layout = LAYOUT
    primary_metric = "mean"
    auto_class = "AutoModel"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.parts: dict[str, Task] = {
            name: TASKS[part.task.kind](part.task) for name, part in config.tasks.items()
        }
        self.weights: dict[str, float] = {
            name: float(part.weight) for name, part in config.tasks.items()
        }

    def identity(self) -> list[Any]:
        """See :meth:`Task.identity`: weights and sampling too, the data without."""
        parts = [[name, part.identity(), self.weights[name]] for name, part in self.parts.items()]
        fields = result_fields(self.config)
        del fields["tasks"]
        if self.config.sampling is not Sampling.temperature:
            del fields["exponent"]  # says nothing then
        return [self.kind, self.VERSION, fields, parts]

    def encoding(self) -> list[Any]:
        """See :meth:`Task.encoding`: neither weights nor sampling."""
        parts = [[name, part.encoding()] for name, part in self.parts.items()]
        return [self.kind, self.VERSION, parts]

    def shares(self, rows: Sequence[int]) -> np.ndarray:
        """Return which share of the training batches each task has, given its training rows."""
        power = {Sampling.proportional: 1.0, Sampling.uniform: 0.0}
        size = np.asarray(rows, dtype=np.float64)
        exponent = power.get(self.config.sampling, self.config.exponent)
        wanted = np.where(size > 0, size**exponent, 0.0)
        shares: np.ndarray = wanted / wanted.sum()
        return shares

    def labels(self, corpus: Corpus) -> list[str]:
        """See :meth:`Task.labels`: ``NAME/label``, each task's in its own order."""
        found: list[str] = []
        for name, part in self.parts.items():
            splits = (corpus.train, corpus.validation, corpus.test)
            train, validation, test = (rows_of(rows, name) for rows in splits)
            own = Corpus(name, train, validation, test, corpus.fingerprint)
            found += [f"{name}{SEPARATOR}{label}" for label in part.labels(own)]
        return found

    def encode(
        self,
        examples: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str],
        max_length: int,
    ) -> Dataset:
        """See :meth:`Task.encode`: the rows of each task together, ``labels`` always a list."""
        import datasets

        own, starts = split_labels(labels), spans(labels)
        encoded = []
        for number, (name, part) in enumerate(self.parts.items()):
            if name not in own:
                raise DataError(f"expected labels of task {name!r} but got those of {list(own)}")
            rows = part.encode(rows_of(examples, name), tokenizer, own[name], max_length)
            encoded.append(_placed(rows, number, starts[name][0]))
        return datasets.concatenate_datasets(encoded)

    def collator(
        self, tokenizer: PreTrainedTokenizerBase
    ) -> Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]]:
        """See :meth:`Task.collator`; all rows are to be of one task.

        The batch has an entry ``head`` of shape (rows,), the number of the task.
        """
        parts = list(self.parts.values())
        collators = [part.collator(tokenizer) for part in parts]

        def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
            import torch

            numbers = {int(row[HEAD]) for row in rows}
            if len(numbers) != 1:
                raise ValueError(f"expected a batch of one task but got tasks {sorted(numbers)}")
            (number,) = numbers
            plain = [_without_head(row, one=parts[number].layout != "tokens") for row in rows]
            batch = collators[number](plain)
            return {**batch, HEAD: torch.full((len(rows),), number)}

        return collate

    def score(
        self, logits: Sequence[np.ndarray], label_ids: Sequence[np.ndarray], labels: Sequence[str]
    ) -> Scores:
        """See :meth:`Task.score`: ``NAME.metric`` of every task, and ``mean``.

        ``mean`` is the mean of the tasks' primary metrics, each counted once.
        """
        metrics: dict[str, float] = {}
        per_class: dict[str, Mapping[str, float]] = {}
        found = spans(labels)
        for name, part in self.parts.items():
            own = _own(part, logits, label_ids, found[name])
            scores = part.score(*own, split_labels(labels)[name])
            metrics |= {f"{name}.{metric}": value for metric, value in scores.metrics.items()}
            per_class |= {f"{name}.{label}": row for label, row in scores.per_class.items()}
        primary = [metrics[f"{name}.{part.primary_metric}"] for name, part in self.parts.items()]
        return Scores({"mean": sum(primary) / len(primary), **metrics}, per_class)

    def examples(
        self,
        logits: Sequence[np.ndarray],
        label_ids: Sequence[np.ndarray],
        labels: Sequence[str],
        rows: Dataset,
    ) -> Examples:
        """See :meth:`Task.examples`: ``[task, answer]`` of each, in the order of ``rows``."""
        found, names = spans(labels), split_labels(labels)
        told: dict[str, Iterator[tuple[Any, Any]]] = {}
        for name, part in self.parts.items():
            own = part.examples(
                *_own(part, logits, label_ids, found[name]), names[name], rows_of(rows, name)
            )
            told[name] = iter(zip(own.gold, own.predicted, strict=True) if own else ())
        pairs = [(name, *next(told[name])) for name in rows[TASK]]
        return Examples(
            [[name, gold] for name, gold, _ in pairs], [[name, guess] for name, _, guess in pairs]
        )

    def confusion(self, examples: Examples) -> Confusion:
        """See :meth:`Task.confusion`: of ``TASK/label``; tasks are never taken for each other."""
        parts = []
        for name, part in self.parts.items():
            places = [at for at, (task, _) in enumerate(examples.gold) if task == name]
            gold, guess = (
                [side[at][1] for at in places] for side in (examples.gold, examples.predicted)
            )
            found = part.confusion(Examples(gold, guess))
            labels = [f"{name}{SEPARATOR}{label}" for label in found.labels]
            parts.append(Confusion(labels, found.matrix))
        return Confusion.beside(parts)


def split_labels(labels: Sequence[str]) -> dict[str, list[str]]:
    """Return each task's own label names.

    >>> split_labels(["pii/O", "pii/B-X", "mood/good"])
    {'pii': ['O', 'B-X'], 'mood': ['good']}
    """
    own: dict[str, list[str]] = {}
    for joint in labels:
        task, _, label = joint.partition(SEPARATOR)
        own.setdefault(task, []).append(label)
    return own


def spans(labels: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return where each task's labels begin and end in the joint list.

    >>> spans(["pii/O", "pii/B-X", "mood/good"])
    {'pii': (0, 2), 'mood': (2, 3)}
    """
    own = split_labels(labels)
    borders = [0, *np.cumsum([len(names) for names in own.values()]).tolist()]
    return dict(zip(own, pairwise(borders), strict=True))


def _placed(rows: Dataset, number: int, start: int) -> Dataset:
    """Return encoded rows with their task's number and with label ids of the joint list."""
    import datasets

    def moved(label_ids: Any) -> list[int]:
        row = label_ids if isinstance(label_ids, list) else [label_ids]
        return [label if label == IGNORED else label + start for label in row]

    columns = {name: rows[name][:] for name in rows.column_names}
    columns["labels"] = [moved(row) for row in columns["labels"]]
    columns[HEAD] = [number] * len(rows)
    features = {
        **rows.features,
        "labels": datasets.List(datasets.Value("int64")),
        HEAD: datasets.Value("int8"),
    }
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def _without_head(row: Mapping[str, Any], *, one: bool) -> dict[str, Any]:
    """Return a row as its task's own collator wants it; ``one``: it has a single label."""
    plain = {name: value for name, value in row.items() if name != HEAD and value is not None}
    if one:
        (plain["labels"],) = plain["labels"]
    return plain


def _own(
    part: Task,
    logits: Sequence[np.ndarray],
    label_ids: Sequence[np.ndarray],
    span: tuple[int, int],
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return logits and label ids of one task's rows: those with gold labels out of its span."""
    start, end = span
    single = part.layout != "tokens"
    own_logits, own_ids = [], []
    for outputs, gold in zip(logits, label_ids, strict=True):
        ids = np.atleast_1d(gold)
        if not ((ids >= start) & (ids < end)).any():
            continue
        shifted = np.where(ids == IGNORED, IGNORED, ids - start)
        narrow = outputs[..., start:end]
        own_ids.append(shifted[0] if single else shifted)
        own_logits.append(narrow.reshape(narrow.shape[-1]) if single else narrow)
    return own_logits, own_ids
