"""Dynamic int8 for ONNX Runtime, of a model that was trained for it."""

from __future__ import annotations

from typing import ClassVar

from stagetree.models.quantization.base import METHODS
from stagetree.models.quantization.onnx_int8 import OnnxInt8


@METHODS.register("qat")
class QuantizationAware(OnnxInt8):
    """Writes what ``onnx_int8`` writes, after a short training with rounded linear layers."""

    name: ClassVar[str] = "qat"
    trained: ClassVar[bool] = True
