"""The form of torchao's weight-only quantisation, run by PyTorch; best on a GPU."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import ModelError
from stagetree.models.forms.huggingface import TorchRunner
from stagetree.models.quiet import unprinted
from stagetree.models.runner import FORMS

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from stagetree.models.format import Manifest

FILE = "torchao.pt"
"""Name of the weights in a model directory."""


@FORMS.register("torchao")
class TorchaoRunner(TorchRunner):
    """Runs a model whose matrices are stored in few bits; int4 runs on NVIDIA GPUs only."""

    form: ClassVar[str] = "torchao"

    @classmethod
    def open(
        cls,
        directory: Path,
        manifest: Manifest,
        threads: int | None = None,
        numerics: str | None = None,
        device: str | None = None,
    ) -> TorchaoRunner:
        """See :meth:`Runner.open`."""
        if importlib.util.find_spec("torchao") is None:
            raise ModelError(
                f"{directory} is a model for torchao, which is not installed; "
                "pip install 'stagetree[torchao]'"
            )
        import torch

        from stagetree.models.int8 import restored

        if manifest.numerics == "int4":  # there are no kernels for CPUs
            device = "cuda"
        place = device or ("cuda" if torch.cuda.is_available() else "cpu")

        def read() -> Any:
            import torchao.quantization  # noqa: F401  # lets torch.load read its tensors

            return torch.load(directory / FILE, map_location=place, weights_only=True)

        model = restored(directory, manifest, read, unprinted)
        return cls(model, directory, manifest, device=place)

    @classmethod
    def reopen(
        cls, directory: Path, manifest: Manifest, dropout: float | None = None
    ) -> PreTrainedModel:
        """Refuse: see :meth:`Runner.reopen`."""
        return super(TorchRunner, cls).reopen(directory, manifest, dropout)
