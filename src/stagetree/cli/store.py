"""``stagetree store``: what is stored, what it cost, and why something was not reused."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from stagetree.cli import collect, exchange
from stagetree.cli.options import AsJson, RemoteUrl, Root, directory, show
from stagetree.core.errors import ConfigError, Fault, StoreError
from stagetree.pipeline.record import Record
from stagetree.pipeline.reuse import reuse, where
from stagetree.pipeline.store import Store

app = typer.Typer(help="The store of stage results.", no_args_is_help=True)
app.command("gc")(collect.gc)
app.command("push")(exchange.push)
app.command("pull")(exchange.pull)


def _row(store: Store, record: Record, place: str) -> dict[str, Any]:
    there = "here" in place
    return {
        "signature": record.signature,
        "kind": record.kind,
        "name": record.name,
        "model_dir": str(store.model_dir(record.signature)) if there else "",
        "seconds": record.seconds,
        "metrics": dict(record.metrics),
        "where": place,
    }


@app.command("ls")
def ls(
    everything: Annotated[
        bool, typer.Option("--all", help="Also what stages share: teachers' answers.")
    ] = False,
    url: RemoteUrl = None,
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """List every stored stage result, oldest first; with --remote also those that are there."""
    store = Store(directory(root) / "store", remote=exchange.remote_of(url))
    ours = {record.signature: record for record in store.records()}
    theirs = frozenset() if store.remote is None else store.remote.listed()
    found = list(ours.values())
    if store.remote is not None:
        found += store.remote.records(sorted(theirs - ours.keys()))
    listed = (record for record in found if everything or not record.shared)
    records = sorted(listed, key=lambda record: record.created)
    places = [where(here=one.signature in ours, remote=one.signature in theirs) for one in records]
    rows = [_row(store, one, place) for one, place in zip(records, places, strict=True)]
    headings = ("signature", "kind", "name", "seconds", "MB", "metrics", "created")
    table = Table(*headings, *(["where"] if store.remote else []))
    for record, place in zip(records, places, strict=True):
        table.add_row(
            record.signature[:12],
            record.kind,
            record.name,
            f"{record.seconds:.1f}",
            f"{(store.size(record.signature) or record.bytes) / 1e6:.1f}",
            _brief(record),
            record.created[:19],
            *([place] if store.remote else []),
        )
    show(rows, as_json, table)


def _brief(record: Record) -> str:
    names = [
        name for name in ("f1", "macro_f1", "accuracy", "latency_ms") if name in record.metrics
    ]
    return "  ".join(f"{name} {record.metrics[name]:.4g}" for name in names)


@app.command("show")
def show_one(
    signature: Annotated[str, typer.Argument(help="Signature, or its first digits.")],
    url: RemoteUrl = None,
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Show one record whole: configuration, inputs, metrics, curve, environment, where it is."""
    store = Store(directory(root) / "store", remote=exchange.remote_of(url))
    record, here = _find(signature, store)
    if record is None:
        raise ConfigError(
            [Fault("signature", f"the result {signature!r} is damaged; see quarantine/")]
        )
    remote = store.remote is not None and store.remote.has(record.signature)
    place = str(store.model_dir(record.signature)) if here else ""
    own = {"model_dir": place, "forked": _forked(record)}
    plain = {**record.to_json(), **own, "where": where(here=here, remote=remote)}
    table = Table("field", "value", show_header=False)
    for key, value in plain.items():
        table.add_row(key, _lines(value))
    show(plain, as_json, table)


def _forked(record: Record) -> dict[str, Any]:
    """Return from where a training was forked, or why not."""
    schedule = record.config.get("schedule")
    if record.forked or schedule not in {"linear", "cosine"}:
        return dict(record.forked)
    return {"why": f"schedule={schedule} depends on how long training goes on"}


def _find(digits: str, store: Store) -> tuple[Record | None, bool]:
    """Return a record that is here or in the remote store, and whether it is here."""
    try:
        return store.get(store.find(digits)), True
    except StoreError:
        if store.remote is None:
            raise
    names = store.remote.list()
    return store.remote.record(exchange.find(digits, names, store.remote.url)), False


def _lines(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}: {item}" for key, item in value.items())
    if isinstance(value, list):
        return "\n".join(str(item) for item in value)
    return str(value)


@app.command("why")
def why(
    words: Annotated[
        list[str] | None, typer.Argument(help="Overrides of a run, as for run.py.")
    ] = None,
    url: RemoteUrl = None,
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Say for each stage of a run whether it would be reused, and if not, what differs."""
    store = Store(directory(root) / "store", remote=exchange.remote_of(url))
    rows = reuse(list(words or ()), store)
    table = Table("stage", "stored", "differs from the nearest stored result in")
    for row in rows:
        stored = row["where"] if store.remote else "yes"
        table.add_row(
            row["stage"], stored if row["stored"] else "no", "\n".join(row["differences"])
        )
    show(rows, as_json, table)
