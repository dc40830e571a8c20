"""The form of a model with virtual tokens: base weights and an adapter beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stagetree.core.errors import ModelError
from stagetree.models.adapter_config import WHY_FINAL
from stagetree.models.forms.huggingface import TorchRunner
from stagetree.models.runner import FORMS

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from stagetree.models.format import Manifest


@FORMS.register("adapter")
class AdapterRunner(TorchRunner):
    """Runs a ``transformers`` model that attends to virtual tokens."""

    form = "adapter"

    @classmethod
    def open(
        cls,
        directory: Path,
        manifest: Manifest,
        threads: int | None = None,
        numerics: str | None = None,
        device: str | None = None,
    ) -> AdapterRunner:
        """See :meth:`Runner.open`."""
        from stagetree.models import prompts
        from stagetree.models.adapters import DIRECTORY
        from stagetree.models.huggingface import stored_model

        model = stored_model(directory, manifest)
        prompts.load(model, directory / DIRECTORY)
        return cls(model, directory, manifest, numerics, device)

    @classmethod
    def reopen(
        cls, directory: Path, manifest: Manifest, dropout: float | None = None
    ) -> PreTrainedModel:
        """Refuse: see :meth:`Runner.reopen`."""
        raise ModelError(f"{directory}: {WHY_FINAL}")
