"""A model in two parts: a trunk that is frozen, and the layers and head above it."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutput

from stagetree.training.freezing import encoder_layers
from stagetree.training.unpadding import encoder_of

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


def cuttable(model: PreTrainedModel) -> bool:
    """Return whether the layers of ``model`` can be told apart, and it predicts no words."""
    return (
        encoder_of(model) is not None
        and hasattr(model.base_model, "embeddings")
        and model.get_output_embeddings() is None
    )


class Cut:
    """A model cut below its top layers."""

    def __init__(self, model: PreTrainedModel, below: int) -> None:
        layers = list(encoder_layers(model))
        base: Any = model.base_model
        self._model = model
        self._base = base
        self._top = layers[below:]
        self._layers = layers[:below]
        self._embeddings = base.embeddings
        self._between = [base.embeddings_project] if hasattr(base, "embeddings_project") else []

    def frozen(self) -> bool:
        """Return whether no weight of the trunk trains."""
        return not any(
            weight.requires_grad for module in self._modules() for weight in module.parameters()
        )

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Let the base model, without dropout, end below the top layers inside the block."""
        training = [(module, module.training) for module in self._base.modules()]
        self._base.eval()
        try:
            with _instead(self._top, _same):
                yield
        finally:
            for module, mode in training:
                module.training = mode

    @contextlib.contextmanager
    def fed(self, values: Sequence[np.ndarray], mask: np.ndarray) -> Iterator[None]:
        """Let the model begin with the trunk's outputs inside the block.

        Where only a head is left that looks at every token by itself, it gets the tokens without
        padding.

        Args:
            values: What the trunk made of each row: (tokens, width).
            mask: Where the padded batch that the model is called with has tokens.
        """
        if not self._top and type(self._model).__name__.endswith("ForTokenClassification"):
            with self._line(values, mask):
                yield
            return
        if not self._top:
            encoder_of(self._model).training = False  # there is nothing to skip padding in
        hidden = torch.from_numpy(_padded(values, mask)).to(self._model.device)
        given = _instead([self._embeddings], lambda *args, **kwargs: hidden)
        with given, _instead([*self._between, *self._layers], _same):
            yield

    @contextlib.contextmanager
    def _line(self, values: Sequence[np.ndarray], mask: np.ndarray) -> Iterator[None]:
        device = self._model.device
        line = torch.from_numpy(np.concatenate(values)).to(device)[None]
        real = torch.from_numpy(mask).to(device)

        def base(*args: Any, **kwargs: Any) -> BaseModelOutput:
            return BaseModelOutput(last_hidden_state=line)

        def padded(module: nn.Module, args: Any, output: Any) -> Any:
            logits = output.logits[0]
            zeros = logits.new_zeros(*real.shape, logits.shape[-1])
            output.logits = zeros.index_put((real,), logits)
            return output

        hook = self._model.register_forward_hook(padded)
        try:
            with _instead([self._base], base):
                yield
        finally:
            hook.remove()

    def digest(self, arithmetic: str) -> str:
        """Return a sha256 that two trunks share when they make the same of every row here."""
        config = {
            name: value
            for name, value in self._model.config.to_dict().items()
            if not any(word in name for word in ("dropout", "label", "_name_or_path"))
        }
        device = self._model.device.type
        where = [arithmetic, device, torch.__version__, torch.get_num_threads(), len(self._top)]
        total = hashlib.sha256(json.dumps([config, where], sort_keys=True, default=str).encode())
        for module in self._modules():
            for name, value in module.state_dict().items():
                total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                total.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        return total.hexdigest()

    def _modules(self) -> list[nn.Module]:
        return [self._embeddings, *self._between, *self._layers]


@contextlib.contextmanager
def _instead(modules: Sequence[nn.Module], forward: Callable[..., Any]) -> Iterator[None]:
    """Let ``modules`` compute ``forward`` inside the block."""
    before = [module.__dict__.get("forward") for module in modules]
    for module in modules:
        module.__dict__["forward"] = forward
    try:
        yield
    finally:
        for module, own in zip(modules, before, strict=True):
            if own is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = own


def _same(hidden: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return hidden


def _padded(values: Sequence[np.ndarray], mask: np.ndarray) -> np.ndarray:
    """Lay rows into a batch of zeros: (rows, length, width), each from its first real token on."""
    padded = np.zeros((*mask.shape, values[0].shape[-1]), dtype=np.float32)
    for place, (row, first) in enumerate(zip(values, mask.argmax(1).tolist(), strict=True)):
        padded[place, first : first + len(row)] = row
    return padded
