"""The tokenizers of models and of stored results: fast ones, each read once a process."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stagetree.core import digests
from stagetree.core.errors import ModelError
from stagetree.models import source
from stagetree.models.quiet import quiet

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from stagetree.models.config import ModelConfig

_KEPT = 8
_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "vocab.*",
    "merges.txt",
    "*.model",
)
"""Where a fast tokenizer keeps itself in a model directory."""


@dataclass(frozen=True)
class _Content:
    """The tokenizer in a model directory: the same one wherever the files are the same."""

    files: tuple[tuple[str, str], ...]
    directory: str = field(compare=False)


def of_model(config: ModelConfig) -> PreTrainedTokenizerBase:
    """Return the model's tokenizer: a fast one, one object a process.

    Raises:
        ModelError: There is none, or only a slow one.
        AssetError: The asset is not on this machine yet.
    """
    place, commit = source.locate_tokenizer(config), source.tokenizer_commit(config)
    return _of_model(place, commit, source.revision(config))


def stored(directory: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a model directory; results of the same tokenizer share one object.

    Raises:
        ModelError: It cannot be read.
    """
    places = sorted({path for name in _FILES for path in directory.glob(name) if path.is_file()})
    try:
        files = tuple((path.name, digests.sha256(path)) for path in places)
    except OSError as error:
        raise ModelError(f"cannot read the tokenizer in {directory}: {error}") from error
    return _stored(_Content(files, str(directory)))


def save(tokenizer: PreTrainedTokenizerBase, directory: Path) -> None:
    """Write a tokenizer, without the truncation and padding that its last call left in it."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
    with quiet():
        tokenizer.save_pretrained(directory)


@functools.lru_cache(maxsize=_KEPT)
def _of_model(place: str, commit: str | None, _revision: str) -> PreTrainedTokenizerBase:
    return _read(place, commit)


@functools.lru_cache(maxsize=_KEPT)
def _stored(content: _Content) -> PreTrainedTokenizerBase:
    return _read(content.directory, None)


def _read(place: str, commit: str | None) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        with quiet():
            found = AutoTokenizer.from_pretrained(place, revision=commit)
    except Exception as error:  # the Rust tokenizers raise plain Exception
        raise ModelError(f"cannot read the tokenizer in {place}: {error}") from error
    if not found.is_fast:
        raise ModelError(
            f"expected a fast tokenizer in {place} but got {type(found).__name__}, which cannot "
            "tell which word a sub-word belongs to; set model.tokenizer to one with a "
            "tokenizer.json"
        )
    return found
