"""What a lease file says of its holder, and whether that holder is still alive."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from stagetree.core import nfs


@dataclass(frozen=True)
class Seen:
    """A lease file as read at one moment; any sign of life makes it unequal.

    ``worker`` is the scheduler's name for the holder, from ``STAGETREE_WORKER``; ``since`` is when
    the holder's process took its first lease. Both are for people to read.
    """

    token: str
    counter: int
    mtime: int
    inode: int
    machine: str = ""
    pid: int = 0
    started: str = ""
    heartbeat: float = 0.0
    host: str = ""
    worker: str = ""
    since: float = 0.0


def look(path: Path) -> Seen | None:
    """Read a lease file; ``None`` when there is none. Garbage gets a token of its own."""
    nfs.refresh(path)
    try:
        stamp, data = nfs.again(functools.partial(_content_of, path))
    except OSError as error:
        if nfs.is_gone(error):
            return None
        raise
    mtime, inode = stamp.st_mtime_ns, stamp.st_ino
    try:
        fields = json.loads(data)
        return Seen(
            token=str(fields["token"]),
            counter=int(fields["counter"]),
            mtime=mtime,
            inode=inode,
            machine=str(fields["machine"]),
            pid=int(fields["pid"]),
            started=str(fields["started"]),
            heartbeat=float(fields.get("heartbeat", 0.0)),
            host=str(fields.get("host", "")),
            worker=str(fields.get("worker", "")),
            since=float(fields.get("since", 0.0)),
        )
    except (ValueError, KeyError, TypeError):
        return Seen(token=f"{inode:x}-{mtime:x}", counter=0, mtime=mtime, inode=inode)


def _content_of(path: Path) -> tuple[os.stat_result, bytes]:
    with path.open("rb") as file:
        return os.fstat(file.fileno()), file.read(4096)


def content(token: str, counter: int, heartbeat: float = 0.0) -> bytes:
    """Return a lease file's text, padded so that a higher counter overwrites it in place."""
    identity = _identity(os.getpid())
    fields = {"token": token, **identity, "heartbeat": heartbeat, "counter": counter}
    text = json.dumps(fields)
    return text.ljust(len(text) - len(str(counter)) + 20).encode("ascii")


_first_seen: dict[str, tuple[Seen, float]] = {}


def is_stale(path: Path, seen: Seen, grace: float) -> bool:
    """Judge the holder: gone from this machine, or silent for ``grace`` seconds of our clock.

    A holder that beats slower than the waiter expects is given three of its own beats.
    """
    if here(seen):
        started = _started(seen.pid)
        if started is not None and started != seen.started:
            return True
    now = time.monotonic()
    before, since = _first_seen.get(str(path), (None, now))
    if before != seen:
        _first_seen[str(path)] = (seen, now)
        return False
    return now - since >= max(grace, 3 * seen.heartbeat)


def alive(path: Path, grace: float) -> bool:
    """Return whether somebody holds a lease, as far as can be told without waiting.

    A holder on another machine counts as alive until this process has seen it silent for
    ``grace`` seconds.
    """
    seen = look(path)
    return seen is not None and not is_stale(path, seen, grace)


@functools.lru_cache(maxsize=1)
def _identity(pid: int) -> dict[str, str | int | float]:
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": pid,
        "started": _started(pid) or "",
        "worker": os.environ.get("STAGETREE_WORKER", ""),
        "since": round(time.time(), 1),
    }


def here(seen: Seen) -> bool:
    """Return whether a holder is a process of this machine."""
    return bool(seen.pid) and seen.machine == _identity(os.getpid())["machine"]


def _machine() -> str:
    """Name the place where a process number means one process: host, boot, pid namespace."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    return f"unknown {secrets.token_hex(8)}"  # no two agree: only silence counts


def _started(pid: int) -> str | None:
    """Return when process ``pid`` started, in ticks since boot.

    Empty when there is no such process or it has ended and waits to be reaped; ``None`` when
    this system does not tell.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return None if _exists(pid) else ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def _exists(pid: int) -> bool:
    """Return whether the process is there, though ``/proc`` may hide it from us."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def forget(path: Path | None = None) -> None:
    """Drop what was observed of ``path``, or of every path."""
    if path is None:
        _first_seen.clear()
    else:
        _first_seen.pop(str(path), None)
