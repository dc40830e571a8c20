"""The form of PyTorch's dynamic int8: named tensors and a config, run on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from stagetree.models.forms.huggingface import TorchRunner
from stagetree.models.runner import FORMS

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from stagetree.models.format import Manifest

FILE = "int8.safetensors"
"""Name of the weights in a model directory."""


@FORMS.register("torch_int8")
class TorchInt8Runner(TorchRunner):
    """Runs a model whose matrices and tables are int8."""

    form: ClassVar[str] = "torch_int8"

    @classmethod
    def open(
        cls,
        directory: Path,
        manifest: Manifest,
        threads: int | None = None,
        numerics: str | None = None,
        device: str | None = None,
    ) -> TorchInt8Runner:
        """See :meth:`Runner.open`."""
        from safetensors.torch import load_file

        from stagetree.models.int8 import restored

        model = restored(directory, manifest, lambda: load_file(directory / FILE))
        return cls(model, directory, manifest, device="cpu")

    @classmethod
    def reopen(
        cls, directory: Path, manifest: Manifest, dropout: float | None = None
    ) -> PreTrainedModel:
        """Refuse: see :meth:`Runner.reopen`."""
        return super(TorchRunner, cls).reopen(directory, manifest, dropout)
