"""The one way to open a model directory of any form."""

from __future__ import annotations

from pathlib import Path

from stagetree.core.errors import ModelError, unknown
from stagetree.models import format as model_format
from stagetree.models.runner import FORMS, Runner

__all__ = ["Runner", "load"]


def load(
    directory: Path | str,
    threads: int | None = None,
    numerics: str | None = None,
    device: str | None = None,
) -> Runner:
    """Open a model directory to ask it for logits.

    Args:
        directory: A stage's result, or a directory that ``best --export`` or ``save`` wrote.
        threads: CPU threads of a runtime with threads of its own; by default as many as
            PyTorch uses in this process. PyTorch's own number is never changed by loading.
        numerics: Arithmetic to compute with, where the form leaves a choice; by default the one
            the model was made for.
        device: PyTorch device, where the form leaves a choice; by default a GPU if there is one.

    Raises:
        ModelError: The directory is missing, incomplete, altered or of an unknown form.
    """
    place = Path(directory)
    manifest = model_format.read(place)
    if manifest.form not in FORMS:
        raise ModelError(f"{place}: {unknown('model form', manifest.form, FORMS)}")
    return FORMS[manifest.form].open(place, manifest, threads, numerics, device)
