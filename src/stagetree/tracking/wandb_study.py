"""A search in W&B: one run that carries the table of its trials and what they come to."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from stagetree.tracking.flat import flat_config, plain
from stagetree.tracking.wandb_run import Identity, stable_id
from stagetree.tracking.wandb_tables import of_study

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stagetree.core.summary import StudySummary

JOB = "study"
"""Job type of such a run."""


def study_identity(summary: StudySummary, options: Any) -> Identity:
    """Return who a study's own run is: in the group of its trials, with the same id each time."""
    return Identity(
        id=stable_id(summary.name, JOB, summary.directory),
        name=summary.name,
        group=options.group or summary.name,
        job_type=JOB,
        notes=summary.command,
        config=flat_config(summary.config),
    )


def tell_study(run: Any, summary: StudySummary, importances: Mapping[str, float]) -> None:
    """Log a study's tables, and put its figures and its best trial into the run's summary.

    Args:
        run: The W&B run.
        summary: The study.
        importances: Share of each hyperparameter.
    """
    run.log(of_study(summary, importances))
    states = Counter(row.state for row in summary.rows)
    found: dict[str, object] = {
        "trials": len(summary.rows),
        **{f"trials_{state}": count for state, count in states.items()},
        "seconds_spent": round(summary.spent, 3),
        "seconds_saved": round(summary.saved, 3),
        "stages_reused": sum(stage.reused for row in summary.rows for stage in row.stages),
        **{f"importance/{name}": share for name, share in importances.items()},
    }
    best = summary.best
    if best is not None:
        found["best/trial"] = best.number
        found |= {f"best/{name}": plain(value) for name, value in best.params.items()}
        found |= {
            f"best/{name}": value for name, value in zip(summary.metrics, best.values, strict=True)
        }
        found["best/command"] = best.command
    run.summary.update(found)


def log_model(run: Any, directory: Path, name: str) -> None:
    """Log a model directory as an artifact with the alias ``best``."""
    import wandb

    allowed = "".join(sign if sign.isalnum() or sign in "._-" else "-" for sign in name)
    artifact = wandb.Artifact(f"{allowed}-model", type="model")
    artifact.add_dir(str(directory))
    run.log_artifact(artifact, aliases=["best"])
