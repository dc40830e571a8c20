"""The OpenVINO form, run by OpenVINO on the CPU."""

from __future__ import annotations

import importlib.util
import threading
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import ModelError
from stagetree.models.forms.graph import GraphRunner
from stagetree.models.forms.onnx import feed
from stagetree.models.quiet import quiet
from stagetree.models.runner import FORMS
from stagetree.models.untracked import untracked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    from stagetree.models.format import Manifest

FILE = "model.xml"
"""Name of the graph in a model directory; its weights lie beside it."""


@FORMS.register("openvino")
class OpenvinoRunner(GraphRunner):
    """Runs an OpenVINO graph; what is not int8 in it is computed in fp32."""

    form: ClassVar[str] = "openvino"

    def __init__(self, directory: Path, manifest: Manifest, threads: int) -> None:
        super().__init__(directory, manifest, threads)
        self._inputs = tuple(port.get_any_name() for port in self.engine.model_inputs)
        self._alone = threading.Lock()

    def compiled(self, threads: int) -> Any:
        """See :meth:`GraphRunner.compiled`."""
        return _request(self.directory / FILE, threads)

    def logits(self, batch: Mapping[str, Any]) -> np.ndarray:
        """See :meth:`Runner.logits`."""
        import numpy as np

        with self._alone:  # a request holds one call's tensors
            found = self.engine.infer(feed(self._inputs, batch), share_inputs=True)["logits"]
            return np.array(found, dtype=np.float32)  # the buffer is reused by the next call


def _request(path: Path, threads: int) -> Any:
    """Return a request of the graph compiled for this many threads, which are not pinned."""
    if importlib.util.find_spec("openvino") is None:
        raise ModelError(
            f"{path.parent} is a model for OpenVINO, which is not installed; "
            "pip install 'stagetree[openvino]'"
        )
    with untracked():
        import openvino

    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(threads),
        # Pinned threads of two workers would share a core while another one idles.
        "ENABLE_CPU_PINNING": "NO",
        # The default is bf16 where the CPU has it: other numbers on other machines.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    try:
        with quiet():
            core = openvino.Core()
            compiled = core.compile_model(core.read_model(str(path)), "CPU", options)
    except Exception as error:  # OpenVINO raises plain RuntimeError
        raise ModelError(f"OpenVINO cannot read {path}: {error}") from error
    return compiled.create_infer_request()
