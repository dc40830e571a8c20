"""Which stored results the experiments and the single runs of a project refer to."""

from __future__ import annotations

import functools
import logging
import re
from pathlib import Path

from stagetree.core.errors import ConfigError
from stagetree.core.kept import Kept
from stagetree.pipeline import commandline
from stagetree.pipeline.compose import compose
from stagetree.tracking.record import RECORD, read

_log = logging.getLogger(__name__)

_SIGNATURE = re.compile(r"\b[0-9a-f]{64}\b")


def of_experiments(directory: Path, kept: Kept) -> None:
    """Keep the results of every experiment as it composes today, and as it was exported.

    One that does not compose, because its data is not there, keeps what its comments name.
    """
    with commandline.composer():
        for file in sorted(directory.glob("*.yaml")):
            reason = f"experiment {file.stem}"
            kept.add(named(file), reason)
            kept.add_run(_stages(file.stem, file.stat().st_mtime_ns), reason)


@functools.cache
def _stages(name: str, changed: int) -> list[tuple[str, str]]:
    """Return name and signature of an experiment's stages; none when it does not compose."""
    words = [f"+experiment={name}"]
    try:
        with commandline.explained(words):
            nodes = compose(commandline.compose_here(words)).nodes
    except ConfigError as error:
        _log.warning("experiment %s does not compose, so it keeps nothing: %s", name, error)
        return []
    return [(node.name, node.signature) for node in nodes]


def of_runs(outputs: Path, kept: Kept) -> None:
    """Keep the last result of every single run whose directory is still there."""
    for file in sorted(outputs.rglob(RECORD)):
        finished = [event for event in read(file.parent) if event.get("event") == "stage_finished"]
        stages = [(str(event["name"]), str(event["signature"])) for event in finished]
        kept.add_run(stages, f"run {file.parent.relative_to(outputs)}")


def named(file: Path) -> list[str]:
    """Return the signatures that a text file names; none when it cannot be read."""
    try:
        return _SIGNATURE.findall(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
