"""When a parameter exists: a temperature only where something is distilled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Condition:
    """For which values of other parameters one exists.

    Attributes:
        parents: Displayed names of the others; they are discrete.
        points: Every combination of their values for which it does.
    """

    parents: tuple[str, ...]
    points: tuple[tuple[Any, ...], ...]

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Return whether the parameter exists at a point; it needs all its parents there."""
        if any(parent not in params for parent in self.parents):
            return False
        values = [params[parent] for parent in self.parents]
        return any(all(map(alike, values, point)) for point in self.points)

    def plain(self) -> dict[str, Any]:
        """Return the condition as JSON data."""
        return {"parents": list(self.parents), "points": [list(point) for point in self.points]}

    def __str__(self) -> str:
        """Return the condition as a person would write it.

        >>> print(Condition(("stage",), (("distill",), ("quantize",))))
        stage=distill,quantize
        >>> print(Condition(("stage", "model"), (("distill", "tiny"),)))
        (stage, model)=(distill, tiny)
        """
        if len(self.parents) == 1:
            return f"{self.parents[0]}={','.join(str(value) for (value,) in self.points)}"
        points = ",".join(f"({', '.join(map(str, point))})" for point in self.points)
        return f"({', '.join(self.parents)})={points}"


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal and of one type: ``1`` is not ``True``, NaN is NaN."""
    return type(one) is type(other) and (one == other or repr(one) == repr(other) == "nan")


def alike(one: Any, other: Any) -> bool:
    """Return whether two values are the same, or real numbers that differ by rounding only."""
    if isinstance(one, float) and isinstance(other, float) and math.isclose(one, other):
        return True
    return same(one, other)
