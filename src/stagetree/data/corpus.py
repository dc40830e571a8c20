"""A corpus: three splits of text with labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Corpus:
    """Three splits of labelled text.

    Columns are ``tokens`` and ``tags`` (lists of strings of equal length, tags in IOB2) for
    token tasks, or ``text``, optionally ``text_pair``, and ``label`` (a string) for sequence
    tasks. Numbers for labels are made later, by the task.

    Attributes:
        name: Short name for tables.
        train: Examples that are trained on.
        validation: Examples that the search compares trials on.
        test: Examples that nothing but a final evaluation reads.
        fingerprint: Changes whenever the content does.
    """

    name: str
    train: Dataset
    validation: Dataset
    test: Dataset
    fingerprint: str
