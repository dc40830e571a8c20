"""How much a search may spend, and whether another trial fits."""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from omegaconf import OmegaConf
from optuna.trial import TrialState

from stagetree.search.notes import COPY_OF, counts, is_imported, notes_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from omegaconf import DictConfig
    from optuna.trial import FrozenTrial

SHARE = 0.75
"""Share of the finished trials that were no longer than what is expected of the next."""


@dataclass(frozen=True)
class Budget:
    """Limits of a search beside its number of trials.

    A trial is started only if it is expected to fit in what is left; one that runs is never cut
    short. Where nothing is known of its stages, three quarters of the finished trials must have.

    Attributes:
        timeout: Seconds of wall time from ``start``; ``None`` is no limit.
        device_hours: Hours of devices for all trials of the study together, over all workers
            and restarts; a worker without accelerator counts as one device. ``None`` is no limit.
        reserved: Devices that each trial keeps busy; ``None``: all that its worker sees.
        start: Monotonic time at which ``timeout`` begins.
    """

    timeout: float | None = None
    device_hours: float | None = None
    reserved: int | None = None
    start: float = field(default_factory=time.monotonic)

    @property
    def devices(self) -> int:
        """How many devices a trial in this process keeps busy; a CPU counts as one."""
        torch = sys.modules.get("torch")
        seen = max(1, torch.cuda.device_count()) if torch is not None else 1
        return self.reserved or seen

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return self.timeout is not None or self.device_hours is not None

    def begun(self, place: Path) -> Budget:
        """Return the budget with the timeout running since this was first called for ``place``.

        All workers of a line ask at one place: those that start late, or again after they were
        lost or queued anew, have what the first one has left.
        """
        if self.timeout is None:
            return self
        return replace(self, start=time.monotonic() - _since(place))

    def refuses(self, trials: Sequence[FrozenTrial], needed: float | None = None) -> str:
        """Return why no further trial may start, or an empty string when one may.

        Args:
            trials: The trials of the study.
            needed: Seconds that it is expected to take; ``None``: what three quarters of the
                finished ones took at most.
        """
        if not self.limited:
            return ""
        typical = _typical(trials)
        needed = typical if needed is None else needed
        spent = time.monotonic() - self.start
        if self.timeout is not None and spent + needed >= self.timeout:
            return (
                f"{max(0.0, self.timeout - spent):.0f} s of the timeout of {self.timeout:g} s are "
                f"left and a trial takes about {needed:.0f} s"
            )
        if self.device_hours is None:
            return ""
        used = sum(_device_seconds(trial, typical) for trial in trials if counts(trial)) / 3600
        if used + needed * self.devices / 3600 > self.device_hours or used >= self.device_hours:
            return f"{used:.3g} of {self.device_hours:g} device hours are used or under way"
        return ""


def _since(place: Path) -> float:
    """Return the seconds since any process first asked here; by the clocks of their machines."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("x", encoding="ascii") as file:
            file.write(repr(time.time()))
    except FileExistsError:
        text = place.read_text(encoding="ascii")
        return max(0.0, time.time() - float(text)) if text else 0.0  # empty: made this moment
    return 0.0


def reserved(config: DictConfig) -> int | None:
    """Return how many devices a configuration says that a trial keeps busy, if it does.

    A trial of several processes without GPUs counts one for each process.

    >>> from omegaconf import OmegaConf
    >>> reserved(OmegaConf.create({"resources": {"processes_per_trial": 2}}))
    2
    """
    names = ("gpus_per_trial", "processes_per_trial")
    counts = [OmegaConf.select(config, f"resources.{name}") for name in names]
    return max((int(count) for count in counts if count), default=None)


def evicts(config: DictConfig) -> bool:
    """Return whether a configuration limits the disk, so that stored results may have to go.

    >>> from omegaconf import OmegaConf
    >>> evicts(OmegaConf.create({"store": {"budget_gb": 2}})), evicts(OmegaConf.create({}))
    (True, False)
    """
    return OmegaConf.select(config, "store.budget_gb") is not None


def _typical(trials: Sequence[FrozenTrial]) -> float:
    seconds = sorted(
        float(notes_of(trial).get("seconds", 0.0))
        for trial in trials
        if trial.state == TrialState.COMPLETE and COPY_OF not in notes_of(trial)
    )
    if len(seconds) < 2:
        return seconds[0] if seconds else 0.0
    return statistics.quantiles(seconds, n=4, method="inclusive")[round(SHARE * 4) - 1]


def _device_seconds(trial: FrozenTrial, expected: float) -> float:
    """Return what a trial has used; one that runs is expected to take what others took."""
    if is_imported(trial):
        return 0.0
    notes = notes_of(trial)
    seconds = float(notes.get("seconds", 0.0))
    if trial.state == TrialState.RUNNING:
        seconds = max(seconds, expected)
    return seconds * float(notes.get("devices", 1))
