"""Comparisons in plain words: which configuration to ship, and how sure that is."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from stagetree.report.numbers import score
from stagetree.report.statistics import Comparison, Estimate


class Wording:
    """How differences of a metric are said.

    Args:
        metric: Its name.
        maximize: Whether more of it is better.
        points: Whether it is a share, told in points of a hundred.
    """

    def __init__(self, metric: str, *, maximize: bool, points: bool) -> None:
        self._unit = f"{metric} points" if points else metric
        self._points = points
        self.maximize = maximize

    def amounts(self, *values: float) -> list[str]:
        """Return differences without their unit, with as many digits as the first one needs."""
        if not self._points:
            return [score(value) for value in values]
        digits = 1 if abs(values[0]) * 100 >= 1 else 2
        return [f"{value * 100:.{digits}f}" for value in values]

    def line(self, one: Comparison) -> str:
        """Return one comparison as a sentence, from the point of view of the better one."""
        found = one.difference
        ahead = (found.mean >= 0) == self.maximize
        better, worse = (one.first, one.second) if ahead else (one.second, one.first)
        ends = (found.low, found.high) if found.mean >= 0 else (-found.high, -found.low)
        mean, low, high = self.amounts(abs(found.mean), *ends)
        by = f"{mean} {self._unit} [{low}, {high}], {p_text(one.p)}"
        if one.winner is not None:
            return f"{_the(better)} beats {_the(worse)} by {by}"
        return f"{_the(better)} and {_the(worse)} cannot be told apart: {by}"


def p_text(p: float) -> str:
    """Return a p as people write it.

    >>> p_text(0.0123), p_text(0.4), p_text(1e-9)
    ('p = 0.012', 'p = 0.40', 'p < 0.001')
    """
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def choice(
    estimates: Mapping[str, Estimate],
    comparisons: Sequence[Comparison],
    baseline: str,
    *,
    maximize: bool,
) -> tuple[str | None, str]:
    """Return which candidate to ship, if one can be named, and a sentence that says why.

    It is the best of those that beat the baseline; without any the baseline itself.

    Args:
        estimates: Means by candidate.
        comparisons: All pairs of them.
        baseline: What is to be beaten; it may be missing from the estimates.
        maximize: Whether more is better.
    """
    sign = 1.0 if maximize else -1.0
    ranked = sorted(estimates, key=lambda name: -sign * estimates[name].mean)
    beaten = {(one.winner, _other(one)) for one in comparisons if one.winner}
    if baseline not in estimates:
        return _without_baseline(ranked, beaten, baseline)
    winners = [name for name in ranked if (name, baseline) in beaten]
    if not winners:
        return baseline, f"Keep {_the(baseline)}: no candidate beats it."
    best = winners[0]
    others = [name for name in ranked if name not in (best, baseline)]
    rivals = [name for name in others if (best, name) not in beaten]
    said = f"Ship {_the(best)}: it beats {_the(baseline)}"
    if rivals:
        said += f". It cannot be told apart from {_listed(rivals)}; what costs less may decide"
    elif others:
        said += " and every other candidate"
    return best, f"{said}."


def _without_baseline(
    ranked: Sequence[str], beaten: Container[tuple[str, str]], baseline: str
) -> tuple[str | None, str]:
    best, others = ranked[0], ranked[1:]
    if others and all((best, other) in beaten for other in others):
        return best, f"Ship {_the(best)}: it beats every other candidate ({_the(baseline)} failed)."
    return None, f"No choice: {_the(baseline)} failed, and {_listed(ranked)} cannot be told apart."


def _other(one: Comparison) -> str:
    return one.second if one.winner == one.first else one.first


def _the(name: str) -> str:
    return f"the {name}" if name == "default" else name


def _listed(names: Sequence[str]) -> str:
    said = [_the(name) for name in names]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"
