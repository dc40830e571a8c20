"""Encoded splits, made once for everything that encodes them equally."""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stagetree.core.signature import digest

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from stagetree.data.corpus import Corpus
    from stagetree.tasks.base import Task

_identities: MutableMapping[PreTrainedTokenizerBase, str] = weakref.WeakKeyDictionary()
_seen: dict[bytes, str] = {}


def encoded(
    corpus: Corpus,
    split: str,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    max_length: int,
    cache: Path,
) -> Dataset:
    """Return a split of ``corpus`` as the task encodes it, from the cache when it lies there.

    Args:
        corpus: The data.
        split: ``train``, ``validation`` or ``test``.
        task: The task.
        tokenizer: The tokenizer.
        labels: Label names, in the order of the model's outputs.
        max_length: Longest row in sub-words.
        cache: Directory for what may be made again at any time.
    """
    from stagetree.data.tokenized import tokenized

    key = digest(
        {
            "corpus": corpus.fingerprint,
            "split": split,
            "task": task.encoding(),
            "tokenizer": identity(tokenizer),
            "labels": list(labels),
            "max_length": max_length,
        }
    )
    return tokenized(
        key,
        lambda: task.encode(getattr(corpus, split), tokenizer, labels, max_length),
        cache / "encoded",
    )


def identity(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a sha256 that two tokenizers share when they cut texts alike."""
    if tokenizer not in _identities:
        whole = tokenizer.backend_tokenizer.to_str()
        key = hashlib.sha256(whole.encode()).digest()
        if key not in _seen:  # every stage opens the same tokenizer again
            _seen[key] = _identity(json.loads(whole))
        _identities[tokenizer] = _seen[key]
    return _identities[tokenizer]


def _identity(whole: Mapping[str, object]) -> str:
    # Padding and truncation are left over from the last call, not part of the tokenizer.
    parts = {name: whole[name] for name in whole if name not in {"padding", "truncation"}}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
