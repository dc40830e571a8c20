"""Predicting entities in words or in raw text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import DataError, Fault, unknown
from stagetree.tasks.base import IGNORED
from stagetree.tasks.entity_rules import bound
from stagetree.tasks.ner import Encoder, LongTexts
from stagetree.tasks.prediction import PredictOptions, Predictor, Question, softmax, text_of
from stagetree.tasks.spans import Sentence, Span, spans_of, tags_of
from stagetree.tasks.words import DEFAULT, SPLITTERS, split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from transformers import PreTrainedTokenizerBase

_DIGITS = 6


class NerPredictor(Predictor):
    """Gives ``tokens``, their ``tags`` in IOB2, and ``entities``.

    An entity has ``type``, ``text``, ``score``, the words it spans (``first_token``, and
    ``last_token``, inclusive) and, for raw text, ``start`` and ``end`` in characters. Its score
    is the mean probability of its words' tags. A sentence longer than ``max_length`` is read in
    windows that end between words; every word gets a tag.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"rules", "words"})

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str],
        max_length: int,
        options: PredictOptions,
    ) -> None:
        super().__init__(tokenizer, labels, max_length, options)
        types = sorted({label[2:] for label in labels if label != "O"})
        self._rules = bound(options.rules, types)

    def question(self, fields: Mapping[str, Any]) -> Question:
        """See :meth:`Predictor.question`."""
        sentence = _sentence(fields, self.options.words or DEFAULT)
        encoder = Encoder(self.tokenizer, self.labels, self.max_length, LongTexts.split)
        if sentence.words:
            encoder.add([list(sentence.words)], [["O"] * len(sentence.words)])
        columns = encoder.rows
        rows = [
            {"input_ids": ids, "attention_mask": mask}
            for ids, mask in zip(columns["input_ids"], columns["attention_mask"], strict=True)
        ]
        # Exactly the first sub-word of each word has a label.
        return Question(rows, (sentence, columns["labels"]))

    def answer(self, question: Question, logits: Sequence[np.ndarray]) -> dict[str, Any]:
        """See :meth:`Predictor.answer`."""
        sentence, marks = question.memory
        tags: list[str] = []
        scores: list[float] = []
        for row, numbers in zip(logits, marks, strict=True):
            first = [place for place, number in enumerate(numbers) if number != IGNORED]
            shares = softmax(row[first])
            tags += [self.labels[best] for best in shares.argmax(axis=-1)]
            scores += shares.max(axis=-1).tolist()
        spans = [span for span in spans_of(tags, scores) if span.score >= self.options.threshold]
        for rule in self._rules:
            spans = rule(spans, sentence)
        return {
            "tokens": list(sentence.words),
            "tags": tags_of(spans, len(sentence.words)),
            "entities": [_entity(span, sentence) for span in spans],
        }

    def _faults(self) -> list[Fault]:
        faults = super()._faults()
        how = self.options.words
        if how is not None and how not in SPLITTERS:
            faults.append(Fault("--words", unknown("way to split words", how, SPLITTERS)))
        return faults


def _sentence(fields: Mapping[str, Any], how: str) -> Sentence:
    if "tokens" not in fields:
        if "text" not in fields:
            raise DataError(
                f"expected a field 'text' or 'tokens' but got the fields {sorted(fields)}"
            )
        text = text_of(fields)
        found = split(text, how)
        places = [(start, end) for _, start, end in found]
        return Sentence([word for word, _, _ in found], text, places)
    tokens = fields["tokens"]
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise DataError(f"expected 'tokens' to be a list of words but got {tokens!r}")
    return Sentence(tokens)


def _entity(span: Span, sentence: Sentence) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": span.type,
        "text": sentence.cover(span),
        "score": round(span.score, _DIGITS),
        "first_token": span.start,
        "last_token": span.end - 1,
    }
    if sentence.text is not None:
        found["start"], found["end"] = sentence.characters(span)
    return found
