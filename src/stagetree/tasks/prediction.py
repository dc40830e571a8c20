"""What a task does to predict: inputs without labels become rows, logits become answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import ConfigError, DataError, Fault, nearest

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class PredictOptions:
    """What a user asks of predictions.

    Attributes:
        threshold: What is less sure than this, in [0, 1], is not predicted.
        fallback: Label of what is not predicted, for sequence tasks.
        scores: Give the score of every label, for sequence tasks.
        rules: Post-processing, as a rules file lists it, for token tasks.
        words: How raw text becomes words, for token tasks.
    """

    threshold: float = 0.0
    fallback: str | None = None
    scores: bool = False
    rules: Sequence[tuple[str, Mapping[str, Any]]] = ()
    words: str | None = None


@dataclass(frozen=True)
class Question:
    """An input, encoded.

    Attributes:
        rows: What the model is asked: ``input_ids`` and the like, a list each; a long input may
            have several rows, an empty one none.
        memory: What the predictor must know again to answer.
    """

    rows: Sequence[Mapping[str, Sequence[int]]]
    memory: Any = None


class Predictor(ABC):
    """Encodes inputs for one model and decodes its logits.

    Attributes:
        uses: Names of the options that mean something for the task, beside ``threshold``.
    """

    uses: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str],
        max_length: int,
        options: PredictOptions,
    ) -> None:
        self.tokenizer = tokenizer
        self.labels = list(labels)
        self.max_length = max_length
        self.options = options
        faults = self._faults()
        if faults:
            raise ConfigError(faults)

    @abstractmethod
    def question(self, fields: Mapping[str, Any]) -> Question:
        """Encode one input.

        Args:
            fields: ``text``, and ``text_pair`` or ``tokens`` where the task knows them.

        Raises:
            DataError: A field is missing or malformed.
        """

    @abstractmethod
    def answer(self, question: Question, logits: Sequence[np.ndarray]) -> dict[str, Any]:
        """Return the prediction as plain JSON values.

        Args:
            question: The input.
            logits: One array for each of its rows, without padding.
        """

    def _faults(self) -> list[Fault]:
        options, faults = self.options, []
        if not 0 <= options.threshold <= 1:
            message = f"expected a number from 0 to 1 but got {options.threshold}"
            faults.append(Fault("--threshold", message))
        given = {
            "fallback": options.fallback is not None,
            "scores": options.scores,
            "rules": bool(options.rules),
            "words": options.words is not None,
        }
        faults += [
            Fault(f"--{name}", "it means nothing for the task of this model; leave it out")
            for name, asked in given.items()
            if asked and name not in self.uses
        ]
        return faults


def text_of(fields: Mapping[str, Any], name: str = "text") -> str:
    """Return a field that must be text.

    Raises:
        DataError: It is missing or something else.
    """
    if name not in fields:
        close = nearest(name, fields)
        hint = f"; did you mean {close!r}?" if close else ""
        raise DataError(f"expected a field {name!r} but got the fields {sorted(fields)}{hint}")
    if not isinstance(fields[name], str):
        raise DataError(f"expected {name!r} to be text but got {fields[name]!r}")
    return str(fields[name])


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities over the last axis, in double precision."""
    import numpy as np

    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    found: np.ndarray = shifted / shifted.sum(axis=-1, keepdims=True)
    return found
