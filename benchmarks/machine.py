"""What every benchmark prints beside its figures: machine, load, versions, a Markdown table."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path


def describe(*packages: str) -> str:
    """Return a line with the processor, the load of the last minute and the versions."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return (
        f"{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"{', '.join([f'Python {platform.python_version()}', *versions])}"
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns line up; all but the first are set right."""
    lines = [list(header), *([*row] for row in rows)]
    widths = [max(3, *(len(line[place]) for line in lines)) for place in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(
        "| " + " | ".join([first.ljust(widths[0]), *_right(rest, widths[1:])]) + " |"
        for first, *rest in [lines[0], rule, *lines[1:]]
    )


def _right(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]


def _processor() -> str:
    """Return the processor's own name, or the architecture where it is not told."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
