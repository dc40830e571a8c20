"""Copies on local disk: exact, bounded, and never in the way."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stagetree.core.errors import StoreError
from stagetree.core.lease import Lease, LeaseLost
from stagetree.core.signature import digest
from stagetree.pipeline.record import Record
from stagetree.pipeline.scratch import Scratch
from stagetree.pipeline.store import Store

NODE, OTHER, THIRD = digest("node"), digest("other"), digest("third")


def site(folder: Path, limit: float = 1e6) -> Store:
    root = folder / "store"
    return Store(root, scratch=Scratch(folder / "local", limit, root))


def put(store: Store, node: str = NODE, size: int = 1000) -> Record:
    with store.open(node) as work:
        (work.output / "nested").mkdir()
        (work.output / "nested" / "model.bin").write_bytes(node[:1].encode() * size)
        (work.scratch / "checkpoint").write_text("half")
        return work.publish(Record(node, "finetune", "finetune", 1, {}, [], "d", 1))


def copies(folder: Path) -> set[str]:
    return {path.name for path in (folder / "local").glob("*/copies/*")}


def test_output_is_made_locally_and_published_whole(tmp_path: Path) -> None:
    store = site(tmp_path)
    with store.open(NODE) as work:
        assert (tmp_path / "local") in work.output.parents
        assert (tmp_path / "store") in work.scratch.parents
        (work.output / "model.bin").write_text("weights")
        record = work.publish(Record(NODE, "finetune", "finetune", 1, {}, [], "d", 1))
    assert Store(tmp_path / "store").get(NODE) == record
    assert (store.model_dir(NODE) / "model.bin").read_text() == "weights"
    assert list((tmp_path / "local").glob("*/desks/*")) == []
    assert list((tmp_path / "store" / "partial").iterdir()) == []


def test_models_are_read_from_a_copy_made_once(tmp_path: Path) -> None:
    record = put(Store(tmp_path / "store"))
    store = site(tmp_path)
    place = store.readable(record)
    assert (tmp_path / "local") in place.parents
    assert (place / "nested" / "model.bin").read_bytes() == b"%c" % ord(NODE[0]) * 1000
    (store.model_dir(NODE) / "nested" / "model.bin").unlink()  # never looked at again
    assert site(tmp_path).readable(record) == place


def test_what_was_just_published_need_not_be_copied_back(tmp_path: Path) -> None:
    store = site(tmp_path)
    record = put(store)
    assert copies(tmp_path) == {NODE}
    (store.model_dir(NODE) / "nested" / "model.bin").unlink()
    assert (store.readable(record) / "nested" / "model.bin").stat().st_size == 1000


def test_a_damaged_copy_is_made_again(tmp_path: Path) -> None:
    record = put(Store(tmp_path / "store"))
    place = site(tmp_path).readable(record)
    (place / "nested" / "model.bin").write_text("other")
    assert (site(tmp_path).readable(record) / "nested" / "model.bin").stat().st_size == 1000


def test_a_source_that_is_damaged_is_not_copied(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = site(tmp_path)
    record = put(Store(tmp_path / "store"))
    (store.model_dir(NODE) / "nested" / "model.bin").write_text("other")
    assert store.readable(record) == store.model_dir(NODE)
    assert "after it was copied" in caplog.text
    assert copies(tmp_path) == set()


def test_copies_unused_for_longest_go_first_and_those_in_use_stay(tmp_path: Path) -> None:
    shared = Store(tmp_path / "store")
    records = [put(shared, node) for node in (NODE, OTHER, THIRD)]
    one, two = site(tmp_path, 2500), site(tmp_path, 2500)
    with one.using([]):
        one.readable(records[0])
        with two.using([]):
            two.readable(records[1])
        old = next((tmp_path / "local").glob(f"*/copies/{NODE}"))
        os.utime(old, (1, 1))
        with two.using([]):
            two.readable(records[2])
            assert copies(tmp_path) == {NODE, THIRD}
    with two.using([]):
        os.utime(old, (1, 1))
        two.readable(records[1])
    assert copies(tmp_path) == {OTHER, THIRD}


def test_what_is_larger_than_the_limit_is_read_where_it_is(tmp_path: Path) -> None:
    store = site(tmp_path, 500)
    record = put(store)
    assert store.readable(record) == store.model_dir(NODE)
    assert copies(tmp_path) == set()


def test_a_scratch_that_cannot_be_used_costs_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "local").write_text("a file")
    store = site(tmp_path)
    record = put(store)
    put(store, OTHER)
    assert store.readable(record) == store.model_dir(NODE)
    assert len(caplog.records) == 1
    assert "is not used" in caplog.text


def test_what_a_killed_worker_left_is_removed_and_its_partial_work_goes_on(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from stagetree.pipeline.scratch import Scratch
from stagetree.pipeline.store import Store
folder, node = Path(sys.argv[1]), sys.argv[2]
scratch = Scratch(folder / "local", 1e6, folder / "store")
with Store(folder / "store", scratch=scratch).open(node) as work:
    (work.output / "model.bin").write_text("half")
    (work.scratch / "checkpoint").write_text("half")
    os._exit(9)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), NODE], check=False)
    assert done.returncode == 9
    assert len(list((tmp_path / "local").glob("*/desks/*"))) == 1
    with site(tmp_path).open(NODE) as work:
        assert (work.scratch / "checkpoint").read_text() == "half"
        assert list(work.output.iterdir()) == []
        assert list((tmp_path / "local").glob("*/desks/*")) == [work.output.parents[1]]


def test_a_full_disk_is_told_of_with_both_places(tmp_path: Path) -> None:
    store = site(tmp_path)

    def fill() -> None:
        with store.open(NODE):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StoreError, match=r"bytes are free, [\d,]+ on the scratch disk") as caught:
        fill()
    assert str(tmp_path / "local") in str(caught.value)


def test_output_of_a_worker_that_was_robbed_is_not_published(tmp_path: Path) -> None:
    store = site(tmp_path)

    def robbed() -> None:
        with store.open(NODE) as work:
            (work.output / "model.bin").write_text("late")
            (tmp_path / "store" / "locks" / f"{NODE}.lock").unlink()
            with Lease(tmp_path / "store" / "locks" / f"{NODE}.lock"):
                work.publish(Record(NODE, "finetune", "finetune", 1, {}, [], "d", 1))

    with pytest.raises(LeaseLost):
        robbed()
    assert store.get(NODE) is None
    assert copies(tmp_path) == set()
