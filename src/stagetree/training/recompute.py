"""Gradient checkpointing: less memory for a second forward pass of every layer.

Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stagetree.core.errors import ConfigError, Fault
from stagetree.training.dropout import FastDropout

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Recompute:
    """Lets a model keep only the inputs of its layers, until ``stop``.

    What is computed again is the same, dropout included, so that gradients are equal bit for bit.

    Args:
        model: The model.
        dropout: Where its dropout masks come from on a CPU.
        wanted: Whether to do anything at all.

    Raises:
        ConfigError: This kind of model cannot.
    """

    def __init__(self, model: PreTrainedModel, dropout: FastDropout, wanted: bool) -> None:
        self._model: Any = model if wanted else None
        if not wanted:
            return
        if not getattr(model, "supports_gradient_checkpointing", False):
            kind = type(model).__name__
            message = f"expected false for a {kind}, which does not support it, but got true"
            raise ConfigError([Fault("gradient_checkpointing", message)])
        options: dict[str, Any] = {"use_reentrant": False}
        if model.device.type == "cpu":
            options["context_fn"] = dropout.replay
        # The newer name first: the older one warns where both are known.
        enable = getattr(model, "activation_checkpointing_enable", None)
        (enable or model.gradient_checkpointing_enable)(options)

    def stop(self) -> None:
        """Have the model keep everything again."""
        if self._model is not None:
            disable = getattr(self._model, "activation_checkpointing_disable", None)
            (disable or self._model.gradient_checkpointing_disable)()
            self._model = None
