"""The tree of stages that a study's trials make: each result once, below what it builds on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stagetree.core.trials import TrialRow
from stagetree.pipeline import seeds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stagetree.core.curves import StageCurve
    from stagetree.core.trials import StageRow

FAILURE = "failed"
"""What a failed trial is said to have come to when it is not known which stage failed."""

_LEFT_OUT = frozenset({"waiting", "rejected"})


@dataclass
class Node:
    """A stage's result, or a stage that was cut, failed or is running.

    Attributes:
        id: Its number in the tree, parents before children; 0 is the root, the data.
        name: The stage's name, without a seed.
        kind: Its kind, where known.
        signature: Signature of its result, where known.
        seed: The seed it ran with, where trials have several.
        parent: The node it builds on.
        children: What builds on it.
        trials: Numbers of the trials that pass through it or end in it.
        ends: The trials that end in it, by outcome.
        seconds: What computing it took; 0 where it has not ended.
        computed: Whether a trial of this study computed it.
        metrics: Its metrics.
        points: Its learning curve: share of the stage done, and objective.
        best: The best objective of the trials that pass through it.
        params: The hyperparameters of its own stage.
    """

    id: int
    name: str
    kind: str = ""
    signature: str = ""
    seed: str = ""
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    trials: list[int] = field(default_factory=list)
    ends: dict[str, list[int]] = field(default_factory=dict)
    seconds: float = 0.0
    computed: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    points: Sequence[tuple[float, float]] = ()
    best: float | None = None
    params: Mapping[str, object] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """How many stages it takes to get there; 0 for the root."""
        return 0 if self.parent is None else self.parent.depth + 1

    @property
    def mark(self) -> str:
        """How the trials that end in it ended, the least finished outcome first; or empty."""
        order = ("running", "failed", "pruned", "infeasible", "complete")
        return next((state for state in order if state in self.ends), "")

    def walk(self) -> Iterator[Node]:
        """Yield the node and all below it, parents first."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.children)


def outcome(row: TrialRow) -> str:
    """Return how a trial ended: its state, or ``infeasible``."""
    return row.state if row.feasible or row.state != "complete" else "infeasible"


def grow(rows: Sequence[TrialRow], curves: Mapping[int, Sequence[StageCurve]], sign: float) -> Node:
    """Return the root of the tree that trials make; a trial that never began is not in it.

    With several seeds a trial is one path a seed.

    Args:
        rows: The trials.
        curves: What each reported in its stages, by its number.
        sign: 1 if more of the first objective is better, else -1.
    """
    tree = _Tree(sign)
    for row in rows:
        if row.state not in _LEFT_OUT:
            told = row.number if row.copy_of is None else row.copy_of
            tree.add(row, curves.get(told, ()))
    return tree.root


class _Tree:
    def __init__(self, sign: float) -> None:
        self.root = Node(0, "data")
        self._sign = sign
        self._known: dict[tuple[int, str], Node] = {}
        self._size = 1

    def add(self, row: TrialRow, curves: Sequence[StageCurve]) -> None:
        self._pass(self.root, row)
        names = [*[stage.name for stage in row.stages], *[one.stage for one in curves]]
        tried = list(dict.fromkeys(_seed(name) for name in names))
        for seed in tried:
            self._path(row, curves, seed, last=seed == tried[-1])
        if not names:
            self._end(self.root, row)

    def _path(self, row: TrialRow, curves: Sequence[StageCurve], seed: str, *, last: bool) -> None:
        told = {one.stage: one for one in curves if _seed(one.stage) == seed}
        node, finished = self.root, set()
        for stage in row.stages:
            if _seed(stage.name) == seed:
                node = self._child(node, row, stage.name, stage.signature)
                finished.add(stage.name)
                _fill(node, stage)
                if stage.name in told:
                    node.points = told[stage.name].points
        begun = [curve for curve in told.values() if curve.stage not in finished]
        for curve in begun:
            node = self._child(node, row, curve.stage, curve.signature or f"{row.number}")
            if len(curve.points) > len(node.points):
                node.points = curve.points
        if last:
            self._end(node, row, begun=bool(begun))
        else:  # a trial ends with its last seed; the ones before it are done
            node.ends.setdefault("complete", []).append(row.number)

    def _end(self, node: Node, row: TrialRow, *, begun: bool = False) -> None:
        end = outcome(row)
        if end == "failed" and not begun:  # it failed in a stage that reported nothing
            node = self._child(node, row, FAILURE, f"{row.number}")
        node.ends.setdefault(end, []).append(row.number)

    def _child(self, parent: Node, row: TrialRow, name: str, signature: str) -> Node:
        key = (parent.id, f"{name}:{signature}")
        node = self._known.get(key)
        if node is None:
            plain = seeds.plain(name)
            own = f"{plain}."
            params = {
                key.removeprefix(own): value
                for key, value in row.params.items()
                if key.startswith(own)
            }
            node = Node(self._size, plain, signature=signature, parent=parent, params=params)
            node.seed = _seed(name)
            self._known[key] = node
            self._size += 1
            parent.children.append(node)
        self._pass(node, row)
        return node

    def _pass(self, node: Node, row: TrialRow) -> None:
        if row.number not in node.trials[-1:]:
            node.trials.append(row.number)
        if row.state in ("complete", "pruned") and row.values and row.feasible:
            value = row.values[0]
            if node.best is None or self._sign * value > self._sign * node.best:
                node.best = value


def _seed(name: str) -> str:
    return name[len(seeds.plain(name)) + 1 :]


def _fill(node: Node, stage: StageRow) -> None:
    node.kind, node.metrics = stage.kind, stage.metrics
    node.seconds = stage.seconds
    node.computed = node.computed or not stage.reused
