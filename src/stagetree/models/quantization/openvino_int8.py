"""Static int8 for OpenVINO by NNCF's post-training quantisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import ModelError
from stagetree.models.quantization.base import METHODS, Method, Request
from stagetree.models.quiet import unprinted
from stagetree.models.untracked import untracked

if TYPE_CHECKING:
    import numpy as np


@METHODS.register("openvino_int8")
class OpenvinoInt8(Method):
    """Quantises weights, embedding tables and activations, with ranges from example rows.

    NNCF's preset for transformers: smooth quantisation (Xiao et al. 2022, arXiv 2211.10438)
    moves the outliers of activations into the weights, biases are corrected by the example rows,
    and softmax, norms and residual sums stay in fp32.
    """

    name: ClassVar[str] = "openvino_int8"
    form: ClassVar[str] = "openvino"
    calibrated: ClassVar[bool] = True
    packages: ClassVar[Sequence[str]] = ("openvino", "nncf")
    extra: ClassVar[str] = "openvino"

    @classmethod
    def write(cls, request: Request) -> None:
        """See :meth:`Method.write`."""
        from stagetree.models import onnx
        from stagetree.models.forms.openvino import FILE

        plain = request.scratch / "fp32.onnx"
        onnx.export(request.model, request.tokenizer, plain)
        with unprinted(), untracked():
            try:
                _quantize(plain, request.output / FILE, request)
            except Exception as error:  # NNCF's and OpenVINO's errors share no base class
                raise ModelError(
                    f"NNCF cannot quantise {type(request.model).__name__}: {error}"
                ) from error
        plain.unlink()


def _quantize(source: Path, target: Path, request: Request) -> None:
    import nncf
    import openvino
    from nncf.quantization.advanced_parameters import (
        AdvancedQuantizationParameters,
        QuantizationParameters,
    )

    graph = openvino.Core().read_model(str(source))
    names = tuple(port.get_any_name() for port in graph.inputs)

    def inputs(example: Mapping[str, np.ndarray]) -> dict[str, Any]:
        from stagetree.models.forms.onnx import feed

        return feed(names, example)

    small = nncf.quantize(
        graph,
        nncf.Dataset(list(request.examples), inputs),
        subset_size=len(request.examples),
        model_type=nncf.ModelType.TRANSFORMER,
        ignored_scope=None if request.embeddings else nncf.IgnoredScope(types=["Gather"]),
        advanced_parameters=AdvancedQuantizationParameters(
            weights_quantization_params=QuantizationParameters(per_channel=request.per_channel)
        ),
    )
    openvino.save_model(small, str(target), compress_to_fp16=False)
