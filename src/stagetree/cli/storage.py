"""``stagetree storage``: one process that speaks to a study's storage for many workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from stagetree.cli.options import AsJson, Root, directory, study_names
from stagetree.core.errors import ConfigError, Fault, unknown

app = typer.Typer(help="Where the trials of studies are kept.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Where the trials of studies are kept."""


@app.command("serve")
def serve(
    study: Annotated[
        str | None,
        typer.Argument(help="Serve this study's storage.", autocompletion=study_names),
    ] = None,
    storage: Annotated[
        str | None, typer.Option("--storage", help="Serve this database: a URL.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", help="Port to listen on; 0: any that is free.", min=0)
    ] = 13000,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0: all of this machine.")
    ] = "127.0.0.1",
    threads: Annotated[
        int, typer.Option("--threads", help="How many calls are answered at once.", min=1)
    ] = 10,
    patience: Annotated[
        float, typer.Option("--patience", help="Seconds to wait for a database that is away.")
    ] = 300.0,
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Serve a database, or the journal of a study, to workers on other machines.

    Workers reach it with hydra.sweeper.storage=grpc://HOST:PORT and need neither a connection to
    the database nor its password. Whoever can reach the port can change the studies: keep it
    inside the cluster. End it with Ctrl-C; workers wait for the next one.

        stagetree storage serve --storage postgresql+psycopg2://me@db/optuna --host 0.0.0.0
        stagetree storage serve demo
    """
    from stagetree.search import proxy

    if (study is None) == (storage is None):
        message = "expected a STUDY or --storage URL, one of them"
        raise ConfigError([Fault("stagetree storage serve", message)])
    if storage is not None:
        served = proxy.Served.database(storage, patience=patience, threads=threads)
    else:
        served = proxy.Served.study(_home(str(study), directory(root) / "studies"), patience)
    with proxy.listen(served, host, port, threads) as bound:
        address = f"grpc://{host}:{bound}"
        if as_json:
            typer.echo(json.dumps({"url": address, "storage": served.shown}))
        else:
            line = f"hydra.sweeper.storage={address}"
            typer.echo(f"{served.shown} at {address}; workers: {line}; Ctrl-C ends it")
        proxy.wait()


def _home(study: str, root: Path) -> Path:
    """Return the directory of a study.

    Raises:
        ConfigError: There is no such study.
    """
    from stagetree.search import recorded

    for place in (Path(study), root / study):
        if recorded.is_study(place):
            return place
    raise ConfigError([Fault("study", unknown("study", study, recorded.names(root)))])
