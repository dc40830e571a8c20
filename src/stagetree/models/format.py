"""The one model format: a directory with a manifest that says how to open it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stagetree.core import atomic, digests
from stagetree.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MANIFEST = "stagetree.json"
CARD = "README.md"
"""The model card. People edit it, so the manifest says nothing of it."""

FORMAT = 1
"""Version of the format; raising it makes older directories unreadable."""


@dataclass(frozen=True)
class Manifest:
    """How to open a model directory.

    Attributes:
        form: Registered name of the runner that opens it: ``huggingface`` or ``onnx``.
        task: Kind of the task it was made for.
        auto_class: Name of the ``transformers`` class with its head.
        labels: Label names, in the order of its outputs.
        max_length: Longest input it was made for, in sub-words.
        parameters: Number of weights, however they are stored.
        numerics: Arithmetic it is meant to compute with.
        tokenizer: Whether the directory holds a tokenizer too.
        lineage: What it was made from and how, for people.
        files: Size in bytes of every other file of the directory but the model card.
        sha256: Hash of each of these files; none in directories written before there were hashes.
    """

    form: str
    task: str
    auto_class: str
    labels: Sequence[str]
    max_length: int
    parameters: int
    numerics: str = "fp32"
    tokenizer: bool = True
    lineage: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)


_TYPES: Mapping[str, type] = {
    "form": str,
    "task": str,
    "auto_class": str,
    "labels": list,
    "max_length": int,
    "parameters": int,
    "numerics": str,
    "tokenizer": bool,
    "lineage": dict,
    "files": dict,
    "sha256": dict,
}
_REQUIRED = frozenset(_TYPES) - {"numerics", "tokenizer", "lineage", "sha256"}


def write(directory: Path, manifest: Manifest) -> Manifest:
    """Write the manifest of a directory whose other files are complete.

    Returns:
        The manifest with ``files`` and ``sha256`` filled in.
    """
    paths = {
        path.relative_to(directory).as_posix(): path
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
    paths = {name: path for name, path in paths.items() if name not in (MANIFEST, CARD)}
    whole = dataclasses.replace(
        manifest,
        labels=list(manifest.labels),
        files={name: path.stat().st_size for name, path in paths.items()},
        sha256={name: digests.sha256(path) for name, path in paths.items()},
    )
    atomic.write_json(directory / MANIFEST, {"format": FORMAT, **dataclasses.asdict(whole)})
    return whole


def read(directory: Path) -> Manifest:
    """Return the manifest of a model directory, having checked its files against it.

    Sizes are compared each time, contents the first time in this process.

    Raises:
        ModelError: The directory, its manifest or one of its files is missing, malformed, of
            another format, or not what it was written with.
    """
    manifest = _parse(directory / MANIFEST)
    for name, size in manifest.files.items():
        path = directory / name
        if not path.is_file():
            raise ModelError(f"expected {name} in model directory {directory} but it is missing")
        found = path.stat().st_size
        if found != size:
            raise ModelError(f"{path} was altered: expected {size} bytes but got {found}")
        _check_content(path, manifest.sha256.get(name))
    return manifest


def _check_content(path: Path, expected: str | None) -> None:
    if expected is None:
        return
    try:
        found = digests.sha256(path)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error}") from error
    if found != expected:
        raise ModelError(
            f"{path} was altered: expected sha256 {expected} but got {found}; "
            "copy the directory again from where it was made, or compute it again"
        )


def _parse(path: Path) -> Manifest:
    if not path.is_file():
        what = "it has no stagetree.json" if path.parent.is_dir() else "it does not exist"
        raise ModelError(f"expected a model directory at {path.parent} but {what}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        version = content.get("format") if isinstance(content, dict) else content
        raise ModelError(f"{path}: expected model format {FORMAT} but got {version!r}")
    return _typed(path, content)


def _typed(path: Path, content: Mapping[str, Any]) -> Manifest:
    fields = {name: value for name, value in content.items() if name != "format"}
    lacking, extra = sorted(_REQUIRED - set(fields)), sorted(set(fields) - set(_TYPES))
    if lacking or extra:
        raise ModelError(f"{path} is malformed: missing entries {lacking}, unknown entries {extra}")
    for name, value in fields.items():
        if type(value) is not _TYPES[name]:
            raise ModelError(
                f"{path} is malformed: expected {name} to be {_TYPES[name].__name__} "
                f"but got {value!r}"
            )
    return Manifest(**fields)
