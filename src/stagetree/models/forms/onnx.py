"""The ONNX form, run by ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stagetree.core.errors import ModelError
from stagetree.models.forms.graph import GraphRunner
from stagetree.models.runner import FORMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    import torch
    from transformers import PreTrainedModel

    from stagetree.models.format import Manifest

FILE = "model.onnx"
"""Name of the graph in a model directory."""

_FATAL = 4


@FORMS.register("onnx")
class OnnxRunner(GraphRunner):
    """Runs an ONNX graph; its threads are its own and do not spin while idle."""

    form = "onnx"

    def __init__(self, directory: Path, manifest: Manifest, threads: int) -> None:
        super().__init__(directory, manifest, threads)
        self._inputs = tuple(node.name for node in self.engine.get_inputs())

    def compiled(self, threads: int) -> Any:
        """See :meth:`GraphRunner.compiled`."""
        return session(self.directory / FILE, threads)

    @classmethod
    def reopen(
        cls, directory: Path, manifest: Manifest, dropout: float | None = None
    ) -> PreTrainedModel:
        """Refuse: see :meth:`Runner.reopen`."""
        raise ModelError(
            f"{directory}: an {manifest.numerics} ONNX model cannot be trained further; "
            "place quantize last"
        )

    def logits(self, batch: Mapping[str, Any]) -> np.ndarray:
        """See :meth:`Runner.logits`."""
        import numpy as np

        found: np.ndarray = self.engine.run(["logits"], feed(self._inputs, batch))[0]
        return found.astype(np.float32, copy=False)

    def weights(self) -> Iterator[torch.Tensor]:
        """See :meth:`Runner.weights`: the tensors of the graph."""
        from stagetree.models.onnx_graph import weights

        return weights(self.directory / FILE)

    def flops(self, batch: Mapping[str, Any]) -> float | None:
        """See :meth:`Runner.flops`: the shapes of all products, as ONNX Runtime saw them."""
        from stagetree.models.onnx_graph import flops

        return flops(self.directory / FILE, feed(self._inputs, batch))


def session(path: Path, threads: int) -> Any:
    """Return an ONNX Runtime session that computes on the CPU and prints nothing.

    Raises:
        ModelError: ONNX Runtime cannot read the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    # A thread that spins while it waits takes its core from the other workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise ModelError(f"ONNX Runtime cannot read {path}: {error}") from error


def feed(names: tuple[str, ...], batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the graph's inputs from a batch: mask and token types have defaults.

    Raises:
        ModelError: The batch lacks an input of the graph that has no default.
    """
    import numpy as np

    inputs: dict[str, Any] = {}
    for name in names:
        if name in batch:
            inputs[name] = np.asarray(batch[name], dtype=np.int64)
        elif name == "attention_mask":
            inputs[name] = np.ones(np.shape(batch["input_ids"]), dtype=np.int64)
        elif name == "token_type_ids":
            inputs[name] = np.zeros(np.shape(batch["input_ids"]), dtype=np.int64)
        else:
            raise ModelError(f"expected {name!r} in the batch but got {sorted(batch)}")
    return inputs
