"""One line about every study, read again only when the study has changed."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from stagetree.core import atomic
from stagetree.core.errors import StagetreeError

CACHE = "studies.json"
"""File in the root's cache directory; deleting it costs a second look at every study."""

Summary = dict[str, Any]
_STATES = ("complete", "pruned", "failed", "running")


def summaries(root: Path) -> list[Summary]:
    """Return a summary of every study below ``root``, by name.

    A study's journal takes some 20 ms to read; a summary is kept with the journal's size and
    time of change, and taken from there as long as both are the same. A study on a server is read
    anew; one whose server does not answer has a name, the reason and no numbers.
    """
    from stagetree.search import results
    from stagetree.search.journal import FILE

    place, cache = root / "studies", root / "cache" / CACHE
    known, kept = _read(cache), {}
    found: list[Summary] = []
    for name in results.list_studies(place):
        if not (place / name / FILE).is_file():
            found.append(_remote(name, place))
            continue
        stat = (place / name / FILE).stat()
        state = [stat.st_size, stat.st_mtime_ns]
        entry = known.get(name)
        if not entry or entry["state"] != state:
            entry = {"state": state, "summary": _summary(name, place)}
        kept[name] = entry
        found.append(entry["summary"])
    if kept != known:
        with contextlib.suppress(OSError):  # a root that is only read
            cache.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_json(cache, kept)
    return found


def _read(cache: Path) -> dict[str, Any]:
    try:
        found = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remote(name: str, place: Path) -> Summary:
    try:
        return _summary(name, place)
    except StagetreeError as error:
        numbers = dict.fromkeys(("trials", *_STATES, "best"))
        return {"name": name, **numbers, "metric": "", "error": str(error)}


def _summary(name: str, place: Path) -> Summary:
    from stagetree.search import results
    from stagetree.search.study import directions_of, metrics_of

    study = results.open_study(name, place)
    rows = results.rows(study)
    best = results.best(rows, directions_of(study)[0])
    states = [row.state for row in rows]
    counts = {state: states.count(state) for state in _STATES}
    metrics = metrics_of(study)
    value = best.values[0] if best and len(metrics) == 1 else None
    metric = ", ".join(metrics)
    return {"name": name, "trials": len(rows), **counts, "best": value, "metric": metric}
