"""Methods for the letters of single words, by the library ``nlpaug`` (extra ``augment``)."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.data.augment.base import AUGMENTERS, Augmenter

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset


class Characters(Augmenter):
    """Writes words otherwise, each by itself, so that every tag keeps its word.

    Attributes:
        maker: Name of the class in ``nlpaug.augmenter.char``.
        options: Its arguments.
    """

    layouts: ClassVar[Sequence[str]] = ("tokens", "text")
    needs = "nlpaug"
    maker: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}

    def __init__(self, share: float, examples: Dataset, generator: np.random.Generator) -> None:
        super().__init__(share, examples, generator)
        from nlpaug.augmenter import char

        self._seed = int(generator.integers(2**32))
        self._count = 0
        # Its own tokenizer would cut "U.S." into words and join them with spaces.
        self._writer = getattr(char, self.maker)(
            aug_word_p=1.0,
            aug_char_p=0.2,
            min_char=2,
            tokenizer=lambda word: [word],
            reverse_tokenizer="".join,
            **self.options,
        )

    def change(self, tokens: Sequence[str], tags: Sequence[str]) -> tuple[list[str], list[str]]:
        """See :meth:`Augmenter.change`."""
        drawn = self.generator.random(len(tokens)) < self.share
        self._count += 1
        with _seeded((self._seed + self._count) % 2**32):
            words = [
                self._written(token) if changed else token
                for token, changed in zip(tokens, drawn, strict=True)
            ]
        return words, list(tags)

    def _written(self, word: str) -> str:
        found = "".join(self._writer.augment(word))
        return found if found and not any(letter.isspace() for letter in found) else word


@AUGMENTERS.register("keyboard")
class Keyboard(Characters):
    """Hits keys beside the right ones (QWERTY)."""

    name = "keyboard"
    maker = "KeyboardAug"
    options: ClassVar[dict[str, Any]] = {"include_special_char": False}


@AUGMENTERS.register("ocr")
class Ocr(Characters):
    """Takes letters for others that look alike."""

    name = "ocr"
    maker = "OcrAug"


@AUGMENTERS.register("swap_letters")
class SwapLetters(Characters):
    """Lets neighbouring letters change places."""

    name = "swap_letters"
    maker = "RandomCharAug"
    options: ClassVar[dict[str, Any]] = {"action": "swap"}


@AUGMENTERS.register("drop_letters")
class DropLetters(Characters):
    """Leaves out letters."""

    name = "drop_letters"
    maker = "RandomCharAug"
    options: ClassVar[dict[str, Any]] = {"action": "delete"}


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators, all that the library knows, and give them back as they were."""
    import numpy as np

    before, numpy_before = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numpy_before)
