"""What is known not to fit into memory, kept for later trials."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from stagetree.core import atomic
from stagetree.core.lease import Lease
from stagetree.core.signature import digest
from stagetree.models import structure

logger = logging.getLogger(__name__)

FILE = "memory_limits.json"
"""Name of the file in a cache directory; deleting it forgets every limit."""

HOPELESS = 2
"""After so many attempts that not even one example fitted in, no further one is made."""

_PATIENCE = 10.0


@dataclass(frozen=True)
class Limit:
    """What fitted into memory at last.

    Attributes:
        micro_batch_size: Examples a pass in training; 0 is not known.
        eval_batch_size: Examples a pass in evaluation; 0 is not known.
        failures: Attempts since the last success in which not even one example fitted.
    """

    micro_batch_size: int = 0
    eval_batch_size: int = 0
    failures: int = 0


class Limits:
    """The limit of one training stage, in a file that all workers of a cache share.

    The file is written only when memory ran out. A limit outlives its cause: when memory was
    short because something else held it, or has grown since, delete the file.

    Args:
        path: The file.
        needs: Plain values that decide how much memory is needed, and how much there is. Stages
            with equal needs share a limit.
    """

    def __init__(self, path: Path, needs: Mapping[str, Any]) -> None:
        self.path = path
        self._needs = dict(needs)
        self._key = digest(needs)

    def read(self) -> Limit:
        """Return what is known; a file that cannot be read is nothing known."""
        return _limit(self._entries().get(self._key, {}))

    def lower(self, name: str, size: int) -> None:
        """Keep that the size ``name`` of a :class:`Limit` is at most ``size``."""
        self._change(
            lambda known: replace(known, **{name: min(getattr(known, name) or size, size)})
        )

    def fail(self) -> None:
        """Keep that not even one example fitted."""
        self._change(lambda known: replace(known, failures=known.failures + 1))

    def succeed(self) -> None:
        """Keep that it fitted after all."""
        self._change(lambda known: replace(known, failures=0))

    def _change(self, change: Callable[[Limit], Limit]) -> None:
        """Change the limit in the file, one worker at a time; no room to write is a warning."""
        lease = Lease(self.path.with_suffix(".lock"))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not lease.acquire(_PATIENCE, poll=0.02):
                raise TimeoutError(f"{lease.path} is held for more than {_PATIENCE:g} s")
            try:
                entries = self._entries()
                limit = change(_limit(entries.get(self._key, {})))
                entries[self._key] = {**asdict(limit), "needs": self._needs}
                atomic.write_json(self.path, entries)
            finally:
                lease.release()
        except OSError as error:
            logger.warning("cannot keep the memory limit of a stage in %s: %s", self.path, error)

    def _entries(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            logger.warning("%s cannot be read, its limits are not used: %s", self.path, error)
            return {}
        entries = found if isinstance(found, dict) else {}
        return {key: entry for key, entry in entries.items() if isinstance(entry, dict)}


def _limit(entry: Mapping[str, Any]) -> Limit:
    known = {field.name: entry.get(field.name, 0) for field in fields(Limit)}
    return Limit(**known) if all(type(value) is int for value in known.values()) else Limit()


def shape(directory: Path) -> dict[str, Any]:
    """Return what of a model directory decides how much memory it needs.

    Names of files, versions and labels do not; of a rate (dropout) it matters whether it is 0.
    A file that cannot be read is left to whoever opens the model to refuse.
    """
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    sizes = {
        name: value != 0 if isinstance(value, float) else value
        for name, value in config.items()
        if name not in _NOT_OF_THE_SHAPE
    }
    return {**sizes, **_structure(directory / structure.FILE)}


def _structure(path: Path) -> dict[str, Any]:
    """Return the sizes of the layers of a pruned model, and nothing of any other."""
    try:
        return {"structure": json.loads(path.read_text(encoding="utf-8"))}
    except (OSError, ValueError):
        return {}


_NOT_OF_THE_SHAPE = frozenset(
    {"_name_or_path", "_commit_hash", "transformers_version", "id2label", "label2id"}
)
