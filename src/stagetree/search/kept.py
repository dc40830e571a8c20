"""Which stored results the studies refer to: best models, unfinished trials, running searches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from stagetree.core import confirmations
from stagetree.core.errors import StagetreeError
from stagetree.core.kept import Kept
from stagetree.core.liveness import alive
from stagetree.pipeline import references
from stagetree.search import recorded, results
from stagetree.search.places import LEASES
from stagetree.search.stage_pruner import stages_of
from stagetree.search.study import directions_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna import Study

    from stagetree.core.trials import TrialRow

_GRACE = 20.0


def everything(
    studies: Path, outputs: Path, experiments: Path, best: int, *, running: bool = True
) -> Kept:
    """Return all that studies, experiments and single runs refer to.

    Args:
        studies: Directory of the studies.
        outputs: Directory of the single runs.
        experiments: Directory of the experiments.
        best: How many of its best trials each study keeps; a study with several objectives keeps
            its front.
        running: Whether a study that somebody works on keeps all its results; else what its
            unfinished trials have, and its best ones.

    Raises:
        StagetreeError: A study cannot be read.
    """
    kept = Kept()
    for directory in sorted(path for path in studies.glob("*") if path.is_dir()):
        of_study(directory, kept, best, running=running)
    references.of_experiments(experiments, kept)
    references.of_runs(outputs, kept)
    return kept


def of_study(directory: Path, kept: Kept, best: int, *, running: bool) -> None:
    """Keep what the study of a directory refers to; see :func:`everything`.

    Raises:
        StagetreeError: The study is in a database that does not answer.
    """
    name = directory.name
    study = _open(directory)
    if study is None:
        return
    rows = results.rows(study)
    if running and is_running(directory):
        for row in rows:
            kept.add(_signatures(row), f"study {name} is running")
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
        stages = [signature for _, signature in stages_of(trial)]
        kept.add(stages, f"trial {trial.number} of {name} is unfinished")
    reason = f"front of {name}" if len(study.directions) > 1 else f"best of {name}"
    for row in leaders(rows, directions_of(study), best):
        kept.add_run([(stage.name, stage.signature) for stage in row.stages], reason)
    kept.add(references.named(directory / confirmations.FILE), f"confirmed in {name}")


def is_running(directory: Path) -> bool:
    """Return whether anybody works on the study of a directory, as far as can be told."""
    return any(alive(path, _GRACE) for path in (directory / LEASES).glob("*.lock"))


def leaders(rows: Sequence[TrialRow], directions: Sequence[str], count: int) -> list[TrialRow]:
    """Return the best trials within bounds, best first; of several objectives the front."""
    if len(directions) > 1:
        return results.front(rows, directions)
    sign = -1.0 if directions[0] == "maximize" else 1.0
    able = [row for row in rows if row.state == "complete" and row.feasible and row.copy_of is None]
    return sorted(able, key=lambda row: (sign * row.values[0], row.number))[:count]


def _open(directory: Path) -> Study | None:
    """Open the study of a directory; ``None`` when it holds none."""
    if not recorded.is_study(directory):
        return None
    if recorded.storage_url(directory) is None:
        return results.open_study(str(directory), directory.parent)
    try:
        return results.open_study(str(directory), directory.parent)
    except Exception as error:
        raise StagetreeError(
            f"expected to read study {directory.name!r}, whose best models must be kept, from its "
            f"database but: {error}. Start the database, or remove {directory}"
        ) from error


def _signatures(row: TrialRow) -> list[str]:
    return [stage.signature for stage in row.stages]
