"""``stagetree store push`` and ``pull``: results to and from a remote store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stagetree.cli.options import AsJson, RemoteUrl, Root, directory, show
from stagetree.core.errors import ConfigError, Fault, StagetreeError, StoreError
from stagetree.pipeline.store import Store

if TYPE_CHECKING:
    from stagetree.pipeline.remote import Remote

Signatures = Annotated[
    list[str] | None, typer.Argument(help="First digits of signatures; all if left out.")
]


def remote_of(url: str | None) -> Remote | None:
    """Return the remote store at a URL, if there is one.

    Raises:
        ConfigError: The URL names no place that results can be sent to.
    """
    if not url:
        return None
    from stagetree.pipeline import transport
    from stagetree.pipeline.remote import remote

    wrong = transport.fault(url)
    if wrong:
        raise ConfigError([Fault("--remote", wrong)])
    return remote(url)


def find(digits: str, names: frozenset[str], url: str) -> str:
    """Return the one signature in a remote store that begins with some digits.

    Raises:
        StoreError: None or several do.
    """
    found = sorted(name for name in names if name.startswith(digits.strip().lower()))
    if len(found) != 1:
        raise StoreError(
            f"expected the first digits of one result but {digits!r} begins {len(found)} of those "
            f"in {url}. List what is there with: stagetree store ls --remote {url}"
        )
    return found[0]


def push(
    signatures: Signatures = None,
    url: RemoteUrl = None,
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Send results to the remote store that it does not have, e.g. after it was out of reach.

    Files go first and the record last, so that a result is never seen before it is whole. What an
    upload that was cut short has sent is not sent again. Nothing there is removed or replaced,
    except a result that was found damaged.
    """
    remote = _needed(url)
    store = Store(directory(root) / "store")
    known = remote.list()
    wanted = [store.find(digits) for digits in signatures or ()]
    ours = wanted or [record.signature for record in store.records()]
    sent, size = 0, 0
    for signature in ours:
        record = None if signature in known else store.get(signature)
        if record is not None and remote.push(signature, store.model_dir(signature).parent):
            sent, size = sent + 1, size + record.bytes
    _tell("sent", sent, len(ours) - sent, size, remote.url, as_json)


def pull(
    signatures: Signatures = None,
    url: RemoteUrl = None,
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Fetch results that are only in the remote store; runs fetch what they need by themselves."""
    remote = _needed(url)
    store = Store(directory(root) / "store", remote=remote)
    known = remote.list()
    wanted = [find(digits, known, remote.url) for digits in signatures or ()] or sorted(known)
    missing = [signature for signature in wanted if store.get(signature) is None]
    found = [store.fetch(signature) for signature in missing]
    size = sum(record.bytes for record in found if record is not None)
    lost = found.count(None)
    _tell("fetched", len(found) - lost, len(wanted) - len(missing), size, remote.url, as_json)
    if lost:
        raise StagetreeError(f"{lost} results could not be fetched from {remote.url}")


def _needed(url: str | None) -> Remote:
    remote = remote_of(url)
    if remote is None:
        message = "expected the URL of a remote store: --remote s3://bucket/prefix, or "
        raise ConfigError(
            [Fault("--remote", message + "the environment variable STAGETREE_REMOTE")]
        )
    return remote


def _tell(done: str, count: int, there: int, size: int, url: str, as_json: bool) -> None:
    from stagetree.report.numbers import megabytes

    rows: dict[str, Any] = {done: count, "bytes": size, "there": there, "remote": url}
    text = f"{count} results {done}, {megabytes(size)} MB; {there} were there already ({url})"
    show(rows, as_json, text)
