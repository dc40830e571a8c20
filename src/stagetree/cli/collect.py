"""``stagetree store gc``: what would be freed and why; with ``--yes`` it is."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from stagetree.cli.options import AsJson, Root, directory, show
from stagetree.core import project
from stagetree.core.errors import ConfigError, Fault
from stagetree.pipeline import collect
from stagetree.pipeline.store import Store

if TYPE_CHECKING:
    from stagetree.pipeline.collect import Verdict

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Free it; without this, only say it.")] = False,
    keep_best: Annotated[
        int, typer.Option("--keep-best", min=0, help="Trials whose models each study keeps.")
    ] = 3,
    older_than: Annotated[
        str, typer.Option("--older-than", help="Keep what was used later: 30m, 12h, 7d, 0.")
    ] = "1h",
    keep_inputs: Annotated[
        bool,
        typer.Option(help="Also keep what kept results were made from, to make others from it."),
    ] = False,
    as_json: AsJson = False,
    root: Root = None,
) -> None:
    """Free results that nothing refers to; without --yes only show what would be freed.

    These stay: results that a run uses now; all of a study that somebody works on; the best
    trials of every other one, and its unfinished and confirmed ones; what experiments/ runs; the
    result of every single run whose directory in outputs/ is there; what was used lately. Of
    each the last stage stays, which opens alone, and with --keep-inputs the stages before it.

    A freed result's record stays: tables, curves and `store why` still know it, and a run that
    wants the model computes it again.
    """
    from stagetree.search.kept import everything

    seconds = _seconds(older_than)
    place = directory(root)
    store = Store(place / "store")
    experiments = project.root() / "experiments"
    places = (place / "studies", place / "outputs", experiments)
    look = functools.partial(everything, *places, keep_best)
    verdicts = collect.judge(store, look, older_than=seconds, inputs=keep_inputs)
    litter = collect.leavings_of(store, seconds, dry=not yes)
    freed = collect.collect(store, verdicts) + sum(litter.values()) if yes else 0
    reasons = _by_reason(verdicts, litter)
    rows = {
        "done": yes,
        "bytes_kept": sum(row["bytes"] for row in reasons if row["keep"]),
        "bytes_to_free": sum(row["bytes"] for row in reasons if not row["keep"]),
        "bytes_freed": freed,
        "reasons": reasons,
        "results": [_plain(verdict) for verdict in verdicts],
    }
    show(rows, as_json, _table(rows))


def _seconds(text: str) -> float:
    """Return the seconds of an age such as ``12h``.

    Raises:
        ConfigError: It is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw]?)", text.strip().lower())
    if found is None:
        message = f"expected an age such as 30m, 12h, 7d or 0 but got {text!r}"
        raise ConfigError([Fault("--older-than", message)])
    return float(found[1]) * _UNITS[found[2] or "s"]


def _plain(verdict: Verdict) -> dict[str, Any]:
    return {
        "signature": verdict.signature,
        "kind": verdict.kind,
        "name": verdict.name,
        "bytes": verdict.bytes,
        "keep": verdict.keep,
        "reason": verdict.reason,
    }


def _by_reason(verdicts: Sequence[Verdict], litter: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return a row a reason: what stays first, then what goes, each by size."""
    sums: dict[tuple[bool, str], list[int]] = {}
    for verdict in verdicts:
        sums.setdefault((verdict.keep, verdict.reason), []).append(verdict.bytes)
    rows = [
        {"keep": keep, "reason": reason, "results": len(sizes), "bytes": sum(sizes)}
        for (keep, reason), sizes in sums.items()
    ]
    rows += [
        {"keep": False, "reason": what, "results": 0, "bytes": size}
        for what, size in litter.items()
    ]
    return sorted(rows, key=lambda row: (not row["keep"], -int(str(row["bytes"]))))


def _table(rows: Mapping[str, Any]) -> str:
    from stagetree.report.numbers import megabytes
    from stagetree.report.tables import render

    table = Table("", "because", "results", "MB")
    for row in rows["reasons"]:
        mark = "keep" if row["keep"] else ("freed" if rows["done"] else "free")
        table.add_row(mark, row["reason"], str(row["results"] or ""), megabytes(row["bytes"]))
    left = f"{megabytes(rows['bytes_kept'])} MB stay"
    if rows["done"]:
        last = f"{megabytes(rows['bytes_freed'])} MB freed, {left}"
    elif not rows["bytes_to_free"]:
        last = f"nothing to free, {left}"
    else:
        last = f"{megabytes(rows['bytes_to_free'])} MB would be freed, {left}"
        last += "; nothing was touched, --yes does it"
    return f"{render(table)}\n{last}" if rows["reasons"] else "the store is empty"
