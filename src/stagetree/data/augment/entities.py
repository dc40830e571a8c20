"""Methods for tagged words: other mentions, or other words, of the same type in their place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from stagetree.data.augment.base import AUGMENTERS, Augmenter

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset


@AUGMENTERS.register("mentions")
class Mentions(Augmenter):
    """Replaces mentions by others of their type, drawn from the training split.

    Mention replacement of Dai and Adel 2020, "An Analysis of Simple Data Augmentation for Named
    Entity Recognition", arXiv 2010.11683. Every occurrence can be drawn, so that frequent
    mentions are drawn often.
    """

    name = "mentions"
    layouts: ClassVar[Sequence[str]] = ("tokens",)

    def __init__(self, share: float, examples: Dataset, generator: np.random.Generator) -> None:
        super().__init__(share, examples, generator)
        self._mentions: dict[str, list[list[str]]] = defaultdict(list)
        for tokens, tags in zip(examples["tokens"], examples["tags"], strict=True):
            for start, end in spans(tags):
                if tags[start] != "O":
                    self._mentions[tags[start][2:]].append(tokens[start:end])

    def change(self, tokens: Sequence[str], tags: Sequence[str]) -> tuple[list[str], list[str]]:
        """See :meth:`Augmenter.change`."""
        words: list[str] = []
        found: list[str] = []
        for start, end in spans(tags):
            mention, kind = list(tokens[start:end]), tags[start][2:]
            known = self._mentions.get(kind, []) if kind else []
            if known and self.generator.random() < self.share:
                mention = known[int(self.generator.integers(len(known)))]
            words += mention
            found += [f"B-{kind}"] + [f"I-{kind}"] * (len(mention) - 1) if kind else ["O"]
        return words, found


@AUGMENTERS.register("same_tag_words")
class SameTagWords(Augmenter):
    """Replaces words by words that have the same tag somewhere in the training split.

    Label-wise token replacement of Dai and Adel 2020 (arXiv 2010.11683).
    """

    name = "same_tag_words"
    layouts: ClassVar[Sequence[str]] = ("tokens",)

    def __init__(self, share: float, examples: Dataset, generator: np.random.Generator) -> None:
        super().__init__(share, examples, generator)
        self._words: dict[str, list[str]] = defaultdict(list)
        for tokens, tags in zip(examples["tokens"], examples["tags"], strict=True):
            for token, tag in zip(tokens, tags, strict=True):
                self._words[tag].append(token)

    def change(self, tokens: Sequence[str], tags: Sequence[str]) -> tuple[list[str], list[str]]:
        """See :meth:`Augmenter.change`."""
        words = list(tokens)
        for place, drawn in enumerate(self.generator.random(len(words)) < self.share):
            known = self._words.get(tags[place], [])
            if drawn and known:
                words[place] = known[int(self.generator.integers(len(known)))]
        return words, list(tags)


def spans(tags: Sequence[str]) -> list[tuple[int, int]]:
    """Return where mentions begin and end; every other word is a span of its own.

    >>> spans(["O", "B-PER", "I-PER", "B-PER"])
    [(0, 1), (1, 3), (3, 4)]
    """
    starts = [place for place, tag in enumerate(tags) if not (place and tag.startswith("I-"))]
    return list(pairwise([*starts, len(tags)]))
