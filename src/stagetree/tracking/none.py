"""No tracker: the local record is all there is."""

from __future__ import annotations

from dataclasses import dataclass

from stagetree.tracking.base import TRACKERS, Tracker, TrackerConfig


@dataclass
class NoTrackerConfig(TrackerConfig):
    """There is nothing to choose."""

    kind: str = "none"


@TRACKERS.register("none")
class NoTracker(Tracker):
    """Mirrors nothing."""

    kind = "none"
    Config = NoTrackerConfig
