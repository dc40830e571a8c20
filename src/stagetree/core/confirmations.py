"""What was confirmed of a study: a file in its directory, which also guards its test split."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stagetree.core import atomic
from stagetree.core.errors import StagetreeError

FILE = "confirm.json"
"""File in a study's directory; ``confirmations`` in it are oldest first."""

BEGUN = "begun"
READ = "read"

Confirmation = dict[str, Any]


def read(directory: Path) -> list[Confirmation]:
    """Return all confirmations of the study in a directory, oldest first.

    Raises:
        StagetreeError: The file is damaged, so that nobody can say whether the test split was
            read.
    """
    path = directory / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["confirmations"]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StagetreeError(
            f"{path}: expected the record of what was confirmed but got: {error}. It says whether "
            "the test split was read; put it back, or move it away to begin anew"
        ) from error
    return list(found)


def put(directory: Path, confirmation: Mapping[str, Any]) -> None:
    """Write a confirmation, in place of an earlier one of the same ``id``, as the last."""
    others = [one for one in read(directory) if one["id"] != confirmation["id"]]
    atomic.write_json(directory / FILE, {"confirmations": [*others, dict(confirmation)]})


def find(confirmations: Sequence[Confirmation], identity: str) -> Confirmation | None:
    """Return the confirmation with this ``id``, if there is one."""
    return next((one for one in confirmations if one["id"] == identity), None)


def readers(confirmations: Sequence[Confirmation], identity: str) -> list[Confirmation]:
    """Return those but ``identity`` for which the test split was read, wholly or in part."""
    return [one for one in confirmations if one["id"] != identity and _opened(one)]


def _opened(confirmation: Confirmation) -> bool:
    return (confirmation.get("test") or {}).get("status") in (BEGUN, READ)
