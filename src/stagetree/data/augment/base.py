"""What augmentation is: a method, how much of it, and the examples it makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from stagetree.core.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset

NONE = "none"
"""Name of no augmentation."""


@dataclass
class AugmentConfig:
    """Further training examples, made of those there are.

    Attributes:
        method: ``none`` or a registered method, e.g. ``keyboard``, ``mentions``, ``drop_words``.
        copies: Changed copies of every example beside itself.
        share: Share of words (``mentions``: of mentions) that a copy has changed.
    """

    method: str = NONE
    copies: int = 1
    share: float = 0.1


class Augmenter(ABC):
    """One method. Importing its module imports no library that it needs.

    Tags stay with their words: what comes back has a tag for every word, and is valid IOB2.

    Attributes:
        name: Registered name.
        VERSION: Raise it when the code changes what it makes.
        layouts: Which layouts of a corpus it can change: ``tokens``, ``text`` or both.
        needs: Importable module of the extra ``augment`` that it needs; empty for none.

    Args:
        share: Share of what it may change that it changes.
        examples: The training split.
        generator: All its randomness.
    """

    name: ClassVar[str]
    VERSION: ClassVar[int] = 1
    layouts: ClassVar[Sequence[str]]
    needs: ClassVar[str] = ""

    def __init__(self, share: float, examples: Dataset, generator: np.random.Generator) -> None:
        self.share = share
        self.generator = generator

    @abstractmethod
    def change(self, tokens: Sequence[str], tags: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return a changed copy of one sentence, at least one word long unless it was empty.

        Args:
            tokens: Its words.
            tags: Their tags in IOB2; all ``O`` for a text without tags.
        """


AUGMENTERS: Registry[type[Augmenter]] = Registry("augment.method", "stagetree.data.augment")
"""Every method, by name; a new one is a new module in ``stagetree.data.augment``."""
