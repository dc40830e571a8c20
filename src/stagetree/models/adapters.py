"""Adapters: few trainable weights on a frozen model, attached in place.

The model keeps its class and its modules their names, so that whatever knows the model knows it
with an adapter too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import ModelError, nearest
from stagetree.models import prompts
from stagetree.models.adapter_config import AdapterConfig, AdapterMethod, AdapterTargets
from stagetree.models.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch
    from transformers import PreTrainedModel

DIRECTORY = "adapter"
"""Where in a model directory the adapter lies by itself."""

WEIGHTS = "adapter_model.safetensors"
_NAME = "default"


class Adapter(ABC):
    """An adapter on a model.

    Attributes:
        model: The model, changed in place.
        parameters: The adapter's own trainable parameters, by their names in the model.
    """

    def __init__(self, model: PreTrainedModel, parameters: dict[str, torch.nn.Parameter]) -> None:
        self.model = model
        self.parameters = parameters

    @abstractmethod
    def save(self, directory: Path, trained: Sequence[str]) -> None:
        """Write the adapter to a new directory.

        Args:
            directory: The directory.
            trained: Names of the model's own parameters that trained beside the adapter.
        """

    @abstractmethod
    def dissolve(self) -> None:
        """Take the adapter off the model: merged into its weights, where that is possible."""


def attach(model: PreTrainedModel, config: AdapterConfig, seed: int, total_steps: int) -> Adapter:
    """Put a new adapter on a model and let nothing but the adapter's weights train.

    Equal arguments give bit-equal weights, and the global random state is left alone.

    Args:
        model: The model; it is changed.
        config: The adapter; its method is not ``none``.
        seed: Seed of the adapter's first weights.
        total_steps: Optimiser steps there will be.

    Raises:
        ModelError: The model has nothing of what is to be adapted.
    """
    import torch

    model.requires_grad_(False)
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if config.stays_apart:
            added = prompts.attach(model, config.method.name, config.virtual_tokens)
            return PromptAdapter(model, added, config)
        return WeightAdapter(model, _peft_config(model, config, total_steps))


class WeightAdapter(Adapter):
    """An adapter that ``peft`` injects and that can be merged.

    Attributes:
        tuner: The ``peft`` tuner.
    """

    def __init__(self, model: PreTrainedModel, config: Any) -> None:
        from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

        training = model.training
        self.tuner: Any = PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type](model, config, _NAME)
        model.train(training)
        super().__init__(
            model, {name: weight for name, weight in model.named_parameters() if _trains(weight)}
        )

    def save(self, directory: Path, trained: Sequence[str]) -> None:
        """Write what ``peft.PeftModel.from_pretrained`` reads; see :meth:`Adapter.save`."""
        from peft import get_peft_model_state_dict
        from safetensors.torch import save_file

        config = self.tuner.peft_config[_NAME]
        if config.peft_type == "ADALORA":
            config.rank_pattern = None  # kept whole: ranks that were given up are zeros
        weights = get_peft_model_state_dict(
            self.model, adapter_name=_NAME, save_embedding_layers=False
        )
        own = self.model.state_dict()
        weights |= {name: own[name] for name in trained}
        config.modules_to_save = sorted({name.rpartition(".")[0] for name in trained}) or None
        config.save_pretrained(str(directory))
        save_file(
            {f"base_model.model.{name}": value.contiguous() for name, value in weights.items()},
            directory / WEIGHTS,
            {"format": "pt"},
        )

    def dissolve(self) -> None:
        """Merge the adapter into the weights."""
        with quiet():
            self.tuner.merge_and_unload(safe_merge=True)
        if hasattr(self.model, "peft_config"):  # older versions of peft leave it
            del self.model.peft_config


class PromptAdapter(Adapter):
    """Virtual tokens; they cannot be merged."""

    def __init__(
        self,
        model: PreTrainedModel,
        parameters: dict[str, torch.nn.Parameter],
        config: AdapterConfig,
    ) -> None:
        super().__init__(model, parameters)
        self._config = config

    def save(self, directory: Path, trained: Sequence[str]) -> None:
        """Write what :func:`stagetree.models.prompts.load` reads; see :meth:`Adapter.save`."""
        prompts.save(
            directory, self._config.method.name, self._config.virtual_tokens, self.parameters
        )

    def dissolve(self) -> None:
        """Take the virtual tokens off; the model is as it was, but for its head."""
        prompts.detach(self.model, self.parameters)


def _trains(weight: torch.nn.Parameter) -> bool:
    return bool(weight.requires_grad)


def _peft_config(model: PreTrainedModel, config: AdapterConfig, total_steps: int) -> Any:
    """Return the ``peft`` config of an adapter that can be merged."""
    import peft

    targets = target_names(model, config)
    if config.method is AdapterMethod.ia3:
        narrowing = [name for name in targets if _narrows(model.get_submodule(name))]
        return peft.IA3Config(target_modules=targets, feedforward_modules=narrowing)
    low_rank: dict[str, Any] = {
        "target_modules": targets,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
    }
    if config.method is AdapterMethod.adalora:
        # The budget falls from 1.5 times the rank, in the proportions of the paper's experiments.
        return peft.AdaLoraConfig(
            **low_rank,
            init_r=max(config.rank + 1, config.rank * 3 // 2),
            target_r=config.rank,
            tinit=total_steps // 10,
            tfinal=total_steps * 3 // 10,
            deltaT=max(1, total_steps // 100),
            total_step=total_steps,
        )
    return peft.LoraConfig(**low_rank, r=config.rank, use_dora=config.method is AdapterMethod.dora)


def _narrows(module: Any) -> bool:
    """Return whether a linear map goes back from a feed-forward's inside to the hidden size."""
    inward = module.weight.shape[1] > module.weight.shape[0]
    return inward if type(module).__name__ != "Conv1D" else not inward


def target_names(model: PreTrainedModel, config: AdapterConfig) -> list[str]:
    """Return the whole names of the linear maps that a config adapts.

    Raises:
        ModelError: There are none, or one of ``config.modules`` is not among the layers'.
    """
    linear = _linear_in_layers(model)
    if not linear:
        raise ModelError(f"{type(model).__name__} has no linear maps in layers to adapt")
    if config.modules:
        return _named(linear, config.modules)
    if config.targets is AdapterTargets.all_linear:
        return linear
    found = [name for name in linear if "att" in name.lower()]
    if not found:
        raise ModelError(
            f"no linear map of {type(model).__name__} is called attention; name some of "
            f"{_ends(linear)} in adapter.modules"
        )
    return found


def _named(linear: Sequence[str], wanted: Sequence[str]) -> list[str]:
    for end in wanted:
        if not any(f".{name}".endswith(f".{end}") for name in linear):
            close = nearest(end, _ends(linear))
            hint = f"; did you mean {close!r}?" if close else ""
            raise ModelError(
                f"adapter.modules: expected names among {_ends(linear)} but got {end!r}{hint}"
            )
    return [name for name in linear if f".{name}".endswith(tuple(f".{end}" for end in wanted))]


def _ends(names: Sequence[str]) -> list[str]:
    return sorted({name.rpartition(".")[2] for name in names})


def _linear_in_layers(model: PreTrainedModel) -> list[str]:
    import torch
    from transformers.pytorch_utils import Conv1D

    stacks = [name for name, part in model.named_modules() if isinstance(part, torch.nn.ModuleList)]
    within = tuple(f"{name}." for name in stacks)
    return [
        name
        for name, part in model.named_modules()
        if isinstance(part, torch.nn.Linear | Conv1D) and name.startswith(within)
    ]
