"""The form of models whose layers lost heads or feed-forward units, run by PyTorch.

The directory is one of ``save_pretrained`` with ``structure.json`` beside it, which says the sizes
of every layer: ``transformers`` has no place for them in a config.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import ModelError
from stagetree.models.forms.huggingface import TorchRunner
from stagetree.models.runner import FORMS
from stagetree.models.structure import FILE, Structure, shrink

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from stagetree.models.format import Manifest

WEIGHTS = "model.safetensors"


@FORMS.register("pruned")
class PrunedRunner(TorchRunner):
    """Runs a ``transformers`` model of irregular layers in evaluation mode."""

    form = "pruned"

    @classmethod
    def open(
        cls,
        directory: Path,
        manifest: Manifest,
        threads: int | None = None,
        numerics: str | None = None,
        device: str | None = None,
    ) -> PrunedRunner:
        """See :meth:`Runner.open`."""
        return cls(cls.reopen(directory, manifest), directory, manifest, numerics, device)

    @classmethod
    def reopen(
        cls, directory: Path, manifest: Manifest, dropout: float | None = None
    ) -> PreTrainedModel:
        """Build the model that the config describes, shrink its layers and read the weights."""
        import transformers
        from safetensors.torch import load_model

        from stagetree.models.blank import blank
        from stagetree.models.checkpoint import unreadable
        from stagetree.models.huggingface import set_dropout
        from stagetree.models.quiet import quiet

        loader: Any = getattr(transformers, manifest.auto_class, None)
        if loader is None:
            raise ModelError(f"{directory}: transformers has no class {manifest.auto_class!r}")
        structure = _read(directory / FILE)
        try:
            with quiet():
                settings = transformers.AutoConfig.from_pretrained(directory)
                set_dropout(settings, dropout)
                model = blank(loader.from_config, settings)
                shrink(model, structure)
                load_model(model, str(directory / WEIGHTS))
        except Exception as error:
            raise unreadable(str(directory), error) from error
        return model.eval()


def _read(path: Path) -> Structure:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Structure(tuple(content["heads"]), tuple(content["units"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} does not say the sizes of layers: {error!r}") from error
