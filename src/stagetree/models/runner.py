"""What runs a stored model, whatever its form: arrays in, logits out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from stagetree.core.errors import ModelError
from stagetree.core.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from stagetree.models.format import Manifest


class Runner(ABC):
    """A stored model, opened to be asked. The same directory gives the same bits anywhere.

    That holds between processes on one machine with the same number of threads.

    Attributes:
        form: Registered name of the model form it opens.
        directory: The model directory.
        manifest: Its manifest.
        numerics: Arithmetic it computes with.
    """

    form: ClassVar[str]

    def __init__(self, directory: Path, manifest: Manifest, numerics: str) -> None:
        self.directory = directory
        self.manifest = manifest
        self.numerics = numerics

    @classmethod
    @abstractmethod
    def open(
        cls,
        directory: Path,
        manifest: Manifest,
        threads: int | None = None,
        numerics: str | None = None,
        device: str | None = None,
    ) -> Runner:
        """Open a model directory; see :func:`stagetree.models.load.load`."""

    @classmethod
    def reopen(
        cls, directory: Path, manifest: Manifest, dropout: float | None = None
    ) -> PreTrainedModel:
        """Return the fp32 model in evaluation mode, to be trained further or changed.

        Args:
            directory: A model directory of this form.
            manifest: Its manifest.
            dropout: Replaces every dropout probability of the model's config when given.

        Raises:
            ModelError: This form cannot be trained, or its files cannot be read.
        """
        raise ModelError(
            f"{directory}: a model of form {manifest.form!r} ({manifest.numerics}) cannot be "
            "trained further; place the stage that made it last"
        )

    @abstractmethod
    def logits(self, batch: Mapping[str, Any]) -> np.ndarray:
        """Return the model's raw outputs for a padded batch.

        Args:
            batch: ``input_ids`` and what else the model takes, each (batch, length), as torch
                tensors or numpy arrays. Entries the model does not know, such as labels, are
                ignored; without ``attention_mask`` every position counts.

        Returns:
            float32, (batch, length, labels) for token tasks, (batch, labels) for sequence tasks.
        """

    def timed(self) -> Runner:
        """Return what is asked to learn how long one answer takes: by default the model itself."""
        return self

    @abstractmethod
    def limited(self, threads: int) -> AbstractContextManager[None]:
        """Compute with this many CPU threads inside the block."""

    def weights(self) -> Iterator[torch.Tensor]:
        """Yield every weight tensor, each once, zero exactly where the weight is zero.

        By default they are the floating-point tensors of the directory's safetensors files; a
        form that stores weights otherwise says so here.
        """
        from safetensors import safe_open

        for path in sorted(self.directory.rglob("*.safetensors")):
            with safe_open(path, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a mapping
                    tensor = tensors.get_tensor(name)
                    if tensor.is_floating_point():
                        yield tensor

    def flops(self, batch: Mapping[str, Any]) -> float | None:
        """Return the floating-point operations of a batch's products, two a multiply-add.

        Products of quantised numbers count as if they were of floating-point ones. ``None``
        where the form cannot tell.
        """
        return None

    def peak_memory(self, batches: Callable[[int], Mapping[str, Any]], size: int) -> float | None:
        """Return the bytes that the model and one forward pass of a batch hold at most.

        By default a second copy of the model is opened and asked once while the resident memory
        of the process is watched (Linux only): memory that the process held free already makes
        the number too small.

        Args:
            batches: Gives a batch of any size.
            size: The size of the batch.

        Returns:
            The bytes, or ``None`` where that cannot be told.
        """
        from stagetree.models.resident import growth

        def run() -> None:
            kind = type(self)
            kind.open(self.directory, self.manifest, 1, self.numerics).logits(batches(size))

        return growth(run)

    @property
    def task(self) -> str:
        """Kind of the task it was made for."""
        return self.manifest.task

    @property
    def labels(self) -> Sequence[str]:
        """Label names, in the order of the last axis of ``logits``."""
        return self.manifest.labels

    @property
    def max_length(self) -> int:
        """Longest input it was made for, in sub-words."""
        return self.manifest.max_length

    @property
    def parameters(self) -> int:
        """Number of weights, however they are stored."""
        return self.manifest.parameters

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer stored beside the model."""
        from stagetree.models import tokenizers

        return tokenizers.stored(self.directory)


FORMS: Registry[type[Runner]] = Registry("model form", "stagetree.models.forms")
"""Every model form; a new one is a new module in ``stagetree.models.forms``."""
