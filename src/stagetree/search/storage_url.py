"""The URL of a storage: what people may see of it, and what it is without the password."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import URL, make_url

HIDDEN = "***"
"""What stands for a password. A URL that has it is opened without one: by the driver's own ways."""

_PROXY = "grpc://"
_PASSWORD = re.compile(r"(?P<before>[\w+.-]+://[^\s:/@]*):(?P<password>[^\s@]+)@")


def is_proxy(url: str) -> bool:
    """Return whether a URL is that of a gRPC proxy."""
    return url.startswith(_PROXY)


def host_and_port(url: str) -> tuple[str, int | None]:
    """Return the host and the port of a URL; an empty host and ``None`` where it has none.

    >>> host_and_port("grpc://head:13000")
    ('head', 13000)
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    return parts.hostname or "", port


def shown(text: str) -> str:
    """Return text with every password of a URL in it hidden.

    >>> shown("hydra.sweeper.storage=postgresql://me:secret@db/base")
    'hydra.sweeper.storage=postgresql://me:***@db/base'
    >>> shown("postgresql://me:${oc.env:PASSWORD}@db/base")
    'postgresql://me:${oc.env:PASSWORD}@db/base'
    """

    def hide(found: re.Match[str]) -> str:
        kept = found["password"] if found["password"].startswith("${") else HIDDEN
        return f"{found['before']}:{kept}@"

    return _PASSWORD.sub(hide, text)


def settled(url: str | None) -> str | None:
    """Return a URL that means the same from any working directory."""
    file = (url or "").partition(":///")
    if url is None or not file[0].startswith("sqlite") or file[2] in ("", ":memory:"):
        return url
    return f"{file[0]}:///{Path(file[2]).absolute()}"


def bare(url: str) -> URL:
    """Return a database's URL; a hidden password is left out.

    Raises:
        ArgumentError: It is no URL.
    """
    parsed = make_url(url)
    if parsed.password != HIDDEN:
        return parsed
    return URL.create(
        parsed.drivername, parsed.username, None, parsed.host, parsed.port, parsed.database,
        parsed.query,
    )  # fmt: skip


def hint(url: str) -> str:
    """Return what to do about a password that was hidden; empty unless it was."""
    if f":{HIDDEN}@" not in url:
        return ""
    return (
        ". Passwords are not recorded: set PGPASSWORD, write ~/.pgpass, or give the whole URL "
        "with --storage"
    )
