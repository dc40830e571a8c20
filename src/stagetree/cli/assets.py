"""``stagetree assets``: pinned models and data inside published packages."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from stagetree.cli.options import AsJson, Root, show
from stagetree.core.errors import AssetError, ConfigError, Fault, unknown
from stagetree.data import assets

app = typer.Typer(
    help="Pinned models and data, fetched once and checked by hash.", no_args_is_help=True
)


@app.command("get")
def get(
    names: Annotated[list[str], typer.Argument(help="Names of assets, or 'all'.")],
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Fetch assets into the cache; those already there are left alone."""
    wanted = list(assets.ASSETS) if names == ["all"] else names
    faults = [
        Fault("assets", unknown("asset", n, assets.ASSETS))
        for n in wanted
        if n not in assets.ASSETS
    ]
    if faults:
        raise ConfigError(faults)
    rows = []
    for name in wanted:
        directory = assets.fetch(name)
        rows.append({"name": name, "directory": str(directory)})
        if not as_json:
            typer.echo(f"{name}: {directory}")
    if as_json:
        show(rows, True, None)


@app.command("ls")
def ls(as_json: AsJson = False, root: Root = None) -> None:
    """List the assets: where each comes from, its licence, and whether it is here."""
    rows = []
    for name, asset in assets.ASSETS.items():
        rows.append(
            {
                "name": name,
                "distribution": f"{asset.distribution}=={asset.version}",
                "licence": asset.licence,
                "directory": _directory(name),
            }
        )
    table = Table("asset", "distribution", "licence", "directory")
    for row in rows:
        table.add_row(*(str(row[key] or "not fetched") for key in row))
    show(rows, as_json, table)


def _directory(name: str) -> str | None:
    try:
        return str(assets.asset_dir(name))
    except AssetError:
        return None
