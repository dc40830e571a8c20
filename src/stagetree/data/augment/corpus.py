"""A corpus whose training split holds changed copies too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import ConfigError, Fault
from stagetree.core.signature import digest, result_fields
from stagetree.data.augment.base import AUGMENTERS, NONE, AugmentConfig, Augmenter

if TYPE_CHECKING:
    from datasets import Dataset

    from stagetree.data.corpus import Corpus

_WORDS = re.compile(r"(\s+)")


def augmented(corpus: Corpus, layout: str, config: AugmentConfig, seed: int, cache: Path) -> Corpus:
    """Return ``corpus`` with the copies that ``config`` asks for after its training examples.

    Args:
        corpus: The data.
        layout: Columns of a training example: ``tokens`` (and ``tags``) or ``text``.
        config: Which copies.
        seed: Seed of all that is drawn.
        cache: Directory for what may be made again at any time; copies are made once.

    Raises:
        ConfigError: The method cannot change this layout.
    """
    from stagetree.data.tokenized import tokenized

    if config.method == NONE:
        return corpus
    method = AUGMENTERS[config.method]
    if layout not in method.layouts:
        usable = [name for name in AUGMENTERS if layout in AUGMENTERS[name].layouts]
        message = (
            f"expected a method for data of layout {layout!r} ({', '.join(usable)}) "
            f"but got {config.method!r}"
        )
        raise ConfigError([Fault("augment.method", message)])
    key = digest(
        {
            "corpus": corpus.fingerprint,
            "augment": result_fields(config),
            "version": [method.VERSION, metadata.version(method.needs) if method.needs else ""],
            "seed": seed,
        }
    )
    train = tokenized(
        key, lambda: _with_copies(corpus.train, layout, method, config, seed), cache / "augmented"
    )
    return replace(corpus, train=train, fingerprint=key)


def _with_copies(
    examples: Dataset, layout: str, method: type[Augmenter], config: AugmentConfig, seed: int
) -> Dataset:
    import datasets
    import numpy as np

    def copies() -> Iterator[Mapping[str, Any]]:
        for copy in range(config.copies):
            augmenter = method(config.share, examples, np.random.default_rng([seed, copy]))
            for example in examples:
                yield _changed(example, layout, augmenter)

    made = datasets.Dataset.from_list(list(copies()), features=examples.features)
    return datasets.concatenate_datasets([examples, made])


def _changed(example: Mapping[str, Any], layout: str, augmenter: Augmenter) -> dict[str, Any]:
    if layout == "tokens":
        tokens, tags = augmenter.change(example["tokens"], example["tags"])
        return {**example, "tokens": tokens, "tags": tags}
    names = [name for name in ("text", "text_pair") if example.get(name) is not None]
    return {**example, **{name: _rewritten(example[name], augmenter) for name in names}}


def _rewritten(text: str, augmenter: Augmenter) -> str:
    """Change the words of a text; the spaces between them stay while their number does."""
    parts = _WORDS.split(text)
    words = parts[::2]
    changed, _ = augmenter.change(words, ["O"] * len(words))
    if len(changed) != len(words):
        return " ".join(changed)
    parts[::2] = changed
    return "".join(parts)
