"""Options that every verb has, and the one way results are printed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

Root = Annotated[
    Path | None,
    typer.Option("--root", help="Directory of store and studies (paths.root).", file_okay=False),
]


def study_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of studies that begin so, for the shell."""
    place = directory(ctx.params.get("root")) / "studies"
    if not place.is_dir():
        return []
    return sorted(entry.name for entry in place.iterdir() if entry.name.startswith(incomplete))


StudyName = Annotated[str, typer.Argument(help="Name of the study.", autocompletion=study_names)]
RemoteUrl = Annotated[
    str | None,
    typer.Option(
        "--remote",
        envvar="STAGETREE_REMOTE",
        help="URL of the remote store (store.remote), e.g. s3://bucket/prefix.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def directory(root: Path | None) -> Path:
    """Return the directory of store and studies: given, ``$STAGETREE_ROOT``, or ``runs``."""
    return root if root is not None else Path(os.environ.get("STAGETREE_ROOT", "runs"))


def study_home(study: str, root: Path | None) -> Path:
    """Return the directory of a study that is named, or given as its directory."""
    return Path(study) if Path(study).is_dir() else directory(root) / "studies" / study


def show(rows: Any, as_json: bool, renderable: Any) -> None:
    """Print ``rows`` as JSON or the renderable made for people."""
    if as_json:
        typer.echo(json.dumps(rows, indent=2, sort_keys=False))
        return
    from stagetree.report.tables import render

    typer.echo(renderable if isinstance(renderable, str) else render(renderable))
