"""Training without computing on padding.

Short rows in a batch with long ones are mostly padding. Batches of like length avoid it but make
worse models (their gradients are less alike); here batches stay random, and inside the encoder
several short rows share one line, each attending to itself only ("unpadding": Zeng et al. 2022,
https://arxiv.org/abs/2208.08124; Portes et al. 2023, https://arxiv.org/abs/2312.17482).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

WIDTH = 96
"""Least width of a line in tokens: longer ones differ less in length and attend to more."""

WORTH = 0.9
"""Lines are packed when they hold fewer tokens than this share of the padded batch."""

_ENCODERS = {
    "bert": "encoder",
    "camembert": "encoder",
    "distilbert": "transformer",
    "electra": "encoder",
    "roberta": "encoder",
    "xlm-roberta": "encoder",
}
"""Where models keep an encoder whose positions are set before it, by type of model."""


def encoder_of(model: PreTrainedModel) -> Any:
    """Return the stack of layers of ``model``, or ``None`` where positions are not set before it.

    It takes hidden states and a mask, and gives hidden states.
    """
    name = _ENCODERS.get(model.config.model_type)
    if name is None or getattr(model.config, "is_decoder", False):
        return None
    return getattr(model.base_model, name, None)


@contextlib.contextmanager
def unpadded(model: PreTrainedModel) -> Iterator[bool]:
    """Let the encoder of ``model`` skip padding inside the block, while it is in training mode.

    Outputs and gradients at real tokens are those of the padded batch, up to rounding; outputs at
    padding are zeros.

    Yields:
        Whether this kind of model can; others are left as they are.
    """
    encoder = encoder_of(model)
    if encoder is None:
        yield False
        return
    packing = _Packing()
    hooks = [
        encoder.register_forward_pre_hook(packing.before, with_kwargs=True),
        encoder.register_forward_hook(packing.after),
    ]
    try:
        yield True
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class _Layout:
    """Where the tokens of a padded batch lie in lines.

    Attributes:
        shape: Rows and length of the padded batch.
        source: For every place of every line the token there, by its place in the padded batch.
        rows: For every place the row its token is of; -1 where there is none.
        tokens: Places of all real tokens in the padded batch.
        places: Where in the lines those tokens are.
    """

    shape: tuple[int, int]
    source: torch.Tensor
    rows: torch.Tensor
    tokens: torch.Tensor
    places: torch.Tensor


class _Packing:
    """The two hooks: lines in, padded batch out."""

    def __init__(self) -> None:
        self._layout: _Layout | None = None

    def before(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        """Replace a padded batch and its mask by lines and theirs."""
        self._layout = None
        mask = kwargs.get("attention_mask")
        if not module.training or mask is None or mask.dim() != 4:
            return None
        real = mask[:, 0, 0]
        layout = _pack(real if real.dtype == torch.bool else real >= 0)
        if layout is None:
            return None
        self._layout = layout
        hidden = args[0] if args else kwargs["hidden_states"]
        lines = hidden.flatten(0, 1)[layout.source]
        mask = _own_row_only(layout.rows, mask)
        return (), {**kwargs, "hidden_states": lines, "attention_mask": mask}

    def after(self, module: nn.Module, args: Any, output: Any) -> Any:
        """Give the tokens back their places in the padded batch."""
        layout = self._layout
        if layout is None:
            return None
        lines = output.last_hidden_state
        rows, length = layout.shape
        padded = lines.new_zeros(rows * length, lines.shape[-1])
        found = lines.flatten(0, 1)[layout.places]
        output.last_hidden_state = padded.index_copy(0, layout.tokens, found).view(rows, length, -1)
        return output


def _own_row_only(rows: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return the mask that lets each place attend to its own row; of ``like``'s kind."""
    same = (rows[:, :, None] == rows[:, None, :])[:, None]
    if like.dtype == torch.bool:
        return same
    blocked = torch.zeros(same.shape, dtype=like.dtype, device=like.device)
    return blocked.masked_fill(~same, torch.finfo(like.dtype).min)


def _pack(real: torch.Tensor) -> _Layout | None:
    """Lay the rows of a batch into lines, or return ``None`` when that would save too little.

    Args:
        real: Whether each token is one; shape (rows, length).
    """
    rows, length = real.shape
    lines = balanced([int(count) for count in real.sum(1).tolist()], WIDTH)
    masks = real.cpu().numpy()
    own = [np.flatnonzero(mask) + row * length for row, mask in enumerate(masks)]
    width = max(sum(len(own[row]) for row in line) for line in lines)
    if len(lines) * width > WORTH * rows * length:
        return None
    source = np.zeros((len(lines), width), dtype=np.int64)
    owner = np.full((len(lines), width), -1, dtype=np.int64)
    for place, line in enumerate(lines):
        tokens = np.concatenate([own[row] for row in line])
        source[place, : len(tokens)] = tokens
        owner[place, : len(tokens)] = np.concatenate([np.full(len(own[row]), row) for row in line])
    used = np.flatnonzero(owner.ravel() >= 0)
    arrays = (source, owner, source.ravel()[used], used)
    return _Layout((rows, length), *(torch.from_numpy(array).to(real.device) for array in arrays))


def balanced(sizes: Sequence[int], width: int) -> list[list[int]]:
    """Share things out over lines of about ``width`` or more, so that the fullest is short.

    Each thing, largest first, goes to the line with most room (Graham 1969,
    https://doi.org/10.1137/0117039).

    Returns:
        What is in each line.

    >>> balanced([5, 2, 4, 3], 6)
    [[0, 1], [2, 3]]
    """
    lines: list[list[int]] = [[] for _ in range(max(1, sum(sizes) // max(width, *sizes)))]
    loads = [0] * len(lines)
    for item in sorted(range(len(sizes)), key=lambda item: -sizes[item]):
        place = loads.index(min(loads))
        lines[place].append(item)
        loads[place] += sizes[item]
    return lines
