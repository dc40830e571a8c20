"""``stagetree dashboard``: Optuna's dashboard on the studies, for looking unless told otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from stagetree.cli.options import AsJson, Root, directory, study_names
from stagetree.cli.studies import Storage
from stagetree.core.errors import ConfigError, Fault, unknown


def dashboard(
    study: Annotated[
        str | None,
        typer.Argument(
            help="Name of the study; by default all of them.", autocompletion=study_names
        ),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", help="Port to listen on; 0: any that is free.", min=0)
    ] = 8080,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    read_write: Annotated[
        bool,
        typer.Option("--read-write", help="Let the dashboard note, rename, tell and delete."),
    ] = False,
    as_json: AsJson = False,
    root: Root = None,
    storage: Storage = None,
) -> None:
    """Look at the studies in optuna-dashboard, in a browser on this machine.

    Nothing can be changed in it unless --read-write is given, with one STUDY. End it with Ctrl-C.
    """
    from stagetree.cli.serving import listen
    from stagetree.search.dashboard import application

    place = directory(root) / "studies"
    study = _chosen(study, place, storage, read_write=read_write)
    server = listen(application(place, study, storage, writable=read_write), host, port)
    address = f"http://{host}:{server.server_port}/"
    if as_json:
        shown = {"url": address, "study": study, "read_only": not read_write}
        typer.echo(json.dumps(shown))
    else:
        kind = "changes are allowed" if read_write else "read-only"
        typer.echo(f"{study or 'all studies'} at {address} ({kind}); Ctrl-C ends it")
    with server:
        server.serve_forever()


def _chosen(study: str | None, place: Path, url: str | None, *, read_write: bool) -> str | None:
    """Return the study to show, ``None`` for all.

    Raises:
        ConfigError: There is no such study, none at all, or several where one is needed.
    """
    from stagetree.search.results import list_studies

    if url:
        return study
    names = list_studies(place)
    if study is not None and study not in names:
        raise ConfigError([Fault("study", unknown("study", study, names))])
    if not names:
        raise ConfigError([Fault("study", f"expected a study in {place} but there is none yet")])
    if study is None and read_write:
        if len(names) > 1:
            message = f"expected the one study to change; there are: {', '.join(names)}"
            raise ConfigError([Fault("study", message)])
        return names[0]
    return study
