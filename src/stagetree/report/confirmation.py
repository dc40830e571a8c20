"""A confirmation as people read it: who scored what, who beats whom, and the test split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from stagetree.report.choice import p_text
from stagetree.report.numbers import score
from stagetree.report.statistics import Comparison, Estimate
from stagetree.report.tables import assignments, marks, render


def estimate_json(found: Estimate) -> dict[str, Any]:
    """Return a mean over seeds in JSON's types."""
    return {"mean": found.mean, "sd": found.deviation, "interval": [found.low, found.high]}


def comparison_json(one: Comparison) -> dict[str, Any]:
    """Return a comparison in JSON's types; an effect that no seed varies is ``None``."""
    return {
        "first": one.first,
        "second": one.second,
        "difference": one.difference.mean,
        "interval": [one.difference.low, one.difference.high],
        "bootstrap": list(one.bootstrap),
        "p": one.p,
        "p_single": one.p_single,
        "p_permutation": one.p_permutation,
        "effect": one.effect if abs(one.effect) != float("inf") else None,
        "superiority": one.superiority,
        "superiority_interval": [one.superiority_low, one.superiority_high],
        "winner": one.winner,
    }


def confirmation_block(found: Mapping[str, Any]) -> str:
    """Return all that is to be said of a confirmation, as recorded in ``confirm.json``."""
    seeds = ", ".join(map(str, found["seeds"]))
    basis = f"{found['examples']} validation examples" if found["examples"] else found["note"]
    names = {one["name"]: assignments(one["params"]) for one in found["candidates"]}
    names |= {name: f"the same as the {other}" for name, other in found["same"].items()}
    for one in found["candidates"]:
        for seed, error in one["failed"].items():
            names[one["name"]] += f"\n  failed with seed {seed}: {error}"
    longest = max(map(len, names))
    said = [f"{name:<{longest}}  {text or 'as configured'}" for name, text in names.items()]
    parts = [
        f"study {found['study']}: {found['metric']}, {found['direction']}; seeds {seeds}; {basis}",
        render(_scores(found)),
        "\n".join(said),
        found["verdict"][0],
        "\n".join(f"  {line}" for line in found["verdict"][1:]),
        render(_pairs(found["comparisons"])),
        _test_lines(found),
    ]
    return "\n\n".join(part for part in parts if part)


def _scores(found: Mapping[str, Any]) -> Table:
    read = {one["name"]: one for one in (found.get("test") or {}).get("candidates", ())}
    others = list(next((one["others"] for one in found["candidates"] if one["others"]), {}))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("candidate", no_wrap=True)
    headings = ["in the study", found["metric"], "95 %", *others]
    for heading in [*headings, *(["test", "test 95 %"] if read else [])]:
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found["candidates"]:
        if one["failed"]:
            table.add_row(one["name"], score(one["study_value"]), "failed")
            continue
        cells = [score(one["study_value"]), *_cells(one)]
        cells += [_spread(one["others"][name]) for name in others]
        table.add_row(one["name"], *cells, *(_cells(read[one["name"]]) if read else []))
    return table


def _cells(one: Mapping[str, Any]) -> list[str]:
    low, high = one["interval"]
    return [_spread(one), f"[{score(low)}, {score(high)}]"]


def _spread(one: Mapping[str, Any]) -> str:
    return f"{score(one['mean'])} {marks().within} {score(one['sd']) or '0'}"


def _pairs(comparisons: Sequence[Mapping[str, Any]]) -> Table | str:
    if not comparisons:
        return ""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("first - second", no_wrap=True)
    headings = ("difference", "95 %", "p (Holm)", "p alone", "permutation", "effect d", "P(better)")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for one in comparisons:
        low, high = one["interval"]
        effect = "" if one["effect"] is None else f"{one['effect']:+.2f}"
        least, most = one["superiority_interval"]
        table.add_row(
            f"{one['first']} - {one['second']}",
            f"{'+' if one['difference'] > 0 else ''}{score(one['difference'])}",
            f"[{score(low)}, {score(high)}]",
            *(_p(one[name]) for name in ("p", "p_single", "p_permutation")),
            effect,
            f"{one['superiority']:.2f} [{least:.2f}, {most:.2f}]",
        )
    return table


def _p(value: float) -> str:
    return p_text(value).removeprefix("p").removeprefix(" = ").strip()


def _test_lines(found: Mapping[str, Any]) -> str:
    test = found.get("test") or {}
    if test.get("status") != "read":
        return f"test split: {test.get('why', 'not read')}"
    earlier = test["earlier"]
    times = f"; read {earlier} times before, for others" if earlier else ""
    basis = f"{test['metric']} over {test['examples']} examples"
    lines = [f"test split: {basis}, read once the verdict stood, {test['time']}{times}"]
    for one in test["comparisons"]:
        low, high = one["interval"]
        sign = "+" if one["difference"] > 0 else ""
        lines.append(
            f"  {one['first']} - {one['second']}: {sign}{score(one['difference'])} "
            f"[{score(low)}, {score(high)}]"
        )
    return "\n".join(lines)
