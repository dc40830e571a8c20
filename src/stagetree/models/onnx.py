"""Exporting a model to ONNX and quantising the graph to int8."""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import ModelError
from stagetree.models.forms.onnx import feed, session
from stagetree.models.quiet import unprinted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

OPSET = 17
"""First opset with LayerNormalization as one operator."""

_TRACED_SHAPE = (2, 7)
_PROBED_SHAPE = (3, 13)
_TOLERANCE = 1e-3
_SEED = 0


def export(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """Write a model as one fp32 ONNX file whose batch and length are free.

    Inputs are what both the tokenizer gives and the model takes; the output is ``logits``. The
    graph is traced (``dynamo=False``): on these encoders the trace is equal to the graph of
    ``torch.export`` to 1e-6, as fast, and takes 2 s instead of 14. Attention is traced in its
    plain form, which needs no guards against fully masked rows and runs a fifth faster in int8.
    The file is compared with the model on a batch of another shape before it is trusted.

    Args:
        model: The model; it comes back as it was.
        tokenizer: Its tokenizer.
        path: The file to write.

    Raises:
        ModelError: The model cannot be exported, or the graph gives other numbers.
    """
    names = _input_names(model, tokenizer)
    with _plain(model):
        try:
            with unprinted():
                _trace(model, names, path)
        except Exception as error:  # tracing runs any code of the model
            raise ModelError(
                f"{type(model).__name__} cannot be exported to ONNX: {error}"
            ) from error
        _compare(model, names, path)


def quantize(source: Path, target: Path, per_channel: bool = True, embeddings: bool = True) -> None:
    """Write an int8 version of an fp32 ONNX file.

    Weights of all matrix products are stored as signed int8 (unsigned ones run at half the
    speed), activations are quantised as they come: ONNX Runtime's dynamic quantisation, which
    needs no calibration data.

    Args:
        source: The fp32 file.
        target: The file to write.
        per_channel: Give every output channel its own scale; more exact at equal speed.
        embeddings: Quantise the embedding tables too, half of the size of a small model.

    Raises:
        ModelError: ONNX Runtime cannot quantise the graph.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    operators = ["MatMul", "Gemm", *(["Gather"] if embeddings else [])]
    with unprinted():
        try:
            quantize_dynamic(
                source,
                target,
                op_types_to_quantize=operators,
                per_channel=per_channel,
                weight_type=QuantType.QInt8,
                # Products of two activations (attention) stay in fp32.
                extra_options={"MatMulConstBOnly": True},
            )
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise ModelError(f"ONNX Runtime cannot quantise {source}: {error}") from error


def _input_names(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    accepted = inspect.signature(model.forward).parameters
    names = tuple(name for name in tokenizer.model_input_names if name in accepted)
    if "input_ids" not in names:
        raise ModelError(
            f"expected a model that takes input_ids but {type(model).__name__} takes "
            f"{', '.join(accepted)}"
        )
    return names


def _trace(model: PreTrainedModel, names: tuple[str, ...], path: Path) -> None:
    import torch

    class Logits(torch.nn.Module):
        """The model as a function of positional tensors."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: torch.Tensor) -> Any:
            return self.model(**dict(zip(names, inputs, strict=True))).logits

    batch = _batch(model, names, _TRACED_SHAPE)
    free = {0: "batch", 1: "length"}
    with torch.inference_mode(False), torch.no_grad():
        output = model(**batch).logits
        torch.onnx.export(
            Logits().eval(),
            tuple(batch[name] for name in names),
            path,
            input_names=list(names),
            output_names=["logits"],
            dynamic_axes={
                **dict.fromkeys(names, free),
                "logits": free if output.dim() > 2 else {0: "batch"},
            },
            opset_version=OPSET,
            dynamo=False,
        )


def _batch(model: PreTrainedModel, names: tuple[str, ...], shape: tuple[int, int]) -> Any:
    """Return a batch of random tokens; every row but the first ends in padding."""
    import torch

    generator = torch.Generator().manual_seed(_SEED)
    ids = torch.randint(5, model.config.vocab_size, shape, generator=generator)
    mask = torch.ones_like(ids)
    for row in range(1, shape[0]):
        mask[row, -row:] = 0
    pad = model.config.pad_token_id
    ids = torch.where(mask.bool(), ids, torch.full_like(ids, pad if pad is not None else 0))
    known = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    missing = [name for name in names if name not in known]
    if missing:
        raise ModelError(f"{type(model).__name__} takes {missing}, which cannot be exported yet")
    return {name: known[name] for name in names}


def _compare(model: PreTrainedModel, names: tuple[str, ...], path: Path) -> None:
    import numpy as np
    import torch

    batch = _batch(model, names, _PROBED_SHAPE)
    with torch.inference_mode():
        expected = model(**batch).logits.numpy()
    graph = session(path, 1)
    taken = tuple(node.name for node in graph.get_inputs())  # unused inputs are traced away
    found = graph.run(["logits"], feed(taken, batch))[0]
    difference = float(np.abs(found - expected).max())
    allowed = _TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if not difference <= allowed:
        raise ModelError(
            f"the ONNX graph of {type(model).__name__} differs from the model by "
            f"{difference:.2g} (allowed {allowed:.2g}); it depends on the shape of its input"
        )


@contextlib.contextmanager
def _plain(model: PreTrainedModel) -> Iterator[None]:
    """Give the model plain attention and evaluation mode inside the block."""
    training, usual = model.training, model.config._attn_implementation
    model.eval()
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(usual)
        model.train(training)
