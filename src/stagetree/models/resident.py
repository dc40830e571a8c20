"""How much the resident memory of this process grows while something runs."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path

from stagetree.core.allocator import give_back

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def growth(run: Callable[[], object]) -> float | None:
    """Return by how many bytes the resident memory rises at most while ``run`` runs.

    Memory that was freed but not given back to the system is given back first, where the C
    library can.

    Returns:
        The bytes, or ``None`` where the system does not tell (it is Linux that does).
    """
    if not sys.platform.startswith("linux"):
        return None
    gc.collect()
    give_back()
    try:
        _RESET.write_text(_RESET_PEAK, encoding="ascii")
        before = _kilobytes("VmRSS")
        run()
        return 1024.0 * max(0, _kilobytes("VmHWM") - before)
    except OSError:
        return None


def _kilobytes(entry: str) -> int:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == entry:
            return int(value.split()[0])
    raise OSError(f"{_STATUS} has no {entry}")
