"""Precision, recall and F1 from counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Counts:
    """What precision, recall and F1 are made of.

    Attributes:
        correct: (classes,) how many were predicted and are right.
        predicted: (classes,) how many were predicted.
        gold: (classes,) how many there are.
    """

    correct: np.ndarray
    predicted: np.ndarray
    gold: np.ndarray

    def overall(self) -> dict[str, float]:
        """Return precision, recall, F1 and support over all classes together."""
        sums = Counts(
            *(part.sum(keepdims=True) for part in (self.correct, self.predicted, self.gold))
        )
        return sums.rows()[0]

    def rows(self) -> list[dict[str, float]]:
        """Return precision, recall, F1 and support of every class; 0 where undefined."""
        precision = ratio(self.correct, self.predicted)
        recall = ratio(self.correct, self.gold)
        f1 = ratio(2 * precision * recall, precision + recall)
        return [
            {"precision": p, "recall": r, "f1": f, "support": float(n)}
            for p, r, f, n in zip(
                precision.tolist(), recall.tolist(), f1.tolist(), self.gold.tolist(), strict=True
            )
        ]


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return ``part / whole`` element by element, 0 where there is no whole."""
    part, whole = np.asarray(part), np.asarray(whole)
    found: np.ndarray = np.divide(
        part, whole, out=np.zeros(part.shape, dtype=np.float64), where=whole > 0
    )
    return found
