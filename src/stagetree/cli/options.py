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
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def directory(root: Path | None) -> Path:
    """Return the directory of store and studies: given, ``$STAGETREE_ROOT``, or ``runs``."""
    return root if root is not None else Path(os.environ.get("STAGETREE_ROOT", "runs"))


def show(rows: Any, as_json: bool, renderable: Any) -> None:
    """Print ``rows`` as JSON or the renderable made for people."""
    if as_json:
        typer.echo(json.dumps(rows, indent=2, sort_keys=False))
        return
    from stagetree.report.tables import render

    typer.echo(render(renderable))
