"""Which of the points known beforehand goes next, so that nobody waits for a stage or redoes it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from stagetree.search.steps import Step, Steps

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence, Set

    from optuna.trial import FrozenTrial

    from stagetree.search.dependence import Dependence


class Order(Enum):
    """In which order points known beforehand are taken.

    Attributes:
        line: As the command line lists them, or as they are drawn.
        tree: Branch by branch of the stage tree.
        ahead: Likewise, but the last branches are begun before the others are done.
    """

    line = "line"
    tree = "tree"
    ahead = "ahead"


class TreeOrder:
    """Orders points by the stage tree, from what the trials of a study have and do.

    Each worker stays on a branch, and a new one begins another. A point is the better

    1. if none of the stages that it lacks is being computed by a running trial,
    2. the more of its first stages are paid for,
    3. the less of its branch it shares with running trials,
    4. the earlier it comes.

    Where fewer branches are left to begin than workers could begin at once, one is begun first:
    the others have points on other branches then while it is, and do not wait for it at the end.

    Stages of other studies are not looked at: they change how much is saved, not who waits.

    Args:
        dependence: Which parameters each stage depends on.
        ahead: Whether a branch may be begun while there are points left on others, so that
            results of one more have to be kept.
    """

    def __init__(self, dependence: Dependence, *, ahead: bool = True) -> None:
        self._ahead = ahead
        self._steps = Steps(dependence)

    def best(
        self, points: Sequence[Mapping[str, Any]], trials: Sequence[FrozenTrial]
    ) -> Mapping[str, Any]:
        """Return which of some points goes next.

        Args:
            points: The points, at least one, in their own order.
            trials: The trials of the study beside the one that it is for.
        """
        paid: set[Step] = set()
        running: list[tuple[Step, ...]] = []
        for trial in trials:
            if trial.state.is_finished():
                paid |= self._steps.paid_by(trial)
            elif trial.state == TrialState.RUNNING:
                running.append(self._steps.path(trial.params))
                paid |= self._steps.passed(trial)
        seen = _Seen(paid, {step for path in running for step in path} - paid, tuple(running))
        paths = [self._steps.path(point) for point in points]
        last = seen.last_heads(paths) if self._ahead else frozenset[Step]()
        return min(
            zip(points, paths, strict=True),
            key=lambda pair: (seen.head(pair[1]) not in last, *seen.rank(pair[1])),
        )[0]


def chosen(
    points: Iterable[Mapping[str, Any]], trials: Sequence[FrozenTrial], order: TreeOrder | None
) -> Mapping[str, Any] | None:
    """Return which of some points goes next; ``None`` when there are none.

    Args:
        points: The points, in their own order.
        trials: The trials of the study beside the one that it is for.
        order: Chooses; without, the first one goes next.
    """
    if order is None:
        return next(iter(points), None)
    listed = list(points)
    return order.best(listed, trials) if listed else None


@dataclass(frozen=True)
class _Seen:
    """What the trials of a study say.

    Attributes:
        paid: Stages that are finished.
        busy: Stages that are being computed, or will be by a running trial.
        running: The paths of running trials.
    """

    paid: Collection[Step]
    busy: Set[Step]
    running: tuple[tuple[Step, ...], ...]

    def ready(self, path: tuple[Step, ...]) -> int:
        """Return how many first stages of a point are paid for."""
        return next((place for place, one in enumerate(path) if one not in self.paid), len(path))

    def head(self, path: tuple[Step, ...]) -> Step | None:
        """Return the first stage that a point lacks; ``None`` where it would have to wait."""
        ready = self.ready(path)
        return path[ready] if ready < len(path) and self.busy.isdisjoint(path) else None

    def last_heads(self, paths: Iterable[tuple[Step, ...]]) -> frozenset[Step]:
        """Return the stages left to begin that several points share, if others will want one.

        Those that come first in their pipelines are looked at first: they hold up most.
        """
        heads = Counter(
            (self.ready(path), head) for path in paths if (head := self.head(path)) is not None
        )
        by_place: dict[int, set[Step]] = {}
        for (place, head), count in heads.items():
            if count > 1:
                by_place.setdefault(place, set()).add(head)
        for _, found in sorted(by_place.items()):
            if len(found) <= len(self.running):
                return frozenset(found)
        return frozenset()

    def rank(self, path: tuple[Step, ...]) -> tuple[bool, int, int]:
        """Return how well a point goes with what runs, least is best."""
        common = max((_common(path, other) for other in self.running), default=0)
        return not self.busy.isdisjoint(path), -self.ready(path), common


def _common(path: tuple[Step, ...], other: tuple[Step, ...]) -> int:
    """Return how many first stages two points share."""
    pairs = zip(path, other, strict=True)
    return next((place for place, (one, two) in enumerate(pairs) if one != two), len(path))
