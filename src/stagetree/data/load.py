"""Load the corpus a configuration asks for, once per process."""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from stagetree.core.errors import DataError
from stagetree.data.sources.base import SOURCES
from stagetree.data.splits import shuffled

if TYPE_CHECKING:
    from datasets import Dataset

    from stagetree.data.config import DataConfig
    from stagetree.data.corpus import Corpus

_KEPT = 4
_corpora: OrderedDict[str, Corpus] = OrderedDict()
_lock = threading.RLock()  # a corpus may be made of others


def load(config: DataConfig) -> Corpus:
    """Return the corpus of ``config``, cut to ``max_train``, ``max_validation``, ``max_test``.

    The few corpora used last stay in memory, so asking again costs only the fingerprint.

    Raises:
        DataError: The data cannot be used, or train or validation is empty. An empty test
            split is allowed: only a final evaluation needs it.
        AssetError: The data is an asset that was not fetched.
    """
    source = SOURCES[config.kind]
    key = f"{config.kind}/{source.fingerprint(config)}"
    with _lock:
        if key not in _corpora:
            _corpora[key] = _limited(source.load(config), config)
            while len(_corpora) > _KEPT:
                _corpora.popitem(last=False)
        _corpora.move_to_end(key)
        return _corpora[key]


def _limited(corpus: Corpus, config: DataConfig) -> Corpus:
    splits = {}
    for name in ("train", "validation", "test"):
        rows: Dataset = getattr(corpus, name)
        if not len(rows) and name != "test":
            raise DataError(
                f"{corpus.name}: expected examples in the {name} split, got none; "
                "check data.split and the files or splits that data names"
            )
        splits[name] = _first(rows, getattr(config, f"max_{name}"), f"{config.split_seed}/{name}")
    return dataclasses.replace(corpus, **splits)


def _first(rows: Dataset, limit: int | None, seed: str) -> Dataset:
    if limit is None or limit >= len(rows):
        return rows
    return rows.select(shuffled(len(rows), seed)[:limit], keep_in_memory=True)
