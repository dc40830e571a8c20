"""What workers that are gone, and damaged results, left behind in a store."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from stagetree.core.lease import Lease
from stagetree.pipeline.contents import tree_size


def clean(area: Path, older_than: float, *, dry: bool) -> int:
    """Remove what nobody can go on with from a work area; return the bytes freed.

    Unpublished output goes whatever its age, partial work when it was not touched for
    ``older_than`` seconds. Needs the area's lease unless ``dry``.
    """
    freed = 0
    for part in area.iterdir():
        if part.name != "scratch" or age(part) > older_than:
            freed += _remove(part, dry=dry)
    if not dry:
        with contextlib.suppress(OSError):
            area.rmdir()
    return freed


def clean_quarantine(root: Path, older_than: float, *, dry: bool) -> int:
    """Remove damaged results that were set aside so many seconds ago; return the bytes freed."""
    wards = sorted((root / "quarantine").glob("*"))
    return sum(_remove(ward, dry=dry) for ward in wards if age(ward) > older_than)


def clean_locks(place: Path, heartbeat: float, grace: float, older_than: float) -> None:
    """Remove leases of processes that are gone, and what died with them while changing hands.

    Args:
        place: The directory of the leases.
        heartbeat: Seconds between signs of life.
        grace: Seconds of silence after which a holder elsewhere counts as gone.
        older_than: Age in seconds of litter that goes.
    """
    for path in place.glob("*.lock"):
        lease = Lease(path, heartbeat=heartbeat, grace=grace)
        if lease.try_acquire():
            lease.release()
    for litter in place.glob("*.lock.*"):
        if age(litter) > older_than:
            litter.unlink(missing_ok=True)


def age(path: Path) -> float:
    """Return the seconds since anything at or below ``path`` was written."""
    newest = 0.0
    for item in (path, *path.rglob("*")):
        with contextlib.suppress(OSError):  # gone, or removed by another machine this moment
            newest = max(newest, item.stat().st_mtime)
    return time.time() - newest


def _remove(path: Path, *, dry: bool) -> int:
    size = tree_size(path)
    if not dry:
        shutil.rmtree(path, ignore_errors=True)
        size -= tree_size(path)
    return size
