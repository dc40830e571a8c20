"""The disk budget: the least worth keeping goes, what is in use or referred to never does."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

from stagetree.core.errors import ConfigError, StagetreeError
from stagetree.core.kept import Kept
from stagetree.core.lease import Lease
from stagetree.core.signature import digest
from stagetree.pipeline.budget import Budget
from stagetree.pipeline.compose import compose
from stagetree.pipeline.needs import computed
from stagetree.pipeline.record import Record
from stagetree.pipeline.store import Store

MB = 1_000_000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", heartbeat=0.1, grace=1.0)


def put(store: Store, name: str, *, seconds: float = 10.0, idle: float = 100.0) -> str:
    signature = digest(name)
    with store.open(signature) as work:
        (work.output / "model.bin").write_bytes(b"x" * MB)
        work.publish(Record(signature, "finetune", name, 1, {}, [], "d", 1, seconds=seconds))
    past = time.time() - idle
    os.utime(store.model_dir(signature).parent, (past, past))
    return signature


def left(store: Store) -> set[str]:
    return {record.name for record in store.records()}


def test_within_the_budget_nothing_goes_and_nothing_is_asked(store: Store) -> None:
    def kept() -> Kept:
        raise AssertionError("it must not be asked")

    put(store, "a")
    assert Budget(store, 2 * MB, kept).settle() == 0
    assert left(store) == {"a"}


def test_the_cheapest_to_compute_again_and_longest_unused_go_first(store: Store) -> None:
    put(store, "dear", seconds=1000.0, idle=1000.0)
    put(store, "cheap", seconds=10.0, idle=1000.0)
    put(store, "fresh", seconds=10.0, idle=1.0)
    put(store, "middling", seconds=100.0, idle=500.0)
    assert Budget(store, 3.5 * MB, Kept).settle() == pytest.approx(MB, rel=0.01)
    assert left(store) == {"dear", "fresh", "middling"}
    Budget(store, 2.5 * MB, Kept).settle()
    assert left(store) == {"dear", "fresh"}


def test_room_is_made_for_some_stages_to_come(store: Store) -> None:
    for number in range(20):
        put(store, str(number))
    Budget(store, 19.5 * MB, Kept).settle()
    assert len(left(store)) == 17


def test_what_is_kept_or_in_use_stays_and_the_user_is_told_once(store, caplog) -> None:
    best, used = put(store, "best"), put(store, "used")
    put(store, "loose")
    budget = Budget(store, 1.5 * MB, lambda: Kept({best: "best of s"}))
    with store.using([used]), caplog.at_level(logging.WARNING):
        budget.settle()
        assert left(store) == {"best", "used"}
        assert len(caplog.records) == 1
        assert "holds 2.0 MB and may hold 1.5 MB" in caplog.text
        assert "best of s 1.0 MB" in caplog.text
        assert "in use 1.0 MB" in caplog.text
        budget.settle()
        assert len(caplog.records) == 1
    budget.settle()
    assert left(store) == {"best"}


def test_of_several_workers_one_makes_room(store: Store) -> None:
    put(store, "a")
    with Lease(store.root / "locks" / "budget.lock"):
        assert Budget(store, 1, Kept).settle() == 0
    assert left(store) == {"a"}
    assert Budget(store, 1, Kept).settle() > 0


def test_studies_that_cannot_be_read_keep_everything(store: Store, caplog) -> None:
    def kept() -> Kept:
        raise StagetreeError("the database is away")

    put(store, "a")
    assert Budget(store, 1, kept).settle() == 0
    assert left(store) == {"a"}
    assert "the database is away" in caplog.text


@pytest.mark.parametrize(
    ("words", "path", "message"),
    [
        (["store.budget_gb=0"], "store.budget_gb", "expected a positive number"),
        (["store.budget_gb=-1"], "store.budget_gb", "got -1.0"),
        (["store.budget_gb=inf"], "store.budget_gb", "expected a positive number"),
        (["store.keep_best=0"], "store.keep_best", "expected at least 1"),
    ],
)
def test_a_wrong_budget_is_refused_before_anything_runs(in_project, words, path, message) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(in_project([*words, "model=tiny", "debug=short"]))
    (fault,) = caught.value.faults
    assert fault.path == path
    assert message in fault.message


def test_the_budget_is_part_of_no_signature(in_project) -> None:
    words = ["model=tiny", "debug=short"]
    plain = compose(in_project(words))
    bounded = compose(in_project([*words, "store.budget_gb=0.1", "store.keep_best=1"]))
    assert [node.signature for node in plain.nodes] == [node.signature for node in bounded.nodes]


def test_only_stages_whose_model_is_needed_are_computed_again(in_project) -> None:
    words = ["model=tiny", "debug=short", "stage=[finetune,distill,quantize]"]
    run = compose(in_project(words))
    a, b, c = (node.signature for node in run.nodes)
    everything = {a, b, c}
    assert computed(run, everything.__contains__, lambda key: False) == set()
    assert computed(run, {c}.__contains__, {a, b}.__contains__) == set()
    assert computed(run, {c}.__contains__, {b}.__contains__) == {a}
    assert computed(run, {b}.__contains__, {a, c}.__contains__) == {c}
    assert computed(run, set[str]().__contains__, {a, b, c}.__contains__) == everything
