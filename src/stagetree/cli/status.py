"""``stagetree status``: who works on a study, and how far it is."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from stagetree.cli.options import AsJson, Root, StudyName, directory, show, study_home
from stagetree.cli.studies import Storage

if TYPE_CHECKING:
    from optuna import Study

    from stagetree.search.crew import Crew


def status(
    study: StudyName, as_json: AsJson = False, root: Root = None, storage: Storage = None
) -> None:
    """Show who works on a study: workers, their jobs and trials, what waits, what is done.

    It works from any machine that sees the study's directory. Of workers that a scheduler
    started, the scheduler says where they are; of all, their leases say what they do. A trial
    whose worker is gone is *interrupted*: the next worker continues it.
    """
    from stagetree.search.crew import crew

    found, home = opened(study, root, storage)
    workers = crew(home)
    counts = _counts(found, workers)
    rows = {
        "study": found.study_name,
        "directory": str(home),
        "total": workers.total,
        "trials": counts,
        "workers": [asdict(member) for member in workers.members],
        "trouble": workers.trouble,
    }
    from stagetree.report.tables import render

    show(rows, as_json, "\n".join([*_lines(rows), "", render(_table(workers))]))


def opened(study: str, root: Path | None, storage: str | None) -> tuple[Study, Path]:
    """Open a study and return it with its directory.

    Raises:
        ConfigError: There is no such study.
    """
    from stagetree.search import results

    found = results.open_study(study, directory(root) / "studies", storage)
    return found, study_home(study, root).resolve()


def _counts(study: Study, workers: Crew) -> dict[str, int]:
    """Return how many trials are in each state; a running one without a worker is interrupted."""
    from stagetree.search import results

    rows = results.rows(study)
    counts = Counter(row.state for row in rows)
    held = {member.trial for member in workers.members if member.lives}
    lost = sum(row.state == "running" and row.number not in held for row in rows)
    if lost:
        counts["running"] -= lost
        counts["interrupted"] = lost
    return {state: number for state, number in counts.items() if number}


def _lines(rows: dict[str, Any]) -> list[str]:
    counts, total = rows["trials"], rows["total"]
    ended = sum(counts.get(state, 0) for state in ("complete", "pruned", "failed"))
    of = "" if total is None else f" of {total}"
    states = ", ".join(f"{number} {state}" for state, number in counts.items())
    lines = [
        f"study    {rows['study']}: {ended}{of} trials done",
        f"trials   {states or 'none yet'}",
        f"place    {rows['directory']}",
    ]
    if rows["trouble"]:
        lines.append(f"note     the scheduler's queue is not known: {rows['trouble']}")
    return lines


def _table(workers: Crew) -> Table:
    from stagetree.report.numbers import duration

    table = Table("job", "state", "node", "process", "for", "trial", "waits for")
    for member in workers.members:
        since = "" if member.since is None else duration(max(0.0, time.time() - member.since))
        trial = "" if member.trial is None else str(member.trial)
        table.add_row(
            member.job or "local", member.state, member.host, str(member.pid or ""), since, trial,
            member.reason,
        )  # fmt: skip
    if not workers.members:
        table.add_row("none", "", "", "", "", "", "")
    return table
