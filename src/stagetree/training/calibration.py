"""The training rows that a quantiser looks at to learn the range of activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stagetree.core.errors import ModelError
from stagetree.models.quantization.base import FEWEST_EXAMPLES
from stagetree.training.batches import Collate, Rows
from stagetree.training.encoded import encoded

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from stagetree.data.corpus import Corpus
    from stagetree.tasks.base import Task


def examples(
    corpus: Corpus,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    labels: Sequence[str],
    max_length: int,
    cache: Path,
    count: int,
    seed: int,
) -> list[dict[str, np.ndarray]]:
    """Return encoded training rows, drawn without replacement and without labels.

    Each is a batch of its own, so that padding is not in the ranges. When the corpus has fewer
    rows than ``count``, all are taken.

    Args:
        corpus: The data.
        task: Encodes the rows.
        tokenizer: The model's tokenizer.
        labels: Label names, in the order of the model's outputs.
        max_length: Longest row in sub-words.
        cache: Directory for encoded rows.
        count: How many rows.
        seed: Decides which.

    Returns:
        One mapping a row, of input name to an array (1, length).

    Raises:
        ModelError: The corpus has fewer than ``FEWEST_EXAMPLES`` rows.
    """
    rows = encoded(corpus, "train", task, tokenizer, labels, max_length, cache)
    if len(rows) < FEWEST_EXAMPLES:
        raise ModelError(
            f"expected at least {FEWEST_EXAMPLES} training rows to calibrate with but got "
            f"{len(rows)}; give more data, or quantise with a method that needs none: onnx_int8, "
            "torch_int8"
        )
    order = np.random.default_rng(seed).permutation(len(rows))[:count]
    chosen, collate = Rows(rows), Collate(task.collator(tokenizer))
    batches = (collate([dict(chosen[int(place)])]) for place in sorted(order))
    return [
        {name: value.numpy() for name, value in batch.items() if name != "labels"}
        for batch in batches
    ]
