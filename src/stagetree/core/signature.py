"""Signatures: the name under which a stage's result is stored and found again."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import math
from collections.abc import Mapping, Sequence

SCHEME = 1
"""Version of the signature scheme itself; raising it makes every stored result unreachable."""

AFFECTS_RESULT = "affects_result"
"""Key of a dataclass field's metadata; ``False`` leaves the field out of the signature."""


def canonical_json(value: object) -> str:
    """Return the one JSON text of ``value``: sorted keys, no spaces, shortest exact numbers.

    An integral float and the equal integer give the same text, so ``3`` and ``3.0`` are one
    value, as they are in YAML and on a command line.

    Raises:
        ValueError: A number is NaN or infinite, or two keys are equal as text.
        TypeError: A value has no JSON form.

    >>> canonical_json({"b": 1e-4, "a": (2.0, None)})
    '{"a":[2,null],"b":0.0001}'
    """
    return json.dumps(
        _plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value.is_integer() else value
    if isinstance(value, Mapping):
        named = {str(key): _plain(item) for key, item in value.items()}
        if len(named) < len(value):
            raise ValueError(f"expected keys that differ as text but got {list(value)!r}")
        return named
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [_plain(item) for item in value]
    raise TypeError(f"expected a JSON value but got {value!r} of type {type(value).__name__}")


def digest(value: object) -> str:
    """Return the sha256 of ``value``'s canonical JSON as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()


def result_fields(config: object) -> dict[str, object]:
    """Return a typed config as a mapping, without the fields that cannot change the result.

    A field is left out when its metadata says ``{"affects_result": False}``, and, so that new
    options do not rename old results, when its metadata says ``{"neutral": value}`` and it has
    that value.
    """
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"expected a dataclass instance but got {config!r}")
    fields: dict[str, object] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if not field.metadata.get(AFFECTS_RESULT, True):
            continue
        if "neutral" in field.metadata and value == field.metadata["neutral"]:
            continue
        fields[field.name] = _field_value(value)
    return fields


def _field_value(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return result_fields(value)
    if isinstance(value, list | tuple):
        return [_field_value(item) for item in value]
    return value


def signature(
    kind: str,
    version: int,
    config: Mapping[str, object],
    inputs: Sequence[str],
    data: str,
    seed: int,
) -> str:
    """Return the signature of a stage's result.

    Two results share a signature exactly when the same version of the same stage kind ran with
    the same resolved configuration, on the same data, with the same seed, on results of the
    same signatures.

    Args:
        kind: Registered name of the stage kind.
        version: The kind's own version; raise it when its code changes what it produces.
        config: The whole resolved configuration, less the fields that cannot change the result.
        inputs: Signatures of the results the stage starts from, in order; the revision of a
            pretrained model counts as one.
        data: Fingerprint of data and task.
        seed: Seed of the pipeline.

    Returns:
        64 hexadecimal digits.
    """
    return digest(
        {
            "scheme": SCHEME,
            "kind": kind,
            "version": version,
            "config": config,
            "inputs": inputs,
            "data": data,
            "seed": seed,
        }
    )
