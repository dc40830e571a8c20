"""Training a model under an adapter: what trains, AdaLoRA's budget, what a resume needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from stagetree.core.signature import result_fields
from stagetree.models import adapters
from stagetree.models.adapter_config import AdapterConfig, AdapterMethod
from stagetree.tasks.base import IGNORED
from stagetree.training.freezing import depths

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from stagetree.training.objectives import Objective

ALLOCATION = "allocation.safetensors"
_IMPORTANCES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class Adapted:
    """A model under a new adapter; the adapter and the head train, nothing else does.

    The head is what comes after the layers: classifiers, poolers, final norms.

    Attributes:
        trained: Names of the model's own parameters that train.
        parameters: Number of trainable weights.
    """

    def __init__(
        self, model: PreTrainedModel, config: AdapterConfig, seed: int, total_steps: int
    ) -> None:
        own = list(model.named_parameters())
        self.trained = [
            name for (name, _), depth in zip(own, depths(model), strict=True) if depth == 0
        ]
        self._config = config
        self._model = model
        self._adapter = adapters.attach(model, config, seed, total_steps)
        for name in self.trained:
            model.get_parameter(name).requires_grad_(True)
        self.parameters = sum(
            weight.numel() for weight in model.parameters() if weight.requires_grad
        )

    @property
    def tuner(self) -> Any:
        """The tuner of AdaLoRA, which shares out ranks as it goes; of others nothing."""
        adaptive = self._config.method is AdapterMethod.adalora
        return getattr(self._adapter, "tuner", None) if adaptive else None

    @property
    def form(self) -> str | None:
        """The form of model that comes out; none of its own where the adapter is merged."""
        return "adapter" if self._config.stays_apart else None

    def objective(self, objective: Objective) -> Objective:
        """Return an objective with what the adapter adds to it."""
        return objective if self.tuner is None else Orthogonal(objective, self.tuner)

    def save_progress(self, directory: Path) -> None:
        """Write to a checkpoint what of the adapter is not a weight."""
        if self.tuner is not None:
            save_file(_allocation(self.tuner), directory / ALLOCATION)

    def load_progress(self, directory: Path) -> None:
        """Take up what :meth:`save_progress` wrote."""
        if self.tuner is not None:
            _reallocate(self.tuner, load_file(directory / ALLOCATION))

    def dissolve(self, directory: Path) -> dict[str, Any]:
        """Write the adapter into a model directory and take it off the model, merged if it can be.

        Returns:
            What lineage says of it.
        """
        self._adapter.save(directory / adapters.DIRECTORY, self.trained)
        self._adapter.dissolve()
        return {
            **{name: _plain(value) for name, value in result_fields(self._config).items()},
            "merged": not self._config.stays_apart,
            "trainable_parameters": self.parameters,
            "directory": adapters.DIRECTORY,
        }


@dataclass(frozen=True)
class Orthogonal:
    """An objective and AdaLoRA's regulariser, which keeps its factors near orthogonal.

    After Zhang et al. 2023, "AdaLoRA" (arXiv 2303.10512), equation 4. It counts as often as there
    are labelled positions, for the sum is divided by their number.

    Attributes:
        objective: The objective.
        tuner: The ``peft`` tuner.
    """

    objective: Objective
    tuner: Any

    @property
    def asks(self) -> Mapping[str, bool]:
        """See :class:`Objective`."""
        return self.objective.asks

    def __call__(self, outputs: Any, labels: torch.Tensor, batch: Any) -> torch.Tensor:
        """See :class:`Objective`."""
        loss = self.objective(outputs, labels, batch)
        [config] = self.tuner.peft_config.values()
        distances = [
            torch.linalg.matrix_norm(product - torch.eye(len(product), device=product.device))
            for product in _products(self.tuner.model)
        ]
        penalty = torch.stack(distances).mean()
        counted: torch.Tensor = config.orth_reg_weight * penalty * (labels != IGNORED).sum()
        return loss + counted


def _products(model: Any) -> list[torch.Tensor]:
    return [
        weight @ weight.T if "lora_A" in name else weight.T @ weight
        for name, weight in model.named_parameters()
        if "lora_A" in name or "lora_B" in name
    ]


class Allocate(TrainerCallback):  # type: ignore[misc]
    """Shares out AdaLoRA's ranks after every optimiser step, while there are gradients."""

    def __init__(self, tuner: Any) -> None:
        self._tuner = tuner

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Share them out."""
        self._tuner.update_and_allocate(state.global_step + 1)


def _allocation(tuner: Any) -> dict[str, torch.Tensor]:
    [config] = tuner.peft_config.values()
    tensors = {
        f"{kind}/{name}": value
        for kind in _IMPORTANCES
        for name, value in getattr(tuner.rankallocator, kind).items()
    }
    for name, kept in (config.rank_pattern or {}).items():
        tensors[f"rank/{name}"] = torch.tensor(kept, dtype=torch.bool)
    return tensors


def _reallocate(tuner: Any, tensors: Mapping[str, torch.Tensor]) -> None:
    [config] = tuner.peft_config.values()
    by_kind: dict[str, dict[str, torch.Tensor]] = {kind: {} for kind in (*_IMPORTANCES, "rank")}
    for key, value in tensors.items():
        kind, _, name = key.partition("/")
        by_kind[kind][name] = value.to(tuner.model.device)
    for kind in _IMPORTANCES:
        setattr(tuner.rankallocator, kind, by_kind[kind])
    config.rank_pattern = {name: kept.tolist() for name, kept in by_kind["rank"].items()}


def _plain(value: Any) -> Any:
    return getattr(value, "name", value)
