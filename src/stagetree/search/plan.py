"""All that a worker must know of a search; it travels to other processes and machines."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from stagetree.core.lease import Lease
from stagetree.search.patient_storage import OPENING
from stagetree.search.places import LEASES, Places
from stagetree.search.samplers import Samplers
from stagetree.search.study import load, seed_of
from stagetree.search.tree_order import Order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from optuna import Study
    from optuna.trial import FrozenTrial

    from stagetree.core.trials import TrialRow
    from stagetree.search.budget import Budget
    from stagetree.search.constraints import Bounds
    from stagetree.search.dependence import Dependence
    from stagetree.search.expected import Expected
    from stagetree.search.space import Space


@dataclass(frozen=True)
class SearchPlan:
    """A search, ready to be worked on.

    Attributes:
        name: Name of the study.
        directory: Its directory, absolute and seen by every worker.
        storage: Database URL, or ``None`` for the journal in the directory.
        storage_patience: Seconds for which a worker waits for the storage's server.
        space: The search space.
        fixed: Overrides that every trial shares.
        metrics: The objectives among reported metrics; empty: the only reported one.
        constraints: Bounds on metrics.
        sampler: The sampler's configuration.
        pruner: The pruner's configuration.
        total: How many trials the study shall have.
        max_attempts: How often a crashing trial is run before it counts as failed.
        max_failures: Share of ``total`` that may fail before the study stops.
        budget: Limits of time, beside the number of trials.
        first: Points to run before the sampler is asked.
        forgiven: Numbers of trials that crashed in an earlier run of the line and whose grid
            points are run again.
        copies: Whether a point that was run before takes over the earlier outcome.
        wait: Whether a worker waits for other workers' trials when no place is left.
        heartbeat: Seconds between a worker's signs of life.
        grace: Seconds of silence after which a worker elsewhere counts as gone.
        command: Beginning of a command line that runs one trial again.
        dependence: Which parameters each stage depends on, where the sampler wants to know.
        order: In which order points known beforehand are taken.
        line: Tells what one command line started from what others did.
    """

    name: str
    directory: Path
    storage: str | None
    storage_patience: float
    space: Space
    fixed: tuple[str, ...]
    metrics: tuple[str, ...]
    constraints: Bounds
    sampler: Mapping[str, Any]
    pruner: Mapping[str, Any] | None
    total: int
    max_attempts: int
    max_failures: float
    budget: Budget
    first: tuple[Mapping[str, Any], ...]
    forgiven: frozenset[int]
    copies: bool
    wait: bool
    heartbeat: float
    grace: float
    command: str
    dependence: Dependence | None = None
    order: Order = Order.line
    line: str = field(default_factory=lambda: secrets.token_hex(8))

    def load(self, opening: float = OPENING) -> Study:
        """Open the study; its storage is waited for as the plan says.

        Args:
            opening: Seconds to wait for a server that does not answer yet.

        Raises:
            KeyError: There is no such study.
            StorageAwayError: Its storage does not answer.
        """
        patience = self.storage_patience
        return load(self.directory, self.name, self.storage, opening=opening, patience=patience)

    def expected(self) -> Expected | None:
        """Return what tells a trial's time beforehand, if there is a limit to keep to."""
        if self.dependence is None or not self.budget.limited:
            return None
        from stagetree.search.expected import Expected

        return Expected(self.dependence)

    def places(
        self,
        study: Study,
        fits: Callable[[Mapping[str, Any], Sequence[FrozenTrial]], bool] = lambda *_: True,
    ) -> Places:
        """Return the places of the study.

        Args:
            study: The study.
            fits: Says of a new trial's parameters, and the trials there are, whether to start it.
        """
        return Places(
            study,
            self.directory,
            self.total,
            self.space,
            Samplers(
                self.sampler,
                self.space,
                seed_of(study),
                self.forgiven,
                self.dependence,
                self.total,
                self.order,
            ),
            first=self.first,
            forgiven=self.forgiven,
            copies=self.copies,
            fits=fits,
            heartbeat=self.heartbeat,
            grace=self.grace,
        )

    def budget_left(self) -> Budget:
        """Return the budget, its timeout running since the line's first worker began."""
        return self.budget.begun(self.directory / LEASES / f"line-{self.line}.begun")

    def presence(self) -> Lease:
        """Return a lease that says, between two trials too, that somebody works on the study."""
        path = self.directory / LEASES / f"worker-{secrets.token_hex(8)}.lock"
        return Lease(path, heartbeat=self.heartbeat, grace=self.grace)

    def too_many(self, failures: int) -> bool:
        """Return whether more trials failed than the whole study may have."""
        return failures > self.max_failures * self.total


class StudyListener(Protocol):
    """Hears of finished trials, to print or to show them."""

    def trial_finished(self, row: TrialRow, done: int, total: int) -> None:
        """Be told of a trial that was just told to the study; ``done`` counts all ended ones."""

    def study_finished(self, rows: list[TrialRow]) -> None:
        """Be told once that a worker has nothing left to do."""
