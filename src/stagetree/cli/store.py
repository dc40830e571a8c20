"""``stagetree store``: what is stored, what it cost, and why something was not reused."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from stagetree.cli import collect
from stagetree.cli.options import AsJson, Root, directory, show
from stagetree.core.errors import ConfigError, Fault
from stagetree.pipeline.record import Record
from stagetree.pipeline.store import Store

app = typer.Typer(help="The store of stage results.", no_args_is_help=True)
app.command("gc")(collect.gc)


def _row(store: Store, record: Record) -> dict[str, Any]:
    return {
        "signature": record.signature,
        "kind": record.kind,
        "name": record.name,
        "model_dir": str(store.model_dir(record.signature)),
        "seconds": record.seconds,
        "metrics": dict(record.metrics),
    }


@app.command("ls")
def ls(
    everything: Annotated[
        bool, typer.Option("--all", help="Also what stages share: teachers' answers.")
    ] = False,
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """List every stored stage result, oldest first."""
    store = Store(directory(root) / "store")
    listed = (record for record in store.records() if everything or not record.shared)
    records = sorted(listed, key=lambda record: record.created)
    rows = [_row(store, record) for record in records]
    table = Table("signature", "kind", "name", "seconds", "MB", "metrics", "created")
    for record in records:
        table.add_row(
            record.signature[:12],
            record.kind,
            record.name,
            f"{record.seconds:.1f}",
            f"{store.size(record.signature) / 1e6:.1f}",
            _brief(record),
            record.created[:19],
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
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Show one record whole: configuration, inputs, metrics, curve, environment."""
    store = Store(directory(root) / "store")
    record = store.get(store.find(signature))
    if record is None:
        raise ConfigError(
            [Fault("signature", f"the result {signature!r} is damaged; see quarantine/")]
        )
    plain = {**record.to_json(), "model_dir": str(store.model_dir(record.signature))}
    table = Table("field", "value", show_header=False)
    for key, value in plain.items():
        table.add_row(key, _lines(value))
    show(plain, as_json, table)


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
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Say for each stage of a run whether it would be reused, and if not, what differs."""
    from stagetree.pipeline.reuse import reuse

    rows = reuse(list(words or ()), Store(directory(root) / "store"))
    table = Table("stage", "stored", "differs from the nearest stored result in")
    for row in rows:
        table.add_row(row["stage"], "yes" if row["stored"] else "no", "\n".join(row["differences"]))
    show(rows, as_json, table)
