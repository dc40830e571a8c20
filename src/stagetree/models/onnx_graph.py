"""What can be read from an ONNX graph: its weights, and the products it computes."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

_PRODUCTS = frozenset(
    {"MatMul", "MatMulInteger", "Gemm", "FusedMatMul", "QLinearMatMul", "DynamicQuantizeMatMul"}
)


def weights(path: Path) -> Iterator[torch.Tensor]:
    """Yield the weights of a graph; quantised ones less their zero point.

    Scales, zero points and the integers that only steer shapes are no weights.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for name, tensor in tensors.items():
        if name.endswith(("_scale", "_zero_point")) or not math.prod(tensor.dims) > 1:
            continue
        values = numpy_helper.to_array(tensor)
        if values.dtype.kind == "f":
            yield torch.from_numpy(values.copy())
        elif values.dtype.itemsize == 1 and values.dtype.kind in "iu":
            zero = tensors.get(name.removesuffix("_quantized") + "_zero_point")
            yield _shifted(values, numpy_helper.to_array(zero) if zero is not None else None)


def _shifted(values: Any, zero: Any) -> torch.Tensor:
    """Return whole numbers less their zero point, one for all or one a channel (last axis)."""
    import numpy as np

    if zero is None:
        return torch.from_numpy(values.copy())
    shift = np.asarray(zero).astype(np.int16).reshape(-1)
    if len(shift) > 1 and len(shift) != values.shape[-1]:
        shift = shift.reshape(-1, *[1] * (values.ndim - 1))
    return torch.from_numpy(values.astype(np.int16) - shift)


def flops(path: Path, inputs: Mapping[str, Any]) -> float:
    """Return the operations of all matrix products of one run, two a multiply-add.

    The graph is run once as it is stored, with ONNX Runtime's profiler, which notes every shape.

    Raises:
        Exception: ONNX Runtime cannot run the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_profiling = True
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    with tempfile.TemporaryDirectory(prefix="stagetree-") as folder:
        options.profile_file_prefix = str(Path(folder) / "run")
        session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        session.run(["logits"], dict(inputs))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return float(sum(_operations(event.get("args", {})) for event in events))


def _operations(args: Mapping[str, Any]) -> int:
    if args.get("op_name") not in _PRODUCTS or "input_type_shape" not in args:
        return 0
    left = _dims(args["input_type_shape"][0])
    output = _dims(args["output_type_shape"][0])
    return 2 * math.prod(output) * (left[-1] if left else 1)


def _dims(typed: Mapping[str, Sequence[int]]) -> Sequence[int]:
    return next(iter(typed.values()))
