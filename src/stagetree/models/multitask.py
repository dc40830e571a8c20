"""One encoder with several heads, each that of a ``transformers`` class."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
import transformers
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from stagetree.core.errors import ModelError, unknown
from stagetree.models import huggingface

if TYPE_CHECKING:
    from pathlib import Path

    from stagetree.models.config import ModelConfig

WEIGHTS = "model.safetensors"
LOWEST = -1e4
"""Logit of labels that are another head's: its probability is 0 in any arithmetic used here."""

_ENTRY = "stagetree_heads"


@dataclass(frozen=True)
class Head:
    """What a head is made for.

    Attributes:
        name: Name of its task.
        task: Kind of its task.
        auto_class: Name of the ``transformers`` class that it is the head of.
        labels: Its own label names.
    """

    name: str
    task: str
    auto_class: str
    labels: Sequence[str]


class MultitaskModel(PreTrainedModel):  # type: ignore[misc]
    """One encoder and the heads that its config lists.

    Every head is a model of ``transformers`` whose encoder is the shared one, so that it computes
    exactly what that class computes. A pooler, where one of the classes has one, counts as part
    of the encoder.

    Args:
        config: The encoder's config with the heads in it; see :func:`configured`.
    """

    form = "multitask"
    base_model_prefix = "encoder"
    config_class = PretrainedConfig
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        self.specs = heads_of(config)
        models = [_single(config, head) for head in self.specs]
        self.encoder = max((model.base_model for model in models), key=_size)
        self.heads = nn.ModuleList(_without_encoder(model, self.encoder) for model in models)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        head: torch.Tensor | None = None,
        **options: Any,
    ) -> Any:
        """Return what the rows' head gives, its logits at their places in the joint list.

        Args:
            input_ids: Shape (rows, length).
            attention_mask: Shape (rows, length).
            token_type_ids: Shape (rows, length).
            head: Number of the rows' task, the same for all; shape (rows,).
            options: What else the classes of ``transformers`` take.

        Raises:
            ModelError: No head is named, or several are.
        """
        number = self._number(head)
        tensors = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
        }
        given = {name: value for name, value in tensors.items() if value is not None}
        output = self.heads[number](**given, **options)
        counts = [len(spec.labels) for spec in self.specs]
        around = (sum(counts[:number]), sum(counts[number + 1 :]))
        output.logits = nn.functional.pad(output.logits, around, value=LOWEST)
        return output

    def single(self, name: str) -> PreTrainedModel:
        """Return a plain model with a copy of the encoder and one head, in evaluation mode.

        Raises:
            ModelError: There is no such head.
        """
        names = [spec.name for spec in self.specs]
        if name not in names:
            raise ModelError(unknown("head", name, names))
        number = names.index(name)
        with torch.random.fork_rng(devices=[]):
            model = _single(self.config, self.specs[number])
        prefix = model.base_model_prefix
        encoder = self.encoder.state_dict(prefix=f"{prefix}.")
        weights = {**encoder, **self.heads[number].state_dict()}
        model.load_state_dict({key: weights[key] for key in model.state_dict()})
        return model.to(self.device).eval()

    def get_input_embeddings(self) -> nn.Module:
        """Return the encoder's table of word embeddings."""
        table: nn.Module = self.encoder.get_input_embeddings()
        return table

    def get_output_embeddings(self) -> None:
        """Return nothing: no head predicts words."""

    def save_pretrained(self, directory: Path, **_: Any) -> None:
        """Write config and weights; :func:`stored` reads them."""
        from safetensors.torch import save_file

        self.config.save_pretrained(directory)
        weights = {key: value.contiguous() for key, value in self.state_dict().items()}
        save_file(weights, directory / WEIGHTS, metadata={"format": "pt"})

    def _number(self, head: torch.Tensor | None) -> int:
        if head is None:
            names = ", ".join(spec.name for spec in self.specs)
            raise ModelError(f"expected 'head' in the batch, the number of one of {names}")
        first, last = torch.aminmax(head)
        if first != last:
            raise ModelError(f"expected a batch of one task but got heads {head.tolist()}")
        return int(first)


def heads_of(config: PretrainedConfig) -> list[Head]:
    """Return the heads that a config lists, in their order."""
    return [Head(**entry) for entry in getattr(config, _ENTRY)]


def configured(config: PretrainedConfig, heads: Sequence[Head]) -> PretrainedConfig:
    """Return a copy of an encoder's config with the heads in it."""
    whole = copy.deepcopy(config)
    entries = [{**asdict(head), "labels": list(head.labels)} for head in heads]
    setattr(whole, _ENTRY, entries)
    joint = [f"{head.name}/{label}" for head in heads for label in head.labels]
    huggingface.set_labels(whole, joint)
    return whole


def build(
    config: ModelConfig, heads: Sequence[Head], seed: int, dropout: float | None = None
) -> MultitaskModel:
    """Return a fp32 model, in evaluation mode, ready to be trained.

    The encoder is the pretrained one, the heads are new, each drawn from a seed of its own
    (see :func:`stagetree.models.huggingface.build`).

    Raises:
        ModelError: The model cannot be read, or the overrides do not fit it.
        AssetError: The asset is not on this machine yet.
    """
    models = [
        huggingface.build(config, head.auto_class, head.labels, seed + number, dropout)
        for number, head in enumerate(heads)
    ]
    with torch.random.fork_rng(devices=[]):
        whole = MultitaskModel(configured(models[0].config, heads))
    widest = max((model.base_model for model in models), key=_size)
    whole.encoder.load_state_dict(widest.state_dict())
    for own, model in zip(whole.heads, models, strict=True):
        weights = model.state_dict()
        own.load_state_dict({key: weights[key] for key in own.state_dict()})
    whole.eval()
    return whole


def stored(directory: Path, dropout: float | None = None) -> MultitaskModel:
    """Return the model of a directory of form ``multitask``, in evaluation mode.

    Raises:
        ModelError: Its files cannot be read, or lack weights.
    """
    from safetensors.torch import load_file

    from stagetree.models.checkpoint import unreadable

    try:
        with torch.random.fork_rng(devices=[]):
            config = transformers.AutoConfig.from_pretrained(directory)
            huggingface.set_dropout(config, dropout)
            model = MultitaskModel(config)
        model.load_state_dict(load_file(directory / WEIGHTS))
        model.eval()
    except Exception as error:
        raise unreadable(str(directory), error) from error
    return model


def _single(config: PretrainedConfig, head: Head) -> PreTrainedModel:
    own = copy.deepcopy(config)
    delattr(own, _ENTRY)
    huggingface.set_labels(own, head.labels)
    loader: Any = getattr(transformers, head.auto_class)
    model: PreTrainedModel = loader.from_config(own, dtype=torch.float32)
    return model


def _without_encoder(model: PreTrainedModel, encoder: nn.Module) -> PreTrainedModel:
    """Let a model use ``encoder`` without owning it: its weights are counted and kept once."""
    delattr(model, model.base_model_prefix)
    model.__dict__[model.base_model_prefix] = encoder
    return model


def _size(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())
