"""What the forms that are compiled graphs have in common: threads that are fixed when compiled."""

from __future__ import annotations

import contextlib
import sys
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Self

from stagetree.models.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stagetree.models.format import Manifest


class GraphRunner(Runner):
    """Runs a graph that was compiled for a number of threads.

    Attributes:
        threads: That number.
        engine: The compiled graph.
    """

    def __init__(self, directory: Path, manifest: Manifest, threads: int) -> None:
        super().__init__(directory, manifest, manifest.numerics)
        self.threads = threads
        self.engine = self.compiled(threads)

    @abstractmethod
    def compiled(self, threads: int) -> Any:
        """Return the graph compiled for so many threads.

        Raises:
            ModelError: It cannot be read.
        """

    @classmethod
    def open(
        cls,
        directory: Path,
        manifest: Manifest,
        threads: int | None = None,
        numerics: str | None = None,
        device: str | None = None,
    ) -> Self:
        """See :meth:`Runner.open`."""
        return cls(directory, manifest, threads or torch_threads())

    @contextlib.contextmanager
    def limited(self, threads: int) -> Iterator[None]:
        """See :meth:`Runner.limited`."""
        if threads == self.threads:
            yield
            return
        usual = self.engine
        self.engine = self.compiled(threads)
        try:
            yield
        finally:
            self.engine = usual


def torch_threads() -> int:
    """Return PyTorch's number of threads where PyTorch is in use anyway, else 1."""
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch is not None else 1
