"""The form that ``transformers`` reads and writes, run by PyTorch."""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any

from stagetree.models.runner import FORMS, Runner

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from transformers import PreTrainedModel

    from stagetree.models.format import Manifest


@FORMS.register("huggingface")
class TorchRunner(Runner):
    """Runs a ``transformers`` model in evaluation mode."""

    form = "huggingface"

    def __init__(
        self,
        model: Any,
        directory: Path,
        manifest: Manifest,
        numerics: str | None = None,
        device: str | None = None,
    ) -> None:
        import torch

        super().__init__(directory, manifest, numerics or manifest.numerics)
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        accepted = inspect.signature(model.forward).parameters
        self._inputs = frozenset(accepted) - {"labels"}

    @classmethod
    def open(
        cls,
        directory: Path,
        manifest: Manifest,
        threads: int | None = None,
        numerics: str | None = None,
        device: str | None = None,
    ) -> TorchRunner:
        """See :meth:`Runner.open`."""
        from stagetree.models.huggingface import stored_model

        return cls(stored_model(directory, manifest), directory, manifest, numerics, device)

    @classmethod
    def reopen(
        cls, directory: Path, manifest: Manifest, dropout: float | None = None
    ) -> PreTrainedModel:
        """See :meth:`Runner.reopen`."""
        from stagetree.models.huggingface import stored_model

        return stored_model(directory, manifest, dropout)

    def logits(self, batch: Mapping[str, Any]) -> np.ndarray:
        """See :meth:`Runner.logits`."""
        import torch

        inputs = {
            name: torch.as_tensor(value, device=self.device)
            for name, value in batch.items()
            if name in self._inputs
        }
        mixed = torch.autocast(self.device.type, torch.bfloat16, enabled=self.numerics == "bf16")
        with torch.inference_mode(), self._precision(), mixed:
            logits = self.model(**inputs).logits
        found: np.ndarray = logits.float().cpu().numpy()
        return found

    @contextlib.contextmanager
    def limited(self, threads: int) -> Iterator[None]:
        """See :meth:`Runner.limited`."""
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    @contextlib.contextmanager
    def _precision(self) -> Iterator[None]:
        import torch

        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium" if self.numerics == "fp32_fast" else "highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)
