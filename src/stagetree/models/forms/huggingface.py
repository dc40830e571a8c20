"""The form that ``transformers`` reads and writes, run by PyTorch."""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any

from stagetree.models.runner import FORMS, Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    import torch
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

    def weights(self) -> Iterator[torch.Tensor]:
        """See :meth:`Runner.weights`: the parameters of the open model."""
        yield from self.model.parameters()

    def flops(self, batch: Mapping[str, Any]) -> float | None:
        """See :meth:`Runner.flops`: PyTorch's own count, attention included."""
        from stagetree.models.torch_flops import counted

        return counted(lambda: self.logits(batch))

    def peak_memory(self, batches: Callable[[int], Mapping[str, Any]], size: int) -> float | None:
        """See :meth:`Runner.peak_memory`: the bytes of the model's and the pass's tensors.

        That is exact and the same on every machine, without what kernels take while they run.
        """
        from itertools import chain

        from stagetree.models.live_memory import peak_of

        tensors = {
            tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
            for tensor in chain(self.model.parameters(), self.model.buffers())
        }
        pass_peak = peak_of(lambda count: self.logits(batches(count)), size)
        return float(sum(tensors.values())) + pass_peak

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
