"""``stagetree export-wandb-sweep``: a search as a sweep that W&B drives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stagetree.cli.options import AsJson, Root, show

if TYPE_CHECKING:
    from stagetree.search.wandb_sweep import WandbSweep

PROGRAM = "run.py"


def export_wandb_sweep(
    sweep: Annotated[str, typer.Argument(help="Name of a file in sweeps/, without .yaml.")],
    words: Annotated[
        list[str] | None, typer.Argument(help="Further overrides, as for run.py -m +sweep=NAME.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; else it is printed.")
    ] = None,
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Write a search as a sweep of W&B, whose server then chooses the trials.

        stagetree export-wandb-sweep ner_tpe -o ner_tpe.wandb.yaml

        wandb sweep ner_tpe.wandb.yaml

        wandb agent ENTITY/PROJECT/ID

    Every agent runs run.py once a trial, from this directory; stages are shared through the
    store as always. What W&B cannot say (keys that exist only in some trials or move together,
    several objectives, bounds) is refused with the reason; what it leaves out is said.
    """
    found = _export([f"+sweep={sweep}", *(words or ()), *_at(root)], sweep)
    text = _text(found, sweep)
    if output is not None:
        from stagetree.core import atomic

        atomic.write_text(output, text)
        text = "\n".join([f"wandb sweep {output}", *found.notes])
    row = {"config": found.config, "notes": list(found.notes), "file": output and str(output)}
    show(row, as_json, text)


def _at(root: Path | None) -> list[str]:
    """Return the override that moves a line to another root, wherever it is run."""
    from hydra.core.override_parser.types import Quote, QuotedString

    if root is None:
        return []
    return [f"paths.root={QuotedString(str(root.resolve()), Quote.single).with_quotes()}"]


def _export(words: list[str], name: str) -> WandbSweep:
    from hydra.core.global_hydra import GlobalHydra

    from stagetree.pipeline import commandline
    from stagetree.search.preview import checked
    from stagetree.search.wandb_sweep import wandb_sweep

    with commandline.explained(words), commandline.composer():
        config = commandline.compose_search(words)
        _, reading, options = checked(config, GlobalHydra.instance().config_loader())
    return wandb_sweep(reading, config, options, PROGRAM, name)


def _text(found: WandbSweep, name: str) -> str:
    from stagetree.search.wandb_sweep import as_yaml

    command = f"stagetree export-wandb-sweep {name}"
    return as_yaml(found, [f"sweeps/{name}.yaml as a sweep of W&B, by `{command}`."])
