"""The tree of verbs; each lives in a module of its own."""

from __future__ import annotations

import typer

from stagetree import __version__
from stagetree.cli import (
    assets,
    cancel,
    compare,
    confirm,
    dashboard,
    plan,
    predict,
    report,
    status,
    storage,
    store,
    studies,
    wandb_sweep,
)

app = typer.Typer(
    name="stagetree",
    help="Hyperparameter search over pipelines of language-model stages.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(assets.app, name="assets")
app.add_typer(store.app, name="store")
app.add_typer(storage.app, name="storage")
app.command("studies")(studies.studies)
app.command("trials")(studies.trials)
app.command("best")(studies.best)
app.command("report")(report.report)
app.command("confirm")(confirm.confirm)
app.command("status")(status.status)
app.command("cancel")(cancel.cancel)
app.command("plan")(plan.plan)
app.command("compare")(compare.compare)
app.command("dashboard")(dashboard.dashboard)
app.command("predict")(predict.predict)
app.command("export-wandb-sweep")(wandb_sweep.export_wandb_sweep)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stagetree {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Hyperparameter search over pipelines of language-model stages."""
