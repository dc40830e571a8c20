"""Static int8 for ONNX Runtime: the ranges of activations are fixed beforehand by example rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import ModelError
from stagetree.models.quantization.base import METHODS, Method, Request
from stagetree.models.quiet import unprinted

if TYPE_CHECKING:
    import numpy as np

_PRODUCTS = ["MatMul", "Gemm"]


@METHODS.register("onnx_static")
class OnnxStatic(Method):
    """Quantises what goes into matrix products, and their weights, to fixed scales.

    Only inputs and weights of products with a weight are quantised. Residual sums, products of
    two activations and the outputs of products stay in fp32: quantised they cost much of the
    score and gain no time.
    """

    name: ClassVar[str] = "onnx_static"
    form: ClassVar[str] = "onnx"
    calibrated: ClassVar[bool] = True

    @classmethod
    def write(cls, request: Request) -> None:
        """See :meth:`Method.write`."""
        from stagetree.models import onnx
        from stagetree.models.forms.onnx import FILE

        plain = request.scratch / "fp32.onnx"
        onnx.export(request.model, request.tokenizer, plain)
        with unprinted():
            try:
                source = _small_tables(plain, request) if request.embeddings else plain
                _quantize(source, request.output / FILE, request)
            except Exception as error:  # ONNX Runtime's errors share no base class
                raise ModelError(
                    f"ONNX Runtime cannot quantise {type(request.model).__name__}: {error}"
                ) from error
        source.unlink()
        plain.unlink(missing_ok=True)


def _small_tables(plain: Path, request: Request) -> Path:
    """Return the graph with int8 embedding tables and all else in fp32."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    tables = request.scratch / "tables.onnx"
    quantize_dynamic(
        plain,
        tables,
        op_types_to_quantize=["Gather"],
        per_channel=request.per_channel,
        weight_type=QuantType.QInt8,
    )
    return tables


def _quantize(source: Path, target: Path, request: Request) -> None:
    from onnxruntime.quantization import QuantType, quantize_static

    quantize_static(
        source,
        target,
        _reader(source, request.examples),
        op_types_to_quantize=_PRODUCTS,
        per_channel=request.per_channel,
        # The kernels of x86 multiply unsigned activations by signed weights.
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={
            "MatMulConstBOnly": True,
            "OpTypesToExcludeOutputQuantization": _PRODUCTS,
        },
    )


def _reader(source: Path, examples: Sequence[Mapping[str, np.ndarray]]) -> Any:
    """Return the examples as ONNX Runtime wants to read them."""
    from onnxruntime.quantization import CalibrationDataReader

    from stagetree.models.forms.onnx import feed, session

    names = tuple(node.name for node in session(source, 1).get_inputs())

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """The examples, one a call."""

        def __init__(self) -> None:
            self._rest: Iterator[Mapping[str, np.ndarray]] = iter(examples)

        def get_next(self) -> dict[str, Any] | None:
            example = next(self._rest, None)
            return None if example is None else feed(names, example)

    return Reader()
