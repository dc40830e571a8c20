"""The embedded storage: a journal file that survives a writer's death in mid-line."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import get_lock_file

from stagetree.search.journal_lock import JournalLock
from stagetree.search.patient_storage import OPENING, PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

FILE = "journal.log"
LOCK_GRACE = 10
"""Seconds after which the lock of a writer that died in mid-write is broken."""


class MendingJournal(JournalFileBackend):
    """Optuna's journal file, except that a torn last line is cut off before the next is written.

    Any reader of Optuna's format opens the file. Left alone, a line that its writer did not
    finish would merge with the next one and make the whole study unreadable. What is cut off
    is kept in a ``.torn`` file beside it.

    Args:
        path: The journal file; its directory must exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._own = JournalLock(path, LOCK_GRACE)
        super().__init__(str(path), lock_obj=self._own)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append log lines, after whole ones; again should the lock be lost before the write."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        while not self._appended(lines.encode("utf-8")):
            continue

    def _appended(self, lines: bytes) -> bool:
        with get_lock_file(self._own):
            mend(self._path)
            with self._path.open("ab", buffering=0) as file:
                if not self._own.held():
                    return False
                if file.write(lines) != len(lines):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
                os.fsync(file.fileno())
        return True

    def mend(self) -> None:
        """Cut off a torn last line now, so that plain Optuna may go on with the file, too."""
        with get_lock_file(self._own):
            mend(self._path)


def open_storage(
    directory: Path, url: str | None, *, opening: float = OPENING, patience: float = PATIENCE
) -> BaseStorage:
    """Open the storage of a study: the journal in its directory, or a database by URL.

    Args:
        directory: The study's directory.
        url: The URL, or ``None`` for the journal.
        opening: Seconds to wait for a server that does not answer yet.
        patience: Seconds to wait for one that was there before.

    Raises:
        ConfigError: The URL cannot be used.
        StorageAwayError: The server does not answer.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if url:
        from stagetree.search.database import open_url

        return open_url(url, opening=opening, patience=patience)
    backend = MendingJournal(directory / FILE)
    backend.mend()
    return JournalStorage(backend)


def mend(path: Path) -> None:
    """Cut a torn last line off ``path``, keeping it in ``<path>.torn``. The lock must be held."""
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        if not end:
            return
        file.seek(end - 1)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        file.seek(whole)
        torn = file.read()
        with path.with_name(f"{path.name}.torn").open("ab") as kept:
            kept.write(torn + b"\n")
        file.truncate(whole)
