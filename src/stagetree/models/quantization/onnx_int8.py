"""Dynamic int8 for ONNX Runtime: weights are int8, activations are quantised as they come."""

from __future__ import annotations

from typing import ClassVar

from stagetree.models.quantization.base import METHODS, Method, Request


@METHODS.register("onnx_int8")
class OnnxInt8(Method):
    """Exports the model to ONNX and quantises the graph; see :func:`stagetree.models.onnx`."""

    name: ClassVar[str] = "onnx_int8"
    form: ClassVar[str] = "onnx"

    @classmethod
    def write(cls, request: Request) -> None:
        """See :meth:`Method.write`."""
        from stagetree.models import onnx
        from stagetree.models.forms.onnx import FILE

        plain = request.scratch / "fp32.onnx"
        onnx.export(request.model, request.tokenizer, plain)
        onnx.quantize(plain, request.output / FILE, request.per_channel, request.embeddings)
        plain.unlink()
