"""Garbage collection: what something refers to stays, the rest goes and is remembered."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from stagetree.core.kept import Kept
from stagetree.core.signature import digest
from stagetree.pipeline.collect import DAMAGED, PARTIAL, collect, judge, leavings_of
from stagetree.pipeline.record import Record
from stagetree.pipeline.sizes import Sizes
from stagetree.pipeline.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", heartbeat=0.1, grace=1.0)


def put(store: Store, name: str, *inputs: str, shared: bool = False, size: int = 1000) -> str:
    signature = digest(name)
    with store.open(signature) as work:
        (work.output / "model.bin").write_bytes(b"x" * size)
        stage = "" if shared else name
        record = Record(signature, "finetune", stage, 1, {}, [*inputs], "d", 1, metrics={"f1": 0.5})
        work.publish(record)
    return signature


def verdicts(store: Store, kept: Kept, **options: object) -> dict[str, tuple[bool, str]]:
    asked = {"older_than": 0.0, "inputs": False, **options}
    found = judge(store, lambda: kept, **asked)  # type: ignore[arg-type]
    return {verdict.signature: (verdict.keep, verdict.reason) for verdict in found}


def test_the_kept_stay_and_the_others_go_with_a_reason(store: Store) -> None:
    first = put(store, "first")
    best = put(store, "best", first)
    loose = put(store, "loose", first)
    kept = Kept()
    kept.add_run([("finetune", first), ("distill", best)], "best of s")
    assert verdicts(store, kept) == {
        first: (False, "only an input of kept results"),
        best: (True, "best of s"),
        loose: (False, "nothing keeps it"),
    }
    assert verdicts(store, kept, inputs=True)[first] == (True, "input of a kept result")
    assert set(verdicts(store, Kept(), older_than=60.0).values()) == {(True, "used lately")}


def test_of_a_run_over_seeds_the_last_stage_of_each_stays(store: Store) -> None:
    kept = Kept()
    kept.add_run([("a@1", "1a"), ("b@1", "1b"), ("a@2", "2a"), ("b@2", "2b")], "best")
    assert set(kept.reasons) == {"1b", "2b"}


def test_answers_stay_with_a_teacher_that_is_in_use_not_with_one_that_is_kept(store) -> None:
    teacher = put(store, "teacher")
    answers = put(store, "answers", teacher, shared=True)
    kept = Kept()
    kept.add([teacher], "best of s")
    assert verdicts(store, kept)[answers] == (False, "shared, of nothing in use")
    assert verdicts(store, kept, inputs=True)[answers] == (True, "shared, of: best of s")
    with store.using([teacher]):
        assert verdicts(store, Kept())[answers] == (True, "shared, of: in use")


def test_a_freed_result_is_a_miss_and_its_record_stays(store: Store) -> None:
    kept, gone = put(store, "kept"), put(store, "gone")
    reasons = Kept({kept: "best of s"})
    found = judge(store, lambda: reasons, older_than=0.0, inputs=False)
    size = store.size(gone)
    assert collect(store, found) == size > 1000
    assert store.get(gone) is None
    assert not store.has(gone)
    assert store.get(kept) is not None
    assert store.recall(gone).metrics == {"f1": 0.5}
    assert [record.signature for record in store.records()] == [kept]
    assert [record.signature for record in store.freed()] == [gone]
    again = put(store, "gone")
    assert store.get(again) == store.recall(again)
    assert list(store.freed()) == []


def test_what_came_into_use_since_it_was_judged_stays(store: Store) -> None:
    signature = put(store, "a")
    found = judge(store, Kept, older_than=0.0, inputs=False)
    with store.using([signature]):
        assert collect(store, found) == 0
    assert collect(store, found) == 0  # it was used since, though nobody does now
    assert store.get(signature) is not None
    with store.open(digest("b")):
        assert store.free(digest("b"), 1) == 0


def test_a_run_holds_what_is_yet_to_come(store: Store) -> None:
    with store.using([digest("a")]):
        put(store, "a")
        assert verdicts(store, Kept()) == {digest("a"): (True, "in use")}
    assert store.used() == set()
    assert list((store.root / "uses").iterdir()) == []


def test_leavings_are_told_by_a_dry_run_and_then_removed(store: Store) -> None:
    with pytest.raises(ValueError, match="bug"), store.open(digest("a")) as work:
        (work.scratch / "checkpoint").write_bytes(b"x" * 300)
        raise ValueError("bug")
    ward = store.root / "quarantine" / f"{digest('b')}-1"
    ward.mkdir(parents=True)
    (ward / "model.bin").write_bytes(b"x" * 200)
    assert leavings_of(store, 60.0, dry=True) == {}
    before = sorted(store.root.rglob("*"))
    assert leavings_of(store, -1.0, dry=True) == {PARTIAL: 300, DAMAGED: 200}
    assert sorted(store.root.rglob("*")) == before
    assert leavings_of(store, -1.0, dry=False) == {PARTIAL: 300, DAMAGED: 200}
    assert leavings_of(store, -1.0, dry=False) == {}


def test_sizes_follow_what_comes_and_goes(store: Store) -> None:
    sizes = Sizes(store.root)
    assert sizes.read() == {}
    a, b = put(store, "a"), put(store, "b", size=5000)
    assert sizes.read() == {a: store.size(a), b: store.size(b)}
    past = time.time() - 60
    for shard in store.root.glob("[0-9a-f][0-9a-f]"):
        os.utime(shard, (past, past))
    assert sizes.read() == Sizes(store.root).read()
    store.remove(b)
    assert sizes.read() == {a: store.size(a)}
    c = put(store, "c")
    assert sizes.read().keys() == {a, c}
