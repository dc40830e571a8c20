"""Leases whose holders are killed, paused and fought over, by real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from stagetree.core.lease import Lease

pytestmark = pytest.mark.faults

HOLD = """
import sys, time
from pathlib import Path
from stagetree.core.lease import Lease
lease = Lease(Path(sys.argv[1]), heartbeat=0.1, grace=1.0)
lease.acquire()
print("held", flush=True)
sys.stdin.readline()
print("still" if lease.held() else "lost", flush=True)
lease.release()
"""

TAKE = """
import os, sys, time
from pathlib import Path
from stagetree.core.atomic import append_line
from stagetree.core.lease import Lease
folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
for round in range(rounds):
    while not (folder / f"go{round}").exists():
        time.sleep(0.001)
    lease = Lease(folder / f"{round}.lock", heartbeat=0.1, grace=3.0)
    log, done = folder / f"{round}.log", folder / f"{round}.done"
    won, end = False, None
    while not won and (end is None or time.monotonic() < end):
        won = lease.try_acquire()
        if end is None and log.exists():
            end = time.monotonic() + 0.3
        time.sleep(0.001)
    if won:
        append_line(log, str(os.getpid()))
        while not done.exists() or len(done.read_text().split()) < 19:
            time.sleep(0.01)
        if not lease.held():
            append_line(log, "lost")
    append_line(folder / f"{round}.done", "1")
"""

COUNT = """
import sys
from pathlib import Path
from stagetree.core.lease import Lease
folder = Path(sys.argv[1])
for _ in range(100):
    with_lease = Lease(folder / "n.lock")
    with_lease.acquire(poll=0.0005)
    number = int((folder / "n").read_text())
    (folder / "n").write_text(str(number + 1))
    with_lease.check()
    with_lease.release()
"""


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_killed_holder_is_taken_over_at_once(start, tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    holder = start(HOLD, path)
    assert said(holder) == "held"
    lease = Lease(path, grace=600)
    assert not lease.try_acquire()
    holder.kill()
    assert lease.acquire(timeout=20, poll=0.02)  # the killed one is not even reaped yet
    lease.release()
    assert list(tmp_path.iterdir()) == []


def test_a_paused_holder_is_taken_over_after_the_grace_and_notices(start, tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    holder = start(HOLD, path)
    assert said(holder) == "held"
    holder.send_signal(signal.SIGSTOP)
    lease = Lease(path, heartbeat=0.1, grace=1.0)
    before = time.monotonic()
    assert lease.acquire(timeout=30, poll=0.05)
    assert time.monotonic() - before >= 1.0
    holder.send_signal(signal.SIGCONT)
    assert holder.communicate("go on\n")[0] == "lost\n"
    assert lease.held()
    lease.release()
    assert list(tmp_path.iterdir()) == []


def test_a_holder_paused_for_less_than_the_grace_keeps_it(start, tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    holder = start(HOLD, path)
    assert said(holder) == "held"
    holder.send_signal(signal.SIGSTOP)
    assert not Lease(path, heartbeat=0.1, grace=60).acquire(timeout=1.0, poll=0.05)
    holder.send_signal(signal.SIGCONT)
    assert holder.communicate("go on\n")[0] == "still\n"


def test_of_twenty_takers_of_a_stale_lease_exactly_one_wins(start, tmp_path: Path) -> None:
    rounds = 6
    takers = [start(TAKE, tmp_path, rounds) for _ in range(20)]
    for number in range(rounds):
        lock = tmp_path / f"{number}.lock"
        if number % 2:
            lock.write_text("garbage")  # stale by silence
        else:
            holder = start(HOLD, lock)  # stale because its holder is dead
            assert said(holder) == "held"
            holder.kill()
            holder.wait()
        (tmp_path / f"go{number}").touch()
        done = tmp_path / f"{number}.done"
        deadline = time.monotonic() + 240
        while not done.exists() or len(done.read_text().split()) < 20:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    logs = [(tmp_path / f"{number}.log").read_text().split() for number in range(rounds)]
    assert [len(log) for log in logs] == [1] * rounds
    assert all(int(log[0]) in {taker.pid for taker in takers} for log in logs)


def test_nothing_is_lost_between_processes_that_take_turns(start, tmp_path: Path) -> None:
    (tmp_path / "n").write_text("0")
    workers = [start(COUNT, tmp_path) for _ in range(4)]
    assert [worker.wait(timeout=120) for worker in workers] == [0] * 4
    assert (tmp_path / "n").read_text() == "400"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n"]


def test_a_directory_that_refuses_is_an_oserror(start, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become somebody who may not write")
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom stagetree.core.lease import Lease\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: Lease(Path(sys.argv[1])).try_acquire()\n"
        "except PermissionError: print('refused')"
    )
    assert start(code, tmp_path / "a.lock").communicate()[0] == "refused\n"
