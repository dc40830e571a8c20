"""A comparison for people: tables of differences, small curves, and examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from stagetree.core.numbers import short
from stagetree.report import compare
from stagetree.report.numbers import score
from stagetree.report.tables import UNICODE, marks

if TYPE_CHECKING:
    from rich.console import RenderableType

    from stagetree.report.compare import Side
    from stagetree.report.disagreements import Disagreements

_COSTS = ("latency_ms", "bytes", "parameters", "seconds")
_BARS, _ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*#@"


def comparison(
    sides: Sequence[Side], answers: Sequence[Disagreements | str], notes: Sequence[str] = ()
) -> RenderableType:
    """Return the whole comparison.

    Args:
        sides: What is compared; each is named by a letter.
        answers: How each further side agrees with the first, or why that cannot be said.
        notes: Sentences that come last.
    """
    letters = [chr(ord("A") + index) for index in range(len(sides))]
    parts: list[RenderableType] = [_line(*pair) for pair in zip(letters, sides, strict=True)]
    parts += _settings("setting", compare.config_differences(sides), letters)
    parts += _settings("searched", compare.space_differences(sides), letters)
    parts += _metrics(sides, letters)
    parts += _curves(sides, letters)
    for letter, answer in zip(letters[1:], answers, strict=True):
        parts += _answers(answer, letter)
    parts += [Text(note) for note in notes]
    spaced = [piece for part in parts[len(sides) :] for piece in (Text(""), part)]
    return Group(*parts[: len(sides)], *spaced)


def spark(values: Sequence[float], low: float, high: float, *, unicode: bool = True) -> str:
    """Return a curve in one character a value.

    >>> spark([0.0, 0.5, 1.0], 0.0, 1.0), spark([2.0], 2.0, 2.0, unicode=False)
    ('▁▅█', '@')
    """
    bars = _BARS if unicode else _ASCII_BARS
    if high <= low:
        return bars[-1] * len(values)
    return "".join(bars[round((value - low) / (high - low) * (len(bars) - 1))] for value in values)


def _line(letter: str, side: Side) -> Text:
    values = "  ".join(f"{name} {score(value)}" for name, value in side.values.items())
    parts = [letter, side.name, side.status, values]
    if side.study is not None:
        counts = ", ".join(f"{number} {state}" for state, number in side.study.states.items())
        parts.append(f"(best of {counts})")
    elif side.stages:
        parts.append(" > ".join(stage.name for stage in side.stages))
    return Text("  ".join(part for part in parts if part))


def _table(head: str, letters: Sequence[str], *more: str) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(head)
    for letter in (*letters, *more):
        table.add_column(letter, justify="right")
    return table


def _settings(
    head: str, differences: dict[str, list[object]], letters: Sequence[str]
) -> list[RenderableType]:
    if not differences:
        return [Text("no setting differs")] if head == "setting" else []
    table = _table(head, letters)
    for name, values in differences.items():
        table.add_row(name, *(short(value) for value in values))
    return [table]


def _metrics(sides: Sequence[Side], letters: Sequence[str]) -> list[RenderableType]:
    stages = compare.metrics(sides)
    if not stages:
        return [Text("no stage has finished in all of them")]
    wanted = dict.fromkeys([*(n for side in sides for n in side.values), *compare.USUAL, *_COSTS])
    table = _table("metric", letters, *(f"{letter} - A" for letter in letters[1:]))
    for stage, by_metric in stages.items():
        for name in (name for name in wanted if name in by_metric):
            values = by_metric[name]
            gaps = [_gap(values[0], value) for value in values[1:]]
            table.add_row(f"{stage}.{name}", *(score(value) for value in values), *gaps)
    return [table]


def _gap(first: float | None, other: float | None) -> str:
    if first is None or other is None:
        return ""
    gap = other - first
    return f"+{score(gap)}" if gap > 0 else score(gap) if gap < 0 else "="


def _curves(sides: Sequence[Side], letters: Sequence[str]) -> list[RenderableType]:
    table = _table("curve", letters)
    objectives = list(dict.fromkeys(name for side in sides for name in side.values))
    unicode = marks() is UNICODE
    for stage, by_metric in compare.curves(sides).items():
        name = compare.drawn(by_metric, objectives)
        if name is None:
            continue
        series = [[y for _, y in points if y is not None] for points in by_metric[name]]
        everything = [value for values in series for value in values]
        if len(everything) > len(series):  # more than a point each
            low, high = min(everything), max(everything)
            cells = [_curve(values, low, high, unicode=unicode) for values in series]
            table.add_row(f"{stage}.{name}", *cells)
    return [table] if table.row_count else []


def _curve(values: Sequence[float], low: float, high: float, *, unicode: bool) -> str:
    if not values:
        return compare.ABSENT
    drawn = spark(values[-40:], low, high, unicode=unicode)
    return f"{score(values[0])} {drawn} {score(values[-1])}"


def _answers(answer: Disagreements | str, letter: str) -> list[RenderableType]:
    if isinstance(answer, str):
        return [Text(f"examples  A and {letter}: {answer}")]
    counts = (
        f"examples  {answer.examples}: both right {answer.both_right}, A alone "
        f"{answer.first_only}, {letter} alone {answer.second_only}, both wrong "
        f"{answer.both_wrong}; McNemar p {answer.p:.2g}"
    )
    lines = [counts]
    for item in answer.shown:
        lines += ["", f"  #{item.index}  {item.text}".rstrip(), f"    right  {item.gold}"]
        lines += [f"    A      {item.first}", f"    {letter}      {item.second}"]
    return [Text("\n".join(lines))]
