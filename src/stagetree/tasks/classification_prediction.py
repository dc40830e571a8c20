"""Predicting labels of texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.tasks.prediction import Predictor, Question, softmax, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

_DIGITS = 6


class ClassificationPredictor(Predictor):
    """Gives a text or a pair of texts ``label`` and ``score``, and ``scores`` of all when asked.

    A score is the model's probability. A text longer than ``max_length`` is truncated, as in
    training.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"fallback", "scores"})

    def question(self, fields: Mapping[str, Any]) -> Question:
        """See :meth:`Predictor.question`."""
        pair = text_of(fields, "text_pair") if fields.get("text_pair") is not None else None
        encoded = self.tokenizer(
            text_of(fields),
            pair,
            truncation=True,
            max_length=self.max_length,
            return_token_type_ids="token_type_ids" in self.tokenizer.model_input_names,
        )
        return Question([dict(encoded)])

    def answer(self, question: Question, logits: Sequence[np.ndarray]) -> dict[str, Any]:
        """See :meth:`Predictor.answer`."""
        shares = [float(share) for share in softmax(logits[0])]
        best = max(range(len(shares)), key=shares.__getitem__)
        sure = shares[best] >= self.options.threshold
        found: dict[str, Any] = {
            "label": self.labels[best] if sure else self.options.fallback,
            "score": round(shares[best], _DIGITS),
        }
        if self.options.scores:
            rounded = (round(share, _DIGITS) for share in shares)
            found["scores"] = dict(zip(self.labels, rounded, strict=True))
        return found
