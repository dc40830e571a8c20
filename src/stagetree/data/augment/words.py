"""Methods for whole words of any text: leaving some out, or changing their places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from stagetree.data.augment.base import AUGMENTERS, Augmenter


@AUGMENTERS.register("drop_words")
class DropWords(Augmenter):
    """Leaves out words that belong to no entity.

    Random deletion of Wei and Zou 2019, "EDA", arXiv 1901.11196; entities stay whole.
    """

    name = "drop_words"
    layouts: ClassVar[Sequence[str]] = ("tokens", "text")

    def change(self, tokens: Sequence[str], tags: Sequence[str]) -> tuple[list[str], list[str]]:
        """See :meth:`Augmenter.change`."""
        drawn = self.generator.random(len(tokens)) < self.share
        kept = [place for place, tag in enumerate(tags) if tag != "O" or not drawn[place]]
        if not kept and tokens:
            kept = [int(self.generator.integers(len(tokens)))]
        return [tokens[place] for place in kept], [tags[place] for place in kept]


@AUGMENTERS.register("swap_words")
class SwapWords(Augmenter):
    """Lets words that belong to no entity change places with one another.

    Random swap of Wei and Zou 2019, "EDA", arXiv 1901.11196; entities stay where they are.
    """

    name = "swap_words"
    layouts: ClassVar[Sequence[str]] = ("tokens", "text")

    def change(self, tokens: Sequence[str], tags: Sequence[str]) -> tuple[list[str], list[str]]:
        """See :meth:`Augmenter.change`."""
        words = list(tokens)
        drawn = self.generator.random(len(words)) < self.share
        places = [place for place, tag in enumerate(tags) if tag == "O" and drawn[place]]
        for place, other in zip(places, self.generator.permutation(places).tolist(), strict=True):
            words[place] = tokens[other]
        return words, list(tags)
