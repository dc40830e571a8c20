"""The record of a stored stage result: what it is, how it came about, what it scored."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stagetree.core.errors import StoreError
from stagetree.core.signature import SCHEME


@dataclass(frozen=True)
class StoredFile:
    """A file of a stored model directory.

    Attributes:
        bytes: Its size.
        sha256: Its sha256 as 64 hexadecimal digits.
    """

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Record:
    """A stored stage result. Numbers that are not finite are read back as NaN.

    Attributes:
        signature: Signature of the result.
        kind: The stage's kind.
        name: The stage's name in the pipeline that computed it; empty where it is no stage's
            result but something that stages share.
        version: Version of the kind.
        config: The fields of the stage's config that the signature covers.
        inputs: Signatures of the results it started from, in order.
        data: Fingerprint of data and task.
        model: Revision of the pretrained model.
        seed: Seed of the pipeline.
        metrics: Final metrics.
        per_class: Precision, recall, F1 and support by class.
        curve: The learning curve, in rising order: ``fraction``, ``metrics`` and,
            where known, ``seconds`` of each evaluation.
        seconds: What computing it took.
        created: When it was published, UTC in ISO 8601; the store fills it in.
        environment: What it was computed with: host, device, threads, versions, git commit.
        files: The model directory's files by relative path.
        model_dir: The model directory's name beside the record.
        forked: Of a training that started from another run's checkpoint: after which ``step``,
            ``of`` how many, and the ``seconds`` that did not have to be spent again; or ``why``
            it did not although its schedule allows it. Empty elsewhere.
        scheme: Version of the signature scheme.
    """

    signature: str
    kind: str
    name: str
    version: int
    config: Mapping[str, Any]
    inputs: Sequence[str]
    data: str
    seed: int
    model: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    per_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    curve: Sequence[Mapping[str, Any]] = ()
    seconds: float = 0.0
    created: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, StoredFile] = field(default_factory=dict)
    model_dir: str = "model"
    forked: Mapping[str, Any] = field(default_factory=dict)
    scheme: int = SCHEME

    @property
    def shared(self) -> bool:
        """Whether it is something that stages share (a teacher's answers), and no model."""
        return not self.name

    @property
    def whole_seconds(self) -> float:
        """What computing it would have taken had nothing been there to go on from."""
        return self.seconds + float(self.forked.get("seconds", 0.0))

    @property
    def bytes(self) -> int:
        """Size of the model directory's files together."""
        return sum(file.bytes for file in self.files.values())

    def to_json(self) -> dict[str, Any]:
        """Return the record as one JSON object; numbers that are not finite become ``None``."""
        fields = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        fields["files"] = {name: dataclasses.asdict(file) for name, file in self.files.items()}
        if not self.forked:  # as it was written before there were forks
            del fields["forked"]
        return {name: _plain(value) for name, value in fields.items()}

    @classmethod
    def from_json(cls, value: object, source: str = "record") -> Record:
        """Read what :meth:`to_json` returned.

        Args:
            value: The JSON object.
            source: Where it comes from, for the error message.

        Raises:
            StoreError: It is not a whole record; the message says what is wrong with it.
        """
        if not isinstance(value, dict):
            raise StoreError(f"{source}: expected a JSON object but got {type(value).__name__}")
        fields = {"forked": {}, **value}
        _check_fields(fields, source)
        fields["files"] = _files(fields["files"], source)
        fields["metrics"] = _numbers(fields["metrics"], f"{source}: metrics")
        fields["curve"] = [_point(point, f"{source}: curve") for point in fields["curve"]]
        fields["per_class"] = {
            label: _numbers(scores, f"{source}: per_class.{label}")
            for label, scores in fields["per_class"].items()
        }
        return cls(**fields)


_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "str | None": (str, type(None)),
}


def _check_fields(fields: Mapping[str, Any], source: str) -> None:
    known = {item.name: str(item.type) for item in dataclasses.fields(Record)}
    missing, strange = sorted(known.keys() - fields.keys()), sorted(fields.keys() - known.keys())
    if missing or strange:
        raise StoreError(
            f"{source}: expected exactly the fields of a record but "
            f"missing are {missing or 'none'}, unknown are {strange or 'none'}"
        )
    for name, annotation in known.items():
        outer = (list,) if annotation.startswith("Sequence") else (dict,)
        expected = _TYPES.get(annotation, outer)
        if not isinstance(fields[name], expected) or isinstance(fields[name], bool):
            raise StoreError(
                f"{source}: expected {name} to be {annotation} but got {fields[name]!r}"
            )


def _files(files: Mapping[str, Any], source: str) -> dict[str, StoredFile]:
    stored = {}
    for name, item in files.items():
        path = Path(name)
        if path.is_absolute() or ".." in path.parts:
            raise StoreError(f"{source}: expected files inside the model directory, got {name!r}")
        try:
            stored[name] = StoredFile(bytes=int(item["bytes"]), sha256=str(item["sha256"]))
        except (TypeError, KeyError, ValueError) as error:
            raise StoreError(
                f"{source}: expected bytes and sha256 of {name} but got {item!r}"
            ) from error
    return stored


def _numbers(values: object, where: str) -> dict[str, float]:
    if not isinstance(values, dict):
        raise StoreError(f"{where}: expected numbers by name but got {values!r}")
    for name, value in values.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, float | int)):
            raise StoreError(f"{where}.{name}: expected a number but got {value!r}")
    return {name: math.nan if value is None else value for name, value in values.items()}


def _point(point: object, where: str) -> dict[str, Any]:
    if not isinstance(point, dict) or not {"fraction", "metrics"} <= point.keys():
        raise StoreError(f"{where}: expected fraction and metrics but got {point!r}")
    numbers = {name: value for name, value in point.items() if name != "metrics"}
    return {**_numbers(numbers, where), "metrics": _numbers(point["metrics"], where)}


def _plain(value: Any) -> Any:
    """Return plain JSON values: numbers of numpy made Python's, NaN and infinity ``None``."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, str | int | None):
        return value
    if hasattr(value, "item"):
        return _plain(value.item())
    raise TypeError(f"expected a JSON value but got {value!r} of type {type(value).__name__}")
