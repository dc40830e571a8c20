"""Named entities: a tag for every word."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from stagetree.core.errors import DataError, ModelError, nearest
from stagetree.tasks import ner_examples
from stagetree.tasks.base import IGNORED, TASKS, Scores, Task, TaskConfig
from stagetree.tasks.chunks import cut, opened
from stagetree.tasks.collate import WithoutLength
from stagetree.tasks.entity_scores import TagCodes, count, entities, report
from stagetree.tasks.examples import Examples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from stagetree.data.corpus import Corpus
    from stagetree.tasks.examples import Confusion
    from stagetree.tasks.prediction import PredictOptions, Predictor

_BATCH = 1000


class LongTexts(Enum):
    """What becomes of sentences longer than ``max_length``.

    Attributes:
        split: They become several rows, cut at word borders; no label is lost.
        truncate: Only their beginning is used, in scoring too.
    """

    split = "split"
    truncate = "truncate"


@dataclass
class NerConfig(TaskConfig):
    """Options of named entity recognition.

    Attributes:
        kind: ``ner``.
        long_texts: What becomes of sentences longer than ``max_length``.
    """

    kind: str = "ner"
    long_texts: LongTexts = LongTexts.split


@TASKS.register("ner")
class NerTask(Task):
    """Tags words in IOB2; the first sub-word of a word carries its tag."""

    kind = "ner"
    Config: ClassVar[type[TaskConfig]] = NerConfig
    layout = "tokens"
    primary_metric = "f1"
    auto_class = "AutoModelForTokenClassification"

    def labels(self, corpus: Corpus) -> list[str]:
        """See :meth:`Task.labels`: ``O``, then ``B-`` and ``I-`` of every type, sorted."""
        # Types of the test split count too: a label that is missing could not even be scored.
        splits = (corpus.train, corpus.validation, corpus.test)
        if not len(corpus.train):
            raise DataError(f"{corpus.name}: expected training sentences, got none")
        tags: set[str] = set()
        for rows in splits:
            tags.update(*_column(rows, "tags", corpus.name))
        types = sorted({tag[2:] for tag in tags if tag != "O"})
        if not types:
            raise DataError(f"{corpus.name}: expected entities in the tags, got only 'O'")
        return ["O", *(f"{prefix}-{name}" for name in types for prefix in "BI")]

    def encode(
        self,
        examples: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str],
        max_length: int,
    ) -> Dataset:
        """See :meth:`Task.encode`.

        A word the tokenizer finds nothing in (a lone control character) becomes its unknown
        token, so that every word of ``examples`` has exactly one label, in order.
        """
        import datasets

        if not tokenizer.is_fast:
            raise ModelError(
                "task 'ner' must know which sub-words make a word: expected a fast tokenizer, "
                f"got {type(tokenizer).__name__}; set model.tokenizer to one with a tokenizer.json"
            )
        encoder = Encoder(tokenizer, labels, max_length, self.config.long_texts)
        tokens, tags = _column(examples, "tokens"), _column(examples, "tags")
        for start in range(0, len(tokens), _BATCH):
            encoder.add(tokens[start : start + _BATCH], tags[start : start + _BATCH])
        features = {
            "input_ids": datasets.List(datasets.Value("int32")),
            "attention_mask": datasets.List(datasets.Value("int8")),
            "labels": datasets.List(datasets.Value("int64")),
            "length": datasets.Value("int32"),
        }
        return datasets.Dataset.from_dict(encoder.rows, features=datasets.Features(features))

    def collator(
        self, tokenizer: PreTrainedTokenizerBase
    ) -> Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]]:
        """See :meth:`Task.collator`."""
        from transformers import DataCollatorForTokenClassification

        return WithoutLength(
            DataCollatorForTokenClassification(tokenizer, label_pad_token_id=IGNORED)
        )

    def predictor(
        self,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str],
        max_length: int,
        options: PredictOptions,
    ) -> Predictor:
        """See :meth:`Task.predictor`."""
        from stagetree.tasks.ner_prediction import NerPredictor

        return NerPredictor(tokenizer, labels, max_length, options)

    def score(
        self, logits: Sequence[np.ndarray], label_ids: Sequence[np.ndarray], labels: Sequence[str]
    ) -> Scores:
        """See :meth:`Task.score`.

        Metrics: ``f1``, ``precision``, ``recall`` over entities as conlleval and seqeval count
        them (Nakayama, 2018; Tjong Kim Sang and De Meulder, CoNLL 2003), ``f1_strict`` by the
        letter of IOB2, ``accuracy`` over words. Classes: every type seen, and the averages
        ``micro avg``, ``macro avg``, ``weighted avg``.
        """
        gold, first = _scored(label_ids)
        predicted = _predicted(logits, label_ids)
        codes = TagCodes.of(labels)
        truth, guess = entities(gold, first, codes), entities(predicted, first, codes)
        counts = count(guess, truth, len(codes.types))
        strict = count(guess.only(guess.strict), truth.only(truth.strict), len(codes.types))
        overall = counts.overall()
        metrics = {
            "f1": overall["f1"],
            "precision": overall["precision"],
            "recall": overall["recall"],
            "f1_strict": strict.overall()["f1"],
            "accuracy": float((gold == predicted).mean()) if len(gold) else 0.0,
        }
        return Scores(metrics, report(counts, codes.types))

    def examples(
        self,
        logits: Sequence[np.ndarray],
        label_ids: Sequence[np.ndarray],
        labels: Sequence[str],
        rows: Dataset,
    ) -> Examples:
        """See :meth:`Task.examples`: the tags of the words that are scored."""
        kept = [row[row != IGNORED] for row in label_ids]
        gold = [[labels[number] for number in row.tolist()] for row in kept]
        predicted = self.decode(logits, label_ids, labels)
        if self.config.long_texts is not LongTexts.split:
            return Examples(gold, predicted)
        words = [len(tokens) for tokens in _column(rows, "tokens")]
        return Examples(*(ner_examples.joined(side, words) for side in (gold, predicted)))

    def tallies(self, examples: Examples) -> np.ndarray:
        """See :meth:`Task.tallies`: entities that are right, predicted and gold."""
        return ner_examples.tallies(examples)

    def from_tallies(self, sums: np.ndarray) -> np.ndarray:
        """See :meth:`Task.from_tallies`: ``f1``."""
        return ner_examples.f1(sums)

    def confusion(self, examples: Examples) -> Confusion:
        """See :meth:`Task.confusion`: of entity types."""
        return ner_examples.confusion(examples)

    def decode(
        self,
        logits: Sequence[np.ndarray],
        label_ids: Sequence[np.ndarray],
        labels: Sequence[str],
        words: Sequence[int] | None = None,
    ) -> list[list[str]]:
        """Return predicted tags.

        Args:
            logits: One (length, labels) array a row.
            label_ids: One (length,) array a row; ``IGNORED`` everywhere but at the first
                sub-word of each word.
            labels: Label names.
            words: Number of words of each sentence that was encoded, to put the rows of a long
                one together again (only with ``long_texts=split``).

        Returns:
            One list of tags a row, or a sentence when ``words`` is given.
        """
        tags = [labels[number] for number in _predicted(logits, label_ids).tolist()]
        counts = [int((row != IGNORED).sum()) for row in label_ids] if words is None else words
        ends = np.cumsum(counts, dtype=np.int64).tolist()
        return [tags[end - count : end] for count, end in zip(counts, ends, strict=True)]


def _column(rows: Dataset, name: str, corpus: str = "data") -> list[list[str]]:
    if name not in rows.column_names:
        raise DataError(
            f"{corpus}: task 'ner' expects the columns tokens and tags, got {rows.column_names}"
        )
    return list(rows[name])


def _scored(label_ids: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the gold labels of all rows end to end, and where rows begin."""
    kept = [row[row != IGNORED] for row in label_ids]
    gold = np.concatenate(kept) if kept else np.zeros(0, dtype=np.int64)
    first = np.zeros(len(gold), dtype=bool)
    starts = np.cumsum([0, *(len(row) for row in kept)])[:-1]
    first[starts[starts < len(gold)]] = True
    return gold.astype(np.int64), first


def _predicted(logits: Sequence[np.ndarray], label_ids: Sequence[np.ndarray]) -> np.ndarray:
    if not logits:
        return np.zeros(0, dtype=np.int64)
    scored = np.concatenate(list(label_ids)) != IGNORED
    best: np.ndarray = np.concatenate(list(logits)).argmax(axis=-1)[scored]
    return best


class Encoder:
    """Turns words and tags into rows, a batch at a time.

    Attributes:
        rows: Columns ``input_ids``, ``attention_mask``, ``labels`` and ``length``, a list each.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str],
        max_length: int,
        long_texts: LongTexts,
    ) -> None:
        self.rows: dict[str, list[Any]] = {
            "input_ids": [],
            "attention_mask": [],
            "labels": [],
            "length": [],
        }
        self._tokenizer = tokenizer
        self._ids = {label: number for number, label in enumerate(labels)}
        self._max_length = max_length
        self._room = max_length - tokenizer.num_special_tokens_to_add(pair=False)
        self._split = long_texts is LongTexts.split
        if self._room < 1:
            raise DataError(f"expected max_length above the special tokens, got {max_length}")

    def add(self, tokens: Sequence[list[str]], tags: Sequence[list[str]]) -> None:
        """Encode a batch of sentences."""
        words, marks = list(tokens), list(tags)
        encoded = self._tokenize(words, truncation=False)
        again = {
            index: self._repaired(words[index], encoded[index].word_ids, marks[index])
            for index in range(len(words))
            if self._lossy(encoded[index].word_ids, len(words[index]))
        }
        parts = [part for index in again for part in again[index]]
        redone = iter(self._tokenize([part[0] for part in parts], truncation=True))
        for index in range(len(words)):
            if index not in again:
                self._append(encoded[index], marks[index])
                continue
            for _, part in again[index]:
                self._append(next(redone), part)

    def _tokenize(self, words: list[list[str]], truncation: bool) -> list[Any]:
        if not words:
            return []
        batch = self._tokenizer(
            words,
            is_split_into_words=True,
            truncation=truncation,
            max_length=self._max_length if truncation else None,
            verbose=False,
        )
        return list(batch.encodings)

    def _lossy(self, word_ids: Iterable[int | None], words: int) -> bool:
        """Say whether a row is too long or misses a word."""
        found = list(word_ids)
        return len(found) > self._max_length or len({*found} - {None}) < words

    def _repaired(
        self, words: list[str], word_ids: Sequence[int | None], tags: list[str]
    ) -> list[tuple[list[str], list[str]]]:
        pieces = [0] * len(words)
        for word in word_ids:
            if word is not None:
                pieces[word] += 1
        blank = self._tokenizer.unk_token or "?"
        filled = [word if count else blank for word, count in zip(words, pieces, strict=True)]
        counts = [max(count, 1) for count in pieces]
        if not self._split:
            return [(filled, tags)]
        return [
            (filled[start:end], opened(tags[start:end]))
            for start, end in cut(counts, tags, self._room)
        ]

    def _append(self, encoding: Any, tags: list[str]) -> None:
        before: int | None = None
        numbers = []
        for word in encoding.word_ids:
            starts = word is not None and word != before
            numbers.append(self._number(tags[word]) if starts else IGNORED)
            before = word
        self.rows["input_ids"].append(encoding.ids)
        self.rows["attention_mask"].append(encoding.attention_mask)
        self.rows["labels"].append(numbers)
        self.rows["length"].append(len(numbers))

    def _number(self, tag: str) -> int:
        if tag not in self._ids:
            close = nearest(tag, self._ids)
            hint = f"; nearest: {close!r}" if close else ""
            raise DataError(f"expected a tag out of {list(self._ids)}, got {tag!r}{hint}")
        return self._ids[tag]
