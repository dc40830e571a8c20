"""Pretrained weights, read once a process."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import ModelError, nearest
from stagetree.models import source
from stagetree.models.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from transformers import PretrainedConfig, PreTrainedModel

    from stagetree.models.config import ModelConfig

LOAD_ERRORS = (OSError, ValueError, KeyError, RuntimeError, ImportError)
"""What ``transformers`` raises for files it cannot use."""


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a pretrained model.

    Attributes:
        model_class: The ``transformers`` class they belong to.
        weights: Its state dict, without what the checkpoint lacked.
        labels: Label names of its head; empty when it has none of its own.
    """

    model_class: type[PreTrainedModel]
    weights: Mapping[str, torch.Tensor]
    labels: tuple[str, ...]

    def of_base(self, name: str) -> bool:
        """Tell whether a parameter belongs to the encoder rather than to a head."""
        return name.startswith(f"{self.model_class.base_model_prefix}.")


def checkpoint(config: ModelConfig, auto_class: str) -> Checkpoint:
    """Return the pretrained weights; they are read when they were not, or when they changed.

    Raises:
        ModelError: The weights cannot be read.
    """
    return _checkpoint(
        source.locate(config), source.commit(config), source.revision(config), auto_class
    )


@functools.lru_cache(maxsize=2)
def _checkpoint(place: str, commit: str | None, _revision: str, auto_class: str) -> Checkpoint:
    import torch
    import transformers

    loader: Any = getattr(transformers, auto_class)
    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            model, report = loader.from_pretrained(
                place, revision=commit, dtype=torch.float32, output_loading_info=True
            )
    except Exception as error:
        raise unreadable(place, error) from error
    missing = set(report["missing_keys"])
    weights = {name: value for name, value in model.state_dict().items() if name not in missing}
    return Checkpoint(type(model), weights, own_labels(model.config))


def unreadable(place: str, error: Exception) -> Exception:
    """Return what to raise for an error of ``from_pretrained``: a ``ModelError`` if it fits."""
    from safetensors import SafetensorError

    if isinstance(error, (LOAD_ERRORS, SafetensorError)):
        return ModelError(f"cannot read the model in {place}: {error}")
    return error


def own_labels(config: PretrainedConfig) -> tuple[str, ...]:
    """Return the label names in a model's config, or nothing when they are placeholders."""
    names = tuple(config.id2label[index] for index in sorted(config.id2label))
    placeholders = tuple(f"LABEL_{index}" for index in range(len(names)))
    return () if names == placeholders else names


def configuration(config: ModelConfig) -> PretrainedConfig:
    """Return a fresh copy of the model's own config, with the overrides in it.

    Raises:
        ModelError: The config cannot be read, or has no entry of an override's name.
    """
    place = source.locate(config)
    original = _configuration(place, source.commit(config), source.revision(config))
    known = {*original.to_dict(), *original.attribute_map}
    for name in config.overrides:
        if name not in known:
            close = nearest(name, known)
            hint = f"; did you mean {close!r}?" if close else ""
            raise ModelError(f"model.overrides: the config of {place} has no {name!r}{hint}")
    if not config.overrides:
        return copy.deepcopy(original)
    renamed = {original.attribute_map.get(key, key): v for key, v in config.overrides.items()}
    try:
        return type(original).from_dict({**original.to_dict(), **renamed})
    except Exception as error:
        raise ModelError(f"model.overrides cannot be applied to {place}: {error}") from error


@functools.lru_cache(maxsize=8)
def _configuration(place: str, commit: str | None, _revision: str) -> PretrainedConfig:
    from transformers import AutoConfig

    try:
        with quiet():
            return AutoConfig.from_pretrained(place, revision=commit)
    except LOAD_ERRORS as error:
        raise ModelError(f"cannot read the config of {place}: {error}") from error
