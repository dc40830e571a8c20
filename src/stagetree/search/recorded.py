"""Where the trials of a study are: in the journal of its directory, or where its record says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import optuna
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from stagetree.search.journal import FILE, open_storage

if TYPE_CHECKING:
    from pathlib import Path

MULTIRUN = "multirun.yaml"
"""File in a study's directory: the composed configuration of the last line that opened it."""


def storage_url(directory: Path) -> str | None:
    """Return the storage's URL, without its password, of a study that has no journal."""
    if (directory / FILE).is_file():
        return None
    try:
        url = OmegaConf.load(directory / MULTIRUN).hydra.sweeper.storage
    except (OSError, OmegaConfBaseException, AttributeError, ValueError):
        return None
    return str(url) if url else None


def is_study(directory: Path) -> bool:
    """Return whether a directory is that of a study."""
    return (directory / FILE).is_file() or storage_url(directory) is not None


def names(root: Path) -> list[str]:
    """Return the names of the directories of studies below ``root``, sorted."""
    found = {file.parent for file in root.glob(f"*/{FILE}")}
    found |= {file.parent for file in root.glob(f"*/{MULTIRUN}") if is_study(file.parent)}
    return sorted(directory.name for directory in found)


def readable(directory: Path) -> BaseStorage:
    """Open the storage of a study for reading; a journal is neither locked nor mended.

    Raises:
        ConfigError: The recorded URL cannot be used.
        StorageAwayError: Its server does not answer.
    """
    url = storage_url(directory)
    if url:
        return open_storage(directory, url)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return JournalStorage(JournalFileBackend(str(directory / FILE)))


def writable(directory: Path) -> BaseStorage:
    """Open the storage of a study for writing.

    Raises:
        ConfigError: The recorded URL cannot be used.
        StorageAwayError: Its server does not answer.
    """
    return open_storage(directory, storage_url(directory))
