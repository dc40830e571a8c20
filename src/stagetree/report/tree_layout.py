"""Where the nodes of a stage tree are drawn, and which of them when there are too many."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stagetree.core.numbers import short
from stagetree.report.numbers import duration, score
from stagetree.report.tree import FAILURE, Node

COLUMN = 208
ROW = 31
LEFT = 34
FIRST = 96
TOP = 62
MARGIN = 36
CHARACTER = 6.6
SMALLEST, LARGEST = 4.0, 11.0
CHARACTERS = 32


@dataclass(frozen=True)
class Placed:
    """A node in its place, in pixels.

    Attributes:
        node: The node; of a fold, the node it hangs on.
        x: Across.
        y: Down.
        radius: Its area grows with what the node cost.
        label: What stands beside it: what sets its stage apart.
        result: What came out, where a trial ends.
        title: What a pointer that rests on it shows.
        fold: Whether it stands for what is not drawn.
        leaf: Whether nothing is drawn below it.
    """

    node: Node
    x: float
    y: float
    radius: float = SMALLEST
    label: str = ""
    result: str = ""
    title: str = ""
    fold: bool = False
    leaf: bool = True


@dataclass(frozen=True)
class Edge:
    """A line from a node to one that builds on it."""

    start: Placed
    end: Placed

    @property
    def path(self) -> str:
        """The line, as SVG says it."""
        middle = (self.start.x + self.end.x) / 2
        return (
            f"M{self.start.x:.0f} {self.start.y:.1f}C{middle:.0f} {self.start.y:.1f} "
            f"{middle:.0f} {self.end.y:.1f} {self.end.x:.0f} {self.end.y:.1f}"
        )


@dataclass(frozen=True)
class Column:
    """A depth of the tree: the stage all nodes in it are of, and its varying parameters.

    Attributes:
        x: Where it is.
        name: The stage; empty where different ones meet.
        params: The parameters in the order of the labels; empty where they differ.
    """

    x: float
    name: str
    params: str


@dataclass(frozen=True)
class Drawing:
    """A tree, laid out from left to right.

    Attributes:
        nodes: The nodes drawn.
        edges: The lines between them.
        columns: Headings.
        width: In pixels.
        height: In pixels.
        hidden: How many nodes without children are not drawn.
    """

    nodes: Sequence[Placed]
    edges: Sequence[Edge]
    columns: Sequence[Column]
    width: float
    height: float
    hidden: int


def lay_out(root: Node, sign: float, limit: int | None = None) -> Drawing:
    """Lay a tree out.

    Args:
        root: The tree.
        sign: 1 if more of the objective is better, else -1.
        limit: How many nodes without children are drawn, the best ones; what else there is
            below a node is folded into one. ``None`` draws all.
    """
    leaves = [node for node in root.walk() if not node.children]
    leaves.sort(key=lambda leaf: _rank(leaf, sign))
    kept = leaves if limit is None else leaves[:limit]
    shown = {id(root)}
    for leaf in kept:
        node: Node | None = leaf
        while node is not None and id(node) not in shown:
            shown.add(id(node))
            node = node.parent
    return _Layout(root, shown, sign).draw(len(leaves) - len(kept))


def _rank(leaf: Node, sign: float) -> tuple[int, float, int]:
    """Order leaves by how much one wants to see them: the best, running, pruned, failed."""
    order = ("complete", "running", "infeasible", "pruned", "failed")
    value = math.inf if leaf.best is None else -sign * leaf.best
    place = min((order.index(end) for end in leaf.ends), default=len(order))
    return (place, value, leaf.id)


class _Layout:
    def __init__(self, root: Node, shown: set[int], sign: float) -> None:
        self._root = root
        self._shown = shown
        self._costliest = max((node.seconds for node in root.walk()), default=0.0)
        self._row = 0
        self._sign = sign
        self._placed: list[Placed] = []
        self._edges: list[Edge] = []
        self._columns = _columns(root, shown)

    def draw(self, hidden: int) -> Drawing:
        self._place(self._root, 0)
        end = max(
            placed.x + CHARACTER * len(placed.label + placed.result) for placed in self._placed
        )
        return Drawing(
            nodes=self._placed,
            edges=self._edges,
            columns=list(self._columns.values()),
            width=end + MARGIN,
            height=TOP + self._row * ROW + 8,
            hidden=hidden,
        )

    def _place(self, node: Node, depth: int) -> Placed:
        """Place a node in the middle of what is drawn below it."""
        seen = sorted(filter(self._seen, node.children), key=self._order)
        below = [self._place(child, depth + 1) for child in seen]
        folded = [child for child in node.children if not self._seen(child)]
        if folded:
            below.append(self._fold(node, folded, depth + 1))
        y = (below[0].y + below[-1].y) / 2 if below else self._next()
        leaf = not below
        placed = Placed(
            node=node,
            x=_across(depth),
            y=y,
            radius=self._radius(node),
            label=self._label(node, depth, leaf=leaf),
            result=_result(node) if leaf and node.parent else "",
            title=_title(node),
            leaf=leaf,
        )
        self._placed.append(placed)
        self._edges += [Edge(placed, child) for child in below]
        return placed

    def _order(self, node: Node) -> tuple[float, int]:
        """Put what led to better trials higher."""
        return (math.inf if node.best is None else -self._sign * node.best, node.id)

    def _seen(self, node: Node) -> bool:
        return id(node) in self._shown

    def _next(self) -> float:
        self._row += 1
        return TOP + (self._row - 0.5) * ROW

    def _fold(self, node: Node, folded: Sequence[Node], depth: int) -> Placed:
        ends = Counter(end for child in folded for below in child.walk() for end in _ends(below))
        label = f"+{len(folded)} more: " + ", ".join(
            f"{number} {state}" for state, number in sorted(ends.items())
        )
        place = Placed(
            node, _across(depth), self._next(), label=label, title="not drawn", fold=True
        )
        self._placed.append(place)
        return place

    def _radius(self, node: Node) -> float:
        if self._costliest <= 0 or node.parent is None:
            return SMALLEST
        share = math.sqrt(node.seconds / self._costliest)
        return SMALLEST + (LARGEST - SMALLEST) * share

    def _label(self, node: Node, depth: int, *, leaf: bool) -> str:
        if node.parent is None:
            return ""
        column = self._columns.get(depth, _NOWHERE)
        parts = [] if column.name or node.name == FAILURE else [node.name]
        parts += [
            short(value) if column.params else f"{name}={short(value)}"
            for name, value in node.params.items()
        ]
        parts += [f"seed {node.seed}"] if node.seed else []
        text = " · ".join(parts)
        room = CHARACTERS if leaf else CHARACTERS - 6
        return text if len(text) <= room else text[: room - 1] + "…"


def _across(depth: int) -> float:
    return LEFT + (FIRST + (depth - 1) * COLUMN if depth else 0)


def _ends(node: Node) -> list[str]:
    return [end for end, numbers in node.ends.items() for _ in numbers]


def _result(leaf: Node) -> str:
    numbers = leaf.trials
    more = f" +{len(numbers) - 1}" if len(numbers) > 1 else ""
    state = "" if leaf.mark in ("complete", "") else f" {leaf.mark}"
    value = f" {score(leaf.best)}" if leaf.best is not None else ""
    return f"trial {numbers[0]}{more}{state}{value}"


def _title(node: Node) -> str:
    if node.parent is None:
        return "data and pretrained model: where every trial begins"
    lines = [f"{node.name}" + (f" ({node.kind})" if node.kind not in ("", node.name) else "")]
    lines += [f"{name}={short(value)}" for name, value in node.params.items()]
    lines.append(f"{len(node.trials)} trial" + ("s" if len(node.trials) > 1 else ""))
    if node.seconds:
        lines.append(duration(node.seconds))
    if node.best is not None:
        lines.append(f"best {score(node.best)}")
    return "\n".join(lines)


def _columns(root: Node, shown: set[int]) -> Mapping[int, Column]:
    """Return a heading a depth; without a name where different stages meet."""
    found: dict[int, list[Node]] = {}
    for node in root.walk():
        if id(node) in shown and node.parent is not None and node.name != FAILURE:
            found.setdefault(node.depth, []).append(node)
    return {depth: _column(depth, nodes) for depth, nodes in sorted(found.items())}


def _column(depth: int, nodes: Sequence[Node]) -> Column:
    names = {node.name for node in nodes}
    keys = {tuple(node.params) for node in nodes}
    same = len(names) == 1
    return Column(
        x=_across(depth),
        name=nodes[0].name if same else "",
        params=" · ".join(nodes[0].params) if same and len(keys) == 1 else "",
    )


_NOWHERE = Column(0.0, "", "")
