"""``stagetree cancel``: stops everybody who works on a study."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stagetree.cli.options import AsJson, Root, StudyName, show
from stagetree.cli.status import opened
from stagetree.cli.studies import Storage

if TYPE_CHECKING:
    from stagetree.search.crew import Member

POLL = 0.3


def cancel(
    study: StudyName,
    wait: Annotated[
        float, typer.Option("--wait", help="Seconds to wait for the workers' end.", min=0)
    ] = 60.0,
    as_json: AsJson = False,
    root: Root = None,
    storage: Storage = None,
) -> None:
    """Stop everybody who works on a study; the same search line goes on with it later.

    Jobs of a scheduler are cancelled, waiting ones too. Local workers are told to end if they
    are processes of this machine; of others it is said where they run. Finished stages and
    checkpoints stay.
    """
    from stagetree.core.errors import StagetreeError
    from stagetree.search.crew import crew

    _, home = opened(study, root, storage)
    found = crew(home)
    if found.trouble:
        raise StagetreeError(f"cannot cancel the jobs of {study}: {found.trouble}")
    living = [member for member in found.members if member.lives]
    stopped = [member for member in living if member.by_slurm or member.here]
    away = [member for member in living if member not in stopped]
    _stop(stopped)
    left = sorted(_left(home, {_key(member) for member in stopped}, wait))
    rows = {
        "study": study,
        "jobs": [member.job for member in stopped if member.by_slurm],
        "processes": [member.pid for member in stopped if not member.by_slurm],
        "elsewhere": [f"{member.host} {member.pid}" for member in away],
        "still_ending": left,
    }
    lines = [
        *(_told("stopped", member) for member in stopped),
        *(_told("on another machine, end it there:", member) for member in away),
    ]
    if left:
        lines.append(f"still ending: {', '.join(left)}")
    lines.append("the same search line goes on from here" if living else "nobody works on it")
    show(rows, as_json, "\n".join(lines))


def _stop(members: Sequence[Member]) -> None:
    from stagetree.core import slurm

    slurm.cancel(member.job for member in members if member.by_slurm)
    for member in members:
        if not member.by_slurm:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGTERM)


def _key(member: Member) -> str:
    return f"job {member.job}" if member.by_slurm else f"process {member.pid}"


def _left(home: Path, stopped: set[str], seconds: float) -> set[str]:
    """Wait until the stopped workers have ended; return those that have not."""
    from stagetree.search.crew import crew

    end = time.monotonic() + seconds
    while True:
        left = {_key(member) for member in crew(home).members if member.lives} & stopped
        if not left or time.monotonic() >= end:
            return left
        time.sleep(POLL)


def _told(what: str, member: Member) -> str:
    where = f" on {member.host}" if member.host else ""
    trial = "" if member.trial is None else f", had trial {member.trial}"
    return f"{what} {_key(member)} ({member.state}{where}{trial})"
