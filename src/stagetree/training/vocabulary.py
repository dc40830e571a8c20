"""Training with only those rows of the word embeddings that the data can reach.

Half of a small encoder is its table of word embeddings, of which a corpus uses some thousand rows.
Gradients, norms and optimiser steps over the rest are zeros that cost up to a quarter of a step.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WHOLE = ""
"""What ``compact`` gives for a model whose table stays as it is."""

_COLUMN = "input_ids"


@contextlib.contextmanager
def compact(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *splits: Dataset
) -> Iterator[str]:
    """Let ``model`` hold only the word embeddings of ids in ``splits``, and special ones, inside.

    The model is called with the same ids as ever and computes the same numbers with the same
    gradients, bit for bit; only the norm of all gradients may round differently. After the block,
    however it ends, the model has its whole table back: the rows that were held as they are then,
    the others exactly as before. They get no gradient, and inside the block no weight decay.

    A table stays whole when it is no plain ``nn.Embedding``, when the model predicts words (its
    outputs may come back as inputs, and its output layer may share the table), when something
    else shares it, and when rows hold no ids.

    Yields:
        A digest of the ids that are held, or ``WHOLE``: weights saved inside the block fit
        a model with the same digest only.
    """
    embedding = model.get_input_embeddings()
    ids = _ids(embedding, tokenizer, splits) if _alone(model, embedding) else None
    if ids is None:
        yield WHOLE
        return
    whole, padding = embedding.weight, embedding.padding_idx
    places = torch.full((len(whole),), -1)
    places[ids] = torch.arange(len(ids))
    hook = embedding.register_forward_pre_hook(_Renumber(places))
    embedding.padding_idx = None if padding is None else int(places[padding])
    _give(embedding, nn.Parameter(whole.detach()[ids.to(whole.device)], whole.requires_grad))
    try:
        yield hashlib.sha256(f"{len(whole)} {ids.tolist()}".encode()).hexdigest()
    finally:
        hook.remove()
        embedding.padding_idx = padding
        _give(embedding, _merged(whole, embedding.weight, ids))


class _Renumber:
    """Turns ids into places of the compact table just before they are looked up."""

    def __init__(self, places: torch.Tensor) -> None:
        self._places = places

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        ids, *others = inputs
        self._places = self._places.to(ids.device)
        return self._places[ids], *others


def _alone(model: PreTrainedModel, embedding: Any) -> bool:
    """Return whether ``embedding`` is a plain table that nothing else uses."""
    if type(embedding) is not nn.Embedding or model.get_output_embeddings() is not None:
        return False
    weights = [weight for _, weight in model.named_parameters(remove_duplicate=False)]
    return sum(weight is embedding.weight for weight in weights) == 1


def _ids(
    embedding: nn.Embedding, tokenizer: PreTrainedTokenizerBase, splits: Sequence[Dataset]
) -> torch.Tensor | None:
    """Return the ids that can occur, ascending; nothing where that saves nothing."""
    if any(_COLUMN not in split.column_names for split in splits):
        return None
    padding = [] if embedding.padding_idx is None else [embedding.padding_idx]
    found = {*tokenizer.all_special_ids, *padding}
    found.update(*(_occurring(split) for split in splits))
    if max(found) >= len(embedding.weight) or len(found) == len(embedding.weight):
        return None
    return torch.tensor(sorted(found))


def _occurring(split: Dataset) -> list[int]:
    column: Any = split.with_format("arrow").select_columns([_COLUMN])[:].column(_COLUMN)
    values = column.combine_chunks()
    while values.type.num_fields:  # a list of ids, or of lists of them
        values = values.flatten()
    ids: list[int] = values.unique().to_pylist()
    return ids


def _merged(whole: nn.Parameter, held: nn.Parameter, ids: torch.Tensor) -> nn.Parameter:
    """Return ``whole`` with the rows of ``held``, where and as ``held`` is."""
    whole.data = whole.data.to(held)
    whole.data[ids.to(held.device)] = held.data
    whole.requires_grad_(held.requires_grad)
    return whole


def _give(embedding: nn.Embedding, weight: nn.Parameter) -> None:
    embedding.weight = weight
    embedding.num_embeddings = len(weight)
