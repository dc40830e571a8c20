"""Optuna's dashboard as a web application on the project's studies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from stagetree.core.errors import ConfigError, Fault
from stagetree.search import recorded
from stagetree.search.gallery import Gallery
from stagetree.search.journal import open_storage

if TYPE_CHECKING:
    from pathlib import Path

    from optuna.storages import BaseStorage

Application = Callable[..., Iterable[bytes]]
"""A WSGI application."""

_READS = frozenset({"GET", "HEAD"})


def application(
    root: Path, study: str | None, url: str | None = None, *, writable: bool = False
) -> Application:
    """Return the dashboard's web application.

    Unless it is writable, every request that could change anything is answered with 403 and the
    reason; journals are read without a lock.

    Args:
        root: Directory that holds the studies' directories.
        study: Name of the study's directory; ``None``: all studies, which cannot be writable.
        url: Database URL, for studies that are not in journal files.
        writable: Whether the dashboard may rename, note, tell and delete.

    Raises:
        ConfigError: The dashboard's package is not installed.
    """
    try:
        from optuna_dashboard import wsgi
    except ImportError as error:
        message = (
            f"the dashboard needs the package 'optuna-dashboard' ({error}): "
            "pip install 'stagetree[dashboard]'"
        )
        raise ConfigError([Fault("", message)]) from error
    storage: BaseStorage
    if url:
        storage = open_storage(root / (study or ""), url)
    elif writable and study is not None:
        storage = recorded.writable(root / study)
    else:
        storage = Gallery(root, study)
    found: Application = wsgi(storage)
    return found if writable else read_only(found)


def read_only(inner: Application) -> Application:
    """Return ``inner`` behind a guard that lets requests for reading through and no others."""

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in _READS:
            return inner(environ, start_response)
        reason = "This dashboard is read-only. Start it with --read-write to change the study."
        body = json.dumps({"reason": reason}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response("403 Forbidden", headers)
        return [body]

    return guarded
