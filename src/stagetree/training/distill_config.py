"""What can be said about students and what they are taught on, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from stagetree.core.errors import DataError, Fault
from stagetree.data import unlabeled


@dataclass
class StudentConfig:
    """What the student starts as.

    Attributes:
        layers: How many encoder layers of the starting model it keeps, evenly spread, as
            DistilBERT does (Sanh et al. 2019, arXiv 1910.01108); 0 is all. By default half of
            the input's (rounded up), or all of ``model``'s.
        keep: Which layers it keeps, from 0, instead of ``layers``.
        model: Another pretrained model to start from instead of the input: an asset, a local
            directory, or a Hugging Face hub id.
        overrides: Entries of that model's ``config.json`` to replace.
    """

    layers: int | None = None
    keep: list[int] = field(default_factory=list)
    model: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass
class UnlabeledConfig:
    """Text that only the teacher answers.

    Attributes:
        files: UTF-8 files: a text a line, or JSON lines (``.jsonl``, ``.ndjson``) with ``tokens``
            or ``text``.
        max: Use only this many of the examples, the first ones; without it all.
        share: Share of the training rows whose labels are not looked at either, in [0, 1].
    """

    files: list[str] = field(default_factory=list)
    max: int | None = None
    share: float = 0.0

    @property
    def on(self) -> bool:
        """Whether there are rows that only the teacher answers."""
        return bool(self.files) or self.share > 0


def student_faults(student: StudentConfig) -> Iterator[Fault]:
    """Yield what is wrong beyond types; paths relative to the config."""
    keep = list(student.keep)
    if student.layers is not None and student.layers < 0:
        yield Fault("layers", f"expected 0 (all) or more layers but got {student.layers}")
    if keep != sorted(set(keep)) or any(layer < 0 for layer in keep):
        yield Fault("keep", f"expected rising layer numbers from 0 but got {keep}")
    if keep and student.layers:
        message = f"either keep or layers but got keep={keep} and layers={student.layers}"
        yield Fault("keep", f"expected {message}")
    if student.overrides and student.model is None:
        message = f"student.model beside overrides but got {dict(student.overrides)} alone"
        yield Fault("overrides", f"expected {message}")


def unlabeled_faults(config: UnlabeledConfig) -> Iterator[Fault]:
    """Yield what is wrong beyond types; paths relative to the config."""
    if config.max is not None and config.max < 1:
        yield Fault("max", f"expected at least 1 or null for all but got {config.max}")
    if not 0 <= config.share <= 1:
        yield Fault("share", f"expected a number from 0 to 1 but got {config.share}")
    if config.max is not None and not config.files:
        yield Fault("max", f"expected files beside max but got max={config.max} alone")
    for place, name in enumerate(config.files):
        try:
            unlabeled.verify(name)
        except DataError as error:
            yield Fault(f"files[{place}]", str(error))


def text_fields(config: UnlabeledConfig) -> dict[str, object]:
    """Return what identifies the files' text: its content, wherever the files lie."""
    return {
        "files": unlabeled.fingerprint(config.files),
        "max": config.max,
        "reader": unlabeled.VERSION,
    }
