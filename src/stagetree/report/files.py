"""The leaderboard as a file: CSV, Markdown or LaTeX."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from stagetree.report.leaderboard import Leaderboard


def to_csv(board: Leaderboard) -> str:
    """Return every trial with unrounded values, one line each."""
    frame = pd.DataFrame(board.records(), columns=list(board.columns), dtype=object)
    return str(frame.to_csv(index=False, lineterminator="\n"))


def to_markdown(board: Leaderboard) -> str:
    """Return a Markdown table with values as people read them."""
    align = ["--:" if name in board.numeric else ":--" for name in board.columns]
    lines = [_markdown(board.columns), f"|{'|'.join(align)}|"]
    lines += [_markdown([cell.text for cell in line.cells]) for line in board.lines]
    return "\n".join(lines) + "\n"


def to_latex(board: Leaderboard) -> str:
    """Return a ``tabular`` with rules of the package ``booktabs``; all text is escaped."""
    texts = [[cell.text for cell in line.cells] for line in board.lines]
    styler = pd.DataFrame(texts, columns=list(board.columns)).style.hide(axis="index")
    styler = styler.format(escape="latex").format_index(axis="columns", escape="latex")
    columns = "".join("r" if name in board.numeric else "l" for name in board.columns)
    return str(styler.to_latex(hrules=True, column_format=columns))


def _markdown(cells: Sequence[str]) -> str:
    escaped = (
        cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
        for cell in cells
    )
    return f"| {' | '.join(escaped)} |"
