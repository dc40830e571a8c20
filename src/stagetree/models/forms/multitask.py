"""The form of one encoder with several heads, run by PyTorch."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from stagetree.models.forms.huggingface import TorchRunner
from stagetree.models.runner import FORMS, Runner

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from stagetree.models.format import Manifest


@FORMS.register("multitask")
class MultitaskRunner(TorchRunner):
    """Runs the head that a batch names in ``head``; see :meth:`head` for one by itself.

    Logits are those of all heads' labels, ``NAME/label``; other heads' are ``-1e4``.
    """

    form = "multitask"

    @classmethod
    def open(
        cls,
        directory: Path,
        manifest: Manifest,
        threads: int | None = None,
        numerics: str | None = None,
        device: str | None = None,
    ) -> MultitaskRunner:
        """See :meth:`Runner.open`."""
        from stagetree.models.multitask import stored

        return cls(stored(directory), directory, manifest, numerics, device)

    @classmethod
    def reopen(
        cls, directory: Path, manifest: Manifest, dropout: float | None = None
    ) -> PreTrainedModel:
        """See :meth:`Runner.reopen`."""
        from stagetree.models.multitask import stored

        return stored(directory, dropout)

    @property
    def heads(self) -> list[str]:
        """Names of the tasks, in the order of their numbers."""
        return [spec.name for spec in self.model.specs]

    def head(self, name: str) -> TorchRunner:
        """Return one task's model by itself: its own labels, and batches without ``head``.

        It holds a copy of the encoder.

        Raises:
            ModelError: There is no such head.
        """
        model = self.model.single(name)
        return TorchRunner(
            model, self.directory, self._manifest(name, model), self.numerics, str(self.device)
        )

    def export(self, name: str, target: Path) -> Manifest:
        """Write one task's model as a plain directory that ``transformers`` reads too.

        Args:
            name: The task.
            target: A directory that does not exist, or is empty.

        Raises:
            ModelError: There is no such head.
        """
        from stagetree.models import huggingface

        model = self.model.single(name)
        manifest = self._manifest(name, model)
        target.mkdir(parents=True, exist_ok=True)
        return huggingface.save(
            model.cpu(),
            self.tokenizer,
            target,
            manifest.task,
            manifest.labels,
            self.max_length,
            numerics=self.manifest.numerics,
            lineage=manifest.lineage,
        )

    def timed(self) -> Runner:
        """See :meth:`Runner.timed`: the first head."""
        return self.head(self.heads[0])

    def _manifest(self, name: str, model: Any) -> Manifest:
        spec = self.model.specs[self.heads.index(name)]
        return dataclasses.replace(
            self.manifest,
            form="huggingface",
            task=spec.task,
            auto_class=spec.auto_class,
            labels=list(spec.labels),
            parameters=model.num_parameters(),
            lineage={"head": name, "of": dict(self.manifest.lineage)},
        )
