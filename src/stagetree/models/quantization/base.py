"""What a way of quantising is: what it needs, and how it writes a model directory."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from stagetree.core.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FEWEST_EXAMPLES = 16
"""Fewer rows than this give ranges that are mere chance."""

_NVIDIA = ("/dev/nvidiactl", "/dev/dxg")
"""Device files of the NVIDIA driver on Linux, and under Windows' Linux."""


@dataclass(frozen=True)
class Request:
    """A model to quantise.

    Attributes:
        model: The fp32 model in evaluation mode; its layers may be of any shape.
        tokenizer: Its tokenizer.
        output: Existing directory for the result.
        scratch: Existing directory for what is only needed on the way.
        per_channel: Give every output channel of a matrix its own scale.
        embeddings: Quantise the embedding tables too.
        examples: Encoded rows to calibrate with, one a mapping: arrays (1, length) by input name.
            Empty for methods that are not ``calibrated``.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    output: Path
    scratch: Path
    per_channel: bool = True
    embeddings: bool = True
    examples: Sequence[Mapping[str, np.ndarray]] = ()


class Method(ABC):
    """One way of quantising. Importing its module imports no framework.

    Attributes:
        name: Registered name.
        form: Model form of its result.
        numerics: What the weights are stored as, for people.
        calibrated: Whether it needs example rows.
        trained: Whether the model is to be trained for it first, see ``models.fake_quant``.
        packages: Modules it imports beyond those every installation has.
        extra: Name of the extra that installs them.
        gpu: Whether it runs on NVIDIA GPUs only.
    """

    name: ClassVar[str]
    form: ClassVar[str]
    numerics: ClassVar[str] = "int8"
    calibrated: ClassVar[bool] = False
    trained: ClassVar[bool] = False
    packages: ClassVar[Sequence[str]] = ()
    extra: ClassVar[str] = ""
    gpu: ClassVar[bool] = False

    @classmethod
    def lacks(cls) -> str | None:
        """Return what this machine lacks for the method and what to do, or ``None``."""
        missing = [name for name in cls.packages if importlib.util.find_spec(name) is None]
        if missing:
            return (
                f"needs {' and '.join(missing)}, which is not installed; "
                f"pip install 'stagetree[{cls.extra}]'"
            )
        if cls.gpu and not any(Path(name).exists() for name in _NVIDIA):
            return "needs an NVIDIA GPU, and this machine has none"
        return None

    @classmethod
    @abstractmethod
    def write(cls, request: Request) -> None:
        """Write the quantised weights into ``request.output``.

        Raises:
            ModelError: The model cannot be quantised this way.
        """


METHODS: Registry[type[Method]] = Registry("quantisation method", "stagetree.models.quantization")
"""Every way of quantising; a new one is a new module in ``stagetree.models.quantization``."""


def runnable() -> list[str]:
    """Return the names of the methods that this machine can run."""
    return [name for name in METHODS if METHODS[name].lacks() is None]
