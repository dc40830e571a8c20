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
        directions: Of each objective.
        metrics: Name of each objective.
    """

    directions: tuple[str, ...]
    metrics: tuple[str, ...]

    def trial_finished(self, row: TrialRow, done: int, total: int) -> None:
        """Print the trial's line."""
        from stagetree.report.lines import trial_line

        say(trial_line(row, done, total, self.metrics[0]))

    def study_finished(self, rows: list[TrialRow]) -> None:
        """Do nothing: the sweeper prints the table once, after all workers."""

    def summary(self, rows: list[TrialRow], front: list[TrialRow]) -> None:
        """Print the trials, what went wrong, what sharing saved, and the best trial or trials."""
        from stagetree.report.errors import error_table
        from stagetree.report.lines import best_block, front_block, infeasible_line, savings
        from stagetree.report.tables import render, study_table

        numbers = {row.number for row in front}
        complete = sum(row.state == "complete" for row in rows)
        say(f"\n{render(study_table(rows, self.directions, self.metrics, numbers))}\n")
        if any(row.error for row in rows):
            say(f"{render(error_table(rows))}\n")
        say(savings(rows))
        if len(self.directions) > 1 and front:
            say(front_block(front, complete, self.metrics))
        elif front:
            say(best_block(front[0], self.metrics))
        elif complete:
            say(infeasible_line(rows))


def say(text: str) -> None:
    """Print a line to standard output at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """Print a line to standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
