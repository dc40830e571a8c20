"""Dynamic int8 for PyTorch itself, on CPUs."""

from __future__ import annotations

from typing import ClassVar

from stagetree.core.errors import ModelError
from stagetree.models.quantization.base import METHODS, Method, Request


@METHODS.register("torch_int8")
class TorchInt8(Method):
    """Stores matrices and tables as signed bytes; activations are quantised as they come.

    PyTorch's own dynamic quantisation. Slower than ONNX Runtime, but needs no export.
    """

    name: ClassVar[str] = "torch_int8"
    form: ClassVar[str] = "torch_int8"

    @classmethod
    def write(cls, request: Request) -> None:
        """See :meth:`Method.write`."""
        from safetensors.torch import save_file

        from stagetree.models.forms.torch_int8 import FILE
        from stagetree.models.int8 import dynamic_int8

        try:
            tensors = dynamic_int8(request.model, request.per_channel, request.embeddings)
        except RuntimeError as error:  # no int8 kernels for this CPU
            raise ModelError(
                f"PyTorch cannot quantise {type(request.model).__name__} here: {error}"
            ) from error
        save_file(tensors, request.output / FILE)
