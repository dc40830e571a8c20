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


def error_table(rows: Sequence[TrialRow]) -> Table:
    """Return a row a kind of error: how often, in which trials, with which parameters once.

    Errors that differ in numbers only are of one kind; the most frequent comes first.
    """
    kinds: dict[str, list[TrialRow]] = {}
    for row in rows:
        if row.error:
            kinds.setdefault(f"{row.state} {_NUMBER.sub('#', row.error)}", []).append(row)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("count", justify="right")
    for name in ("outcome", "trials"):
        table.add_column(name, no_wrap=True)
    for name in ("error", "for example"):
        table.add_column(name, overflow="fold")
    for found in sorted(kinds.values(), key=len, reverse=True):
        first = found[0]
        numbers = " ".join(str(row.number) for row in found[:SHOWN])
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        example = Text(assignments(first.params))
        table.add_row(
            str(len(found)), first.state, numbers + more, Text(first.error or ""), example
        )
    return table
