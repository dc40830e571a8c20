"""Leases: one holder, fenced, recovered when the holder is gone."""

from __future__ import annotations

import gc
import json
import os
import time
from pathlib import Path

import pytest

from stagetree.core.lease import Lease, LeaseLost


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "node.lock"


def quick(path: Path) -> Lease:
    return Lease(path, heartbeat=0.05, grace=0.4)


def test_one_holds_it_and_the_other_gets_it_afterwards(path: Path) -> None:
    one, two = Lease(path), Lease(path)
    assert one.try_acquire()
    assert not two.try_acquire()
    assert (one.held(), two.held()) == (True, False)
    one.release()
    assert not one.held()
    assert two.try_acquire()
    two.release()
    assert list(path.parent.iterdir()) == []


def test_a_lease_can_be_used_again_but_not_twice_at_once(path: Path) -> None:
    lease = Lease(path)
    for _ in range(3):
        with lease:
            with pytest.raises(RuntimeError, match="held by this object"):
                lease.try_acquire()
            assert lease.held()
        lease.release()
    assert not path.exists()


def test_acquire_gives_up_after_its_timeout(path: Path) -> None:
    with Lease(path):
        start = time.monotonic()
        assert not Lease(path).acquire(timeout=0.3, poll=0.05)
        assert 0.3 <= time.monotonic() - start < 30


def test_a_living_holder_outlasts_the_grace(path: Path) -> None:
    with quick(path) as lease:
        before = path.read_text()
        assert not quick(path).acquire(timeout=1.2, poll=0.05)
        assert lease.held()
        assert path.read_text() != before
        assert len(path.read_text()) == len(before)


def test_silence_is_measured_over_separate_tries(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(json.dumps({
        "token": "t", "host": "elsewhere", "machine": "elsewhere", "pid": 1, "started": "1",
        "counter": 5,
    }))  # fmt: skip
    assert not quick(path).try_acquire()
    time.sleep(0.2)
    assert not quick(path).try_acquire()
    time.sleep(0.3)
    assert quick(path).try_acquire()


def test_a_sign_of_life_starts_the_grace_again(path: Path) -> None:
    path.parent.mkdir()
    for counter in range(4):
        path.write_text(json.dumps({
            "token": "t", "host": "elsewhere", "machine": "elsewhere", "pid": 1, "started": "1",
            "counter": counter,
        }))  # fmt: skip
        assert not quick(path).try_acquire()
        time.sleep(0.25)


@pytest.mark.parametrize("garbage", ["", "{", "[]", '{"token": 3}', "\x00" * 300])
def test_garbage_is_recovered_after_the_grace(path: Path, garbage: str) -> None:
    path.parent.mkdir()
    path.write_text(garbage)
    assert not quick(path).try_acquire()
    lease = quick(path)
    assert lease.acquire(timeout=3, poll=0.05)
    lease.release()
    assert list(path.parent.iterdir()) == []


def test_another_process_of_the_same_number_is_not_the_holder(path: Path) -> None:
    with Lease(path):
        fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "started": "1"}))
    assert Lease(path).try_acquire()


def test_a_dropped_lease_stops_beating_and_is_recovered(path: Path) -> None:
    lease = quick(path)
    assert lease.try_acquire()
    time.sleep(0.15)
    del lease
    gc.collect()
    assert quick(path).acquire(timeout=3, poll=0.05)


def test_a_holder_that_beats_slower_than_the_waiters_grace_is_not_robbed(path: Path) -> None:
    with Lease(path, heartbeat=1.0, grace=5.0) as lease:
        assert not Lease(path, heartbeat=0.1, grace=0.3).acquire(timeout=2.0, poll=0.05)
        assert lease.held()


def test_a_holder_that_was_robbed_notices_and_leaves_the_new_lease_alone(path: Path) -> None:
    lease = quick(path)
    assert lease.try_acquire()
    path.unlink()
    other = quick(path)
    assert other.try_acquire()
    text = path.read_text()
    assert not lease.held()
    with pytest.raises(LeaseLost, match="another process has taken it over"):
        lease.check()
    lease.beat()
    lease.release()
    assert json.loads(path.read_text())["token"] == json.loads(text)["token"]
    assert other.held()


def test_a_claim_left_by_a_dead_process_does_not_block_the_path(path: Path) -> None:
    pid = os.fork()
    if pid == 0:  # dies between claiming the end of its own lease and removing it
        lease = Lease(path)
        lease.acquire()
        Path.replace = lambda *_: os._exit(0)  # type: ignore[assignment,method-assign]
        lease.release()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(list(path.parent.iterdir())) == 2
    lease = Lease(path)
    assert lease.try_acquire()
    lease.release()
    assert list(path.parent.iterdir()) == []


def test_a_forked_child_does_not_hold_its_parents_lease(path: Path) -> None:
    with Lease(path) as lease:
        pid = os.fork()
        if pid == 0:
            held = lease.held()
            lease.release()
            own = quick(path.with_name("child.lock"))
            own.acquire()
            before = own.path.read_text()
            time.sleep(0.3)
            os._exit(0 if not held and own.path.read_text() != before else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert lease.held()


def test_impossible_times_are_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="heartbeat < grace"):
        Lease(path, heartbeat=5, grace=2)


def test_taking_and_giving_back_is_cheap(path: Path) -> None:
    lease = Lease(path)
    fastest = float("inf")
    for _ in range(50):
        start = time.perf_counter()
        lease.acquire()
        lease.release()
        fastest = min(fastest, time.perf_counter() - start)
    assert fastest < 0.002
