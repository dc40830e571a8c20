"""Building, saving and reopening ``transformers`` models."""

from __future__ import annotations

import contextlib
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from stagetree.core import atomic
from stagetree.core.errors import ModelError, unknown
from stagetree.models import format as model_format
from stagetree.models import tokenizers
from stagetree.models.checkpoint import (
    Checkpoint,
    checkpoint,
    configuration,
    unreadable,
)
from stagetree.models.format import Manifest
from stagetree.models.quiet import quiet
from stagetree.models.runner import FORMS
from stagetree.models.structure import FILE, irregular, structure_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from stagetree.models.config import ModelConfig

_IN_A_LAYER = re.compile(r"\.\d+\.")


def build(
    config: ModelConfig,
    auto_class: str,
    labels: Sequence[str],
    seed: int,
    dropout: float | None = None,
) -> PreTrainedModel:
    """Return a fp32 model, in evaluation mode, ready to be trained.

    Equal arguments give bit-equal weights, whatever ran before in the process, and the global
    random state is left alone. A checkpoint's own head is kept exactly when its label names are
    ``labels``; any other head is new, drawn from ``seed``.

    Args:
        config: The pretrained model.
        auto_class: Name of the ``transformers`` class with the head.
        labels: Label names, in the order of the outputs; empty for heads without labels.
        seed: Seed of everything drawn.
        dropout: Replaces every dropout probability of the model's config when given.

    Raises:
        ModelError: The model cannot be read, or the overrides do not fit it.
        AssetError: The asset is not on this machine yet.
    """
    settings = configuration(config)
    set_labels(settings, labels)
    set_dropout(settings, dropout)
    if not config.from_scratch:
        return _pretrained(config, auto_class, settings, labels, seed)
    import torch
    import transformers

    with quiet(), _seeded(seed):
        loader: Any = getattr(transformers, auto_class)
        model = loader.from_config(settings, dtype=torch.float32)
    return model.eval()


def _pretrained(
    config: ModelConfig,
    auto_class: str,
    settings: PretrainedConfig,
    labels: Sequence[str],
    seed: int,
) -> PreTrainedModel:
    import torch

    stored = checkpoint(config, auto_class)
    keep_head = not labels or stored.labels == tuple(labels)
    weights = {
        name: value.clone()  # the cache must not be trained
        for name, value in stored.weights.items()
        if keep_head or stored.of_base(name)
    }
    try:
        with quiet(), _seeded(seed):
            model, report = stored.model_class.from_pretrained(
                None,
                config=settings,
                state_dict=weights,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except RuntimeError as error:
        raise ModelError(
            f"the weights of {config.name} do not fit model.overrides {dict(config.overrides)}: "
            f"{error}; with pretrained weights overrides must keep shapes "
            "(or set model.from_scratch=true)"
        ) from error
    _refuse_gaps(config, stored, report["missing_keys"])
    return model.eval()


def _refuse_gaps(config: ModelConfig, stored: Checkpoint, missing: Sequence[str]) -> None:
    gaps = sorted(key for key in missing if stored.of_base(key) and _IN_A_LAYER.search(key))
    if gaps:
        raise ModelError(
            f"{config.name} has no weights for {len(gaps)} parameters of its layers, e.g. "
            f"{gaps[0]}: its config (or model.overrides {dict(config.overrides)}) describes "
            "another model than its weights"
        )


def set_labels(settings: PretrainedConfig, labels: Sequence[str]) -> None:
    """Name the outputs in a model's config, unless there are no names."""
    if labels:
        settings.id2label = dict(enumerate(labels))
        settings.label2id = {label: index for index, label in enumerate(labels)}


def set_dropout(settings: PretrainedConfig, dropout: float | None) -> None:
    """Replace every dropout probability in a model's config, unless there is no other."""
    if dropout is None:
        return
    for name, value in settings.to_dict().items():
        probability = value is None or (
            isinstance(value, int | float) and not isinstance(value, bool)
        )
        if "drop" in name and "layerdrop" not in name and probability:
            setattr(settings, name, dropout)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed GPUs too
        yield


def save(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    directory: Path,
    task_kind: str,
    labels: Sequence[str],
    max_length: int,
    *,
    numerics: str = "fp32",
    lineage: Mapping[str, Any] | None = None,
    form: str | None = None,
    parameters: int | None = None,
) -> Manifest:
    """Write a model directory that :func:`stagetree.models.load.load` opens bit-equal.

    ``transformers`` reads it too, as any directory of ``save_pretrained``; but for a model whose
    layers lost heads or feed-forward units (form ``pruned``), which its config cannot describe.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        directory: An existing, empty directory.
        task_kind: Kind of the task it was trained for.
        labels: Label names, in the order of the outputs.
        max_length: Longest input it was trained for, in sub-words.
        numerics: Arithmetic it was trained and scored with.
        lineage: What it was made from and how, for people.
        form: The form, where more lies in the directory already that belongs to the model.
        parameters: Number of weights, where the model has not all of them.
    """
    with quiet():
        model.save_pretrained(directory)
    tokenizers.save(tokenizer, directory)
    pruned = irregular(model)
    if pruned:
        atomic.write_json(directory / FILE, asdict(structure_of(model)))
    usual: str = "pruned" if pruned else getattr(model, "form", "huggingface")
    manifest = Manifest(
        form=form or usual,
        task=task_kind,
        auto_class=_auto_class(type(model)),
        labels=list(labels),
        max_length=max_length,
        parameters=model.num_parameters() if parameters is None else parameters,
        numerics=numerics,
        lineage=dict(lineage or {}),
    )
    return model_format.write(directory, manifest)


def _auto_class(model_class: type) -> str:
    """Return the name of the ``Auto`` class for a model class, or the class's own name."""
    import transformers

    head = re.search(r"For\w+|LMHeadModel", model_class.__name__)
    if head is None:
        return model_class.__name__
    name = "AutoModelForCausalLM" if head.group() == "LMHeadModel" else f"AutoModel{head.group()}"
    return name if hasattr(transformers, name) else model_class.__name__


def open_model(
    directory: Path, dropout: float | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, Manifest]:
    """Reopen a model directory to train it further, or to change it.

    Args:
        directory: A stage's result.
        dropout: Replaces every dropout probability of the model's config when given.

    Returns:
        The fp32 model in evaluation mode, its tokenizer and its manifest.

    Raises:
        ModelError: The directory cannot be read, or holds a form that cannot be trained.
    """
    manifest = model_format.read(directory)
    if manifest.form not in FORMS:
        raise ModelError(f"{directory}: {unknown('model form', manifest.form, FORMS)}")
    model = FORMS[manifest.form].reopen(directory, manifest, dropout)
    return model, tokenizers.stored(directory), manifest


def stored_model(
    directory: Path, manifest: Manifest, dropout: float | None = None
) -> PreTrainedModel:
    """Return the model of a directory of form ``huggingface``, in evaluation mode.

    Raises:
        ModelError: Its files cannot be read, or lack weights.
    """
    import torch
    import transformers

    loader: Any = getattr(transformers, manifest.auto_class, None)
    if loader is None:
        raise ModelError(f"{directory}: transformers has no class {manifest.auto_class!r}")
    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            settings = transformers.AutoConfig.from_pretrained(directory)
            set_dropout(settings, dropout)
            model, report = loader.from_pretrained(
                directory, config=settings, dtype=torch.float32, output_loading_info=True
            )
    except Exception as error:
        raise unreadable(str(directory), error) from error
    if report["missing_keys"]:
        raise ModelError(
            f"{directory} was altered: its weights lack {sorted(report['missing_keys'])[:3]}"
        )
    return model.eval()
