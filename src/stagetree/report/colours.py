"""Colours that people with any kind of sight can tell apart, on paper too."""

from __future__ import annotations

from collections.abc import Sequence

VIRIDIS = ("440154", "482878", "3e4a89", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b")
"""Stops of viridis, evenly spaced, from worst to best; the glaring yellow end is left out."""

UNKNOWN = "#9aa0a6"
"""Of what has no score."""


def shade(share: float) -> str:
    """Return the colour of a share from 0 to 1.

    >>> shade(0.0), shade(1.0), shade(0.0625)
    ('#440154', '#b5de2b', '#461466')
    """
    place = min(max(share, 0.0), 1.0) * (len(VIRIDIS) - 1)
    low = min(int(place), len(VIRIDIS) - 2)
    pairs = zip(_rgb(VIRIDIS[low]), _rgb(VIRIDIS[low + 1]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * (place - low)):02x}" for a, b in pairs)


class Scale:
    """Colours values from worst to best.

    The worst tenth shares one colour, so that single failures do not make all others look alike.

    Args:
        values: All values.
        sign: 1 if more is better, else -1.
    """

    def __init__(self, values: Sequence[float], sign: float) -> None:
        ordered = sorted(values, key=lambda value: sign * value)
        self.low = ordered[len(ordered) // 10] if ordered else 0.0
        self.high = ordered[-1] if ordered else 0.0
        self.clipped = bool(ordered) and ordered[0] != self.low

    def share(self, value: float) -> float:
        """Return where a value lies, from 0 (worst) to 1 (best)."""
        if self.high == self.low:
            return 1.0
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def colour(self, value: float | None) -> str:
        """Return a value's colour."""
        return UNKNOWN if value is None else shade(self.share(value))


def _rgb(text: str) -> list[int]:
    return [int(text[at : at + 2], 16) for at in (0, 2, 4)]
