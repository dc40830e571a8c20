"""What was handed to a cluster's scheduler for a study, kept in the study's directory."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stagetree.core import atomic

FOLDER = "workers"
"""Where a study keeps what belongs to its workers: scripts, logs, frozen code."""


@dataclass(frozen=True)
class Submission:
    """Workers that were submitted together.

    Attributes:
        scheduler: ``slurm``.
        jobs: The scheduler's id of each worker.
        script: The script that was submitted.
        logs: Where the workers' output goes, as a pattern.
        code: Directory of the frozen code.
        host: Where it was submitted.
        total: How many trials the study shall have; ``None`` when that is not known.
        time: When, in seconds since 1970.
    """

    scheduler: str
    jobs: tuple[str, ...]
    script: str
    logs: str
    code: str
    host: str
    total: int | None = None
    time: float = field(default_factory=time.time)


def write(folder: Path, submission: Submission) -> Path:
    """Keep a submission in a folder, as ``FIRST_JOB.json``."""
    file = folder / f"{submission.jobs[0].partition('_')[0]}.json"
    atomic.write_json(file, asdict(submission))
    return file


def read(study: Path) -> list[Submission]:
    """Return what was submitted for the study of a directory, the earliest first."""
    found = []
    for file in (study / FOLDER / "slurm").glob("*.json"):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            fields = json.loads(file.read_text("utf-8"))
            found.append(Submission(**{**fields, "jobs": tuple(fields["jobs"])}))
    return sorted(found, key=lambda submission: submission.time)
