"""A corpus of which only a share is trained on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stagetree.core.signature import digest
from stagetree.data.splits import shuffled

if TYPE_CHECKING:
    from stagetree.data.corpus import Corpus


def part(corpus: Corpus, share: float) -> Corpus:
    """Return ``corpus`` with a share of its training examples, in their order, at least one.

    The same examples are chosen whatever the seed of a run, and a smaller share is part of a
    larger one. Validation and test stay whole, so that scores can be compared.

    Args:
        corpus: The data.
        share: In (0, 1]; 1 gives the corpus itself.
    """
    count = max(1, round(share * len(corpus.train)))
    if count >= len(corpus.train):
        return corpus
    fingerprint = digest({"corpus": corpus.fingerprint, "train": count})
    chosen = sorted(shuffled(len(corpus.train), corpus.fingerprint)[:count])
    train = corpus.train.select(chosen, keep_in_memory=True)
    return dataclasses.replace(corpus, train=train, fingerprint=fingerprint)
