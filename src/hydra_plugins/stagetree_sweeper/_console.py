"""What a search says on the terminal."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stagetree.core.trials import TrialRow


@dataclass(frozen=True)
class Console:
    """Prints a line a trial and the table at the end; it travels to the workers.

    Attributes:
        direction: Of the first objective.
        metrics: Name of each objective.
    """

    direction: str
    metrics: tuple[str, ...]

    def trial_finished(self, row: TrialRow, done: int, total: int) -> None:
        """Print the trial's line."""
        from stagetree.report.lines import trial_line

        say(trial_line(row, done, total, self.metrics[0]))

    def study_finished(self, rows: list[TrialRow]) -> None:
        """Do nothing: the sweeper prints the table once, after all workers."""

    def summary(self, rows: list[TrialRow], best: TrialRow | None) -> None:
        """Print the table of trials, what sharing saved, and the best trial."""
        from stagetree.report.lines import best_block, savings
        from stagetree.report.tables import render, study_table

        say("")
        say(render(study_table(rows, self.direction, self.metrics)))
        say("")
        say(savings(rows))
        if best is not None:
            say(best_block(best, self.metrics))


def say(text: str) -> None:
    """Print a line to standard output at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """Print a line to standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
