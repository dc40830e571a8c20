"""Making a shallower model out of a deep one, for distillation to repair."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import ModelError
from stagetree.models import structure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from transformers import PretrainedConfig, PreTrainedModel


def spread(total: int, keep: int) -> list[int]:
    """Return which of ``total`` layers to keep: evenly spaced, the first and the last included.

    With 12 and 6 this is the choice of DistilBERT (Sanh et al., 2019, arXiv:1910.01108). A
    single kept layer is the first one, whose input is what it was trained on.

    Raises:
        ValueError: ``keep`` is not between 1 and ``total``.

    >>> spread(12, 6)
    [0, 2, 4, 7, 9, 11]
    >>> spread(6, 3)
    [0, 3, 5]
    >>> spread(6, 1)
    [0]
    """
    if not 1 <= keep <= total:
        raise ValueError(f"expected to keep between 1 and {total} layers but got {keep}")
    if keep == 1:
        return [0]
    gaps = keep - 1
    return [(2 * index * (total - 1) + gaps) // (2 * gaps) for index in range(keep)]


def layer_count(model: PreTrainedModel) -> int:
    """Return how many encoder layers a model has.

    Raises:
        ModelError: It has no stack of layers.
    """
    return len(_stack(model)[1])


def select_layers(model: PreTrainedModel, layers: Sequence[int]) -> PreTrainedModel:
    """Return a new model with only these encoder layers, in this order.

    Everything else (embeddings, head, sizes of pruned layers, training mode, attention
    implementation) is copied; the given model and the random state stay as they are. The stack
    of layers is the module list with the most weights, whatever the family calls it.

    Args:
        model: The deep model.
        layers: Indices into its layers, rising.

    Raises:
        ModelError: The indices are not rising or do not exist, or the family keeps its depth
            where it cannot be found.
    """
    import torch

    prefix, stack = _stack(model)
    kept = list(layers)
    if not kept or kept != sorted(set(kept)) or kept[0] < 0 or kept[-1] >= len(stack):
        raise ModelError(
            f"expected rising layer indices between 0 and {len(stack) - 1} but got {kept}"
        )
    config = _shallower(model.config, len(stack), kept)
    with torch.random.fork_rng(devices=[]):
        student: PreTrainedModel = type(model)(config)
    if structure.supported(model):
        structure.shrink(student, structure.structure_of(model).only(kept))
    try:
        student.load_state_dict(_renumbered(model.state_dict(), prefix, kept))
    except RuntimeError as error:
        raise ModelError(f"cannot take layers out of {type(model).__name__}: {error}") from error
    student.to(device=model.device, dtype=model.dtype)
    return student.train(model.training)


def _stack(model: PreTrainedModel) -> tuple[str, torch.nn.ModuleList]:
    import torch

    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module)
    ]
    if not lists:
        raise ModelError(f"expected a stack of layers but {type(model).__name__} has none")
    return max(lists, key=lambda item: sum(weight.numel() for weight in item[1].parameters()))


def _shallower(config: PretrainedConfig, total: int, kept: Sequence[int]) -> PretrainedConfig:
    shallow = copy.deepcopy(config)
    if getattr(shallow, "num_hidden_layers", None) != total:
        raise ModelError(
            f"expected num_hidden_layers={total} in the config of {type(config).__name__} "
            f"but got {getattr(shallow, 'num_hidden_layers', None)}"
        )
    for name, value in shallow.to_dict().items():
        if name.endswith("layer_types") and isinstance(value, list) and len(value) == total:
            setattr(shallow, name, [value[index] for index in kept])
    # The attribute map of a family sends this to its own name (n_layers, n_layer, ...).
    shallow.num_hidden_layers = len(kept)
    return shallow


def _renumbered(weights: Mapping[str, Any], prefix: str, kept: Sequence[int]) -> dict[str, Any]:
    place = {str(old): str(new) for new, old in enumerate(kept)}
    result: dict[str, Any] = {}
    for name, value in weights.items():
        if not name.startswith(f"{prefix}."):
            result[name] = value
            continue
        index, _, rest = name.removeprefix(f"{prefix}.").partition(".")
        if index in place:
            result[f"{prefix}.{place[index]}.{rest}"] = value
    return result
