"""What went wrong in a study: its errors, each kind once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from stagetree.report.tables import assignments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stagetree.core.trials import TrialRow

SHOWN = 5
"""How many trial numbers a row names."""

_NUMBER = re.compile(r"0x[0-9a-f]+|[+-]?(\d+(\.\d*)?(e[+-]?\d+)?|\b(nan|inf)\b)", re.IGNORECASE)


def error_kinds(rows: Sequence[TrialRow]) -> list[list[TrialRow]]:
    """Return the trials with an error by its kind, the most frequent kind first.

    Errors that differ in numbers only are of one kind.
    """
    kinds: dict[str, list[TrialRow]] = {}
    for row in rows:
        if row.error:
            kinds.setdefault(f"{row.state} {_NUMBER.sub('#', row.error)}", []).append(row)
    return sorted(kinds.values(), key=len, reverse=True)


def numbers(rows: Sequence[TrialRow]) -> str:
    """Return the numbers of the first trials, and how many more there are."""
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return " ".join(str(row.number) for row in rows[:SHOWN]) + more


def error_table(rows: Sequence[TrialRow]) -> Table:
    """Return a row a kind of error: how often, in which trials, with which parameters once."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("count", justify="right")
    for name in ("outcome", "trials"):
        table.add_column(name, no_wrap=True)
    for name in ("error", "for example"):
        table.add_column(name, overflow="fold")
    for found in error_kinds(rows):
        first = found[0]
        example = Text(assignments(first.params))
        table.add_row(
            str(len(found)), first.state, numbers(found), Text(first.error or ""), example
        )
    return table
