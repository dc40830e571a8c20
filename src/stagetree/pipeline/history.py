"""What is remembered of results whose model was removed to free its space."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from stagetree.core import nfs

if TYPE_CHECKING:
    from collections.abc import Iterator


class History:
    """The directory of records whose models are gone: ``root/history/ab/abcd.../``.

    Tables, learning curves, costs and ``why`` go on working with them; a run that wants the model
    computes it again.

    Args:
        root: The store's directory.
    """

    def __init__(self, root: Path) -> None:
        self._root = root / "history"

    def entry(self, signature: str) -> Path:
        """Return the directory of a result's record."""
        return self._root / signature[:2] / signature

    def keep(self, entry: Path, model_dir: str) -> None:
        """Copy all of a result but its model; a copy that is there is replaced.

        The copy before is moved aside first: a file of it that somebody has open cannot be
        removed on a network file system, which would keep the directory from being replaced.

        Args:
            entry: The result's directory.
            model_dir: Name of the model's directory in it.
        """
        target = self.entry(entry.name)
        made = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
        shutil.copytree(entry, made, ignore=lambda where, _: _named(where, entry, model_dir))
        aside = target.with_name(f"{made.name}.old")
        with contextlib.suppress(FileNotFoundError):
            nfs.rename(target, aside)
        nfs.rename(made, target)
        shutil.rmtree(aside, ignore_errors=True)

    def forget(self, signature: str) -> None:
        """Remove what is remembered of a result."""
        shutil.rmtree(self.entry(signature), ignore_errors=True)
        with contextlib.suppress(OSError):
            self.entry(signature).parent.rmdir()

    def signatures(self) -> Iterator[str]:
        """Yield the signatures of what is remembered, in order."""
        for shard in sorted(self._root.glob("??")):
            yield from sorted(entry.name for entry in shard.iterdir() if len(entry.name) == 64)


def _named(where: str, entry: Path, model_dir: str) -> list[str]:
    return [model_dir] if Path(where) == entry else []
