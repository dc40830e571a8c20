"""Garbage collection that is killed, doubled, or races with those who read and write."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stagetree.core.kept import Kept
from stagetree.core.signature import digest
from stagetree.pipeline.collect import collect, judge
from stagetree.pipeline.record import Record
from stagetree.pipeline.store import Store

pytestmark = pytest.mark.faults

PRELUDE = """
import sys, time
from pathlib import Path
from stagetree.core.kept import Kept
from stagetree.core.signature import digest
from stagetree.pipeline.collect import collect, judge
from stagetree.pipeline.record import Record
from stagetree.pipeline.store import Store
store = Store(Path(sys.argv[1]), heartbeat=0.1, grace=2.0)
"""
COLLECT = (
    PRELUDE
    + """
found = judge(store, Kept, older_than=0.0, inputs=False)
print("judged", flush=True)
print(collect(store, found), flush=True)
"""
)
RUNS = (
    PRELUDE
    + """
made = read = 0
while made < int(sys.argv[2]):
    for name in "abcdef":
        key = digest(name)
        with store.using([key]):
            if store.get(key) is None:
                with store.open(key) as work:
                    if work.record is None:
                        (work.output / "model.bin").write_bytes(name.encode() * 100_000)
                        work.publish(Record(key, "finetune", name, 1, {}, [], "d", 1))
                        made += 1
            for _ in range(3):
                content = (store.model_dir(key) / "model.bin").read_bytes()
                assert content == name.encode() * 100_000
                read += 1
print(made, read, flush=True)
"""
)
HOLD = (
    PRELUDE
    + """
with store.using([digest("0")]):
    print("holding", flush=True)
    sys.stdin.readline()
"""
)

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", heartbeat=0.1, grace=2.0)


def fill(store: Store, count: int) -> None:
    for number in range(count):
        signature = digest(str(number))
        with store.open(signature) as work:
            if work.record is not None:
                continue
            (work.output / "model.bin").write_bytes(b"x" * 50_000)
            work.publish(Record(signature, "finetune", str(number), 1, {}, [], "d", 1))


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip() or process.communicate()[1]


def test_a_collection_killed_at_any_moment_leaves_each_result_whole_or_gone(start, store) -> None:
    for pause in (0.0, 0.005, 0.02, 0.05, 0.1):
        fill(store, 40)
        process = start(COLLECT, store.root)
        assert said(process) == "judged"
        time.sleep(pause)
        process.kill()
        process.wait()
        for number in range(40):
            signature = digest(str(number))
            record = store.get(signature)
            assert record is None or (store.model_dir(signature) / "model.bin").exists()
            assert store.recall(signature) is not None
        assert not (store.root / "quarantine").exists()
    collect(store, judge(store, Kept, older_than=0.0, inputs=False))
    store.clean_partial()
    assert list(store.records()) == []
    assert len(list(store.freed())) == 40
    assert list((store.root / "partial").iterdir()) == []
    # Killed while it gave a lease back, it leaves litter that goes in a week, but no lease.
    assert list((store.root / "locks").glob("*.lock")) == []


def test_two_collections_at_once_free_each_result_once(start, store) -> None:
    fill(store, 30)
    size = sum(store.size(digest(str(number))) for number in range(30))
    pair = [start(COLLECT, store.root) for _ in range(2)]
    ends = [process.communicate(timeout=240) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], ends
    assert sum(int(output.split()[-1]) for output, _ in ends) == size
    assert list(store.records()) == []


def test_who_holds_a_result_finds_it_to_the_end(start, store) -> None:
    readers = [start(RUNS, store.root, 12) for _ in range(2)]
    freed = 0
    while any(reader.poll() is None for reader in readers):
        freed += collect(store, judge(store, Kept, older_than=0.0, inputs=False))
    ends = [reader.communicate() for reader in readers]
    assert [reader.returncode for reader in readers] == [0, 0], ends
    counts = [tuple(map(int, output.split())) for output, _ in ends]
    assert freed > 0
    assert sum(made for made, _ in counts) >= 24  # of 6 results: what was freed was made again
    assert not (store.root / "quarantine").exists()


def test_who_is_killed_holds_nothing_any_more(start, store) -> None:
    fill(store, 1)
    holder = start(HOLD, store.root)
    assert said(holder) == "holding"
    (verdict,) = judge(store, Kept, older_than=0.0, inputs=False)
    assert (verdict.keep, verdict.reason) == (True, "in use")
    holder.kill()
    holder.wait()
    (verdict,) = judge(store, Kept, older_than=0.0, inputs=False)
    assert not verdict.keep
    assert collect(store, [verdict]) > 50_000


def test_the_lease_of_a_collection_killed_at_its_end_is_cleaned_away(start, store) -> None:
    killed = PRELUDE + "store._lease(digest('0')).acquire(); print('held', flush=True); input()"
    holder = start(killed, store.root)
    assert said(holder) == "held"
    store.clean_partial()
    assert [path.name for path in (store.root / "locks").iterdir()] == [f"{digest('0')}.lock"]
    holder.kill()
    holder.wait()
    store.clean_partial()
    assert list((store.root / "locks").iterdir()) == []
