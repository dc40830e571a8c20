"""What a tracker is, which trackers there are, and how a run gets its own."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from omegaconf import MISSING

from stagetree.core.errors import Fault
from stagetree.core.registry import Registry
from stagetree.core.reporting import Reporter
from stagetree.tracking.record import LocalRecord

if TYPE_CHECKING:
    from pathlib import Path

    from stagetree.core.summary import StudySummary


@dataclass
class TrackerConfig:
    """Options every tracker understands.

    Attributes:
        kind: Registered name of the tracker.
    """

    kind: str = MISSING


class Tracker(Reporter, ABC):
    """Mirrors runs to a service. Importing a tracker's module does not import the service.

    A tracker never changes a result: whatever goes wrong in it is one warning.

    Attributes:
        kind: Registered name.
        Config: Dataclass of the tracker's options.
    """

    kind: ClassVar[str]
    Config: ClassVar[type[TrackerConfig]]

    def __init__(self, config: Any, root: Path) -> None:
        """Remember the options.

        Args:
            config: An instance of ``Config``, or a mapping-like object with its fields.
            root: Directory under which everything of the project is stored.
        """
        self.config = config
        self.root = root

    @classmethod
    def check(cls, config: Any) -> list[Fault]:
        """Return what is wrong with the options, a missing library included.

        It is asked before anything heavy and imports nothing heavy itself.

        Args:
            config: An instance of ``Config``.
        """
        return []

    def study_finished(self, summary: StudySummary) -> None:
        """Be told once that a search is over, by an instance that hears of nothing else.

        The same line again tells it again, with all trials that there are by then.
        """


TRACKERS: Registry[type[Tracker]] = Registry("tracker.kind", "stagetree.tracking")
"""Every tracker, by kind; a new one is a new module in ``stagetree.tracking``."""


def trackers(config: Any, root: Path) -> list[Reporter]:
    """Return the reporters that keep a run: the local record first, then the chosen mirror.

    Each call gives fresh ones; they serve one run.

    Args:
        config: The composed tracker options; ``kind`` chooses the tracker.
        root: Directory under which everything of the project is stored.

    Raises:
        ConfigError: No tracker is registered under ``config.kind``.
    """
    return [LocalRecord(), TRACKERS[config.kind](config, root)]
