"""The store and its leases on a file system that behaves like a network's."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stagetree.core import atomic, digests
from stagetree.core.lease import Lease, LeaseLost
from stagetree.core.signature import digest
from stagetree.pipeline.record import Record
from stagetree.pipeline.store import Store, Work

if TYPE_CHECKING:
    from conftest import Client

NODE = digest("node")


def at(folder: Path) -> Store:
    return Store(folder / "store", heartbeat=0.1, grace=1.0)


def finish(work: Work) -> Record:
    (work.output / "weights.bin").write_text("weights")
    return work.publish(Record(NODE, "finetune", "finetune", 1, {}, [], "d", 1))


def put(folder: Path) -> Record:
    with at(folder).open(NODE) as work:
        return finish(work)


def entry(folder: Path) -> Path:
    return at(folder).model_dir(NODE).parent


@pytest.mark.parametrize("forgotten", ["shard", "entry"])
def test_what_another_machine_published_is_seen_under_the_lease(
    folder: Path, client: Client, forgotten: str
) -> None:
    store = at(folder)
    assert store.get(NODE) is None
    published = put(folder)
    client.absent = {str(entry(folder).parent if forgotten == "shard" else entry(folder))}
    with store.open(NODE) as work:
        assert work.record == published


def test_what_another_machine_published_is_seen_once_it_is_announced_as_used(
    folder: Path, client: Client
) -> None:
    published = put(folder)
    client.absent = {str(entry(folder))}
    assert at(folder).get(NODE) is None  # remembered as missing
    with at(folder).using([NODE]):
        assert at(folder).get(NODE) == published


@pytest.mark.parametrize("lost", ["record", "result"])
def test_a_result_whose_rename_was_done_but_not_confirmed_is_published(
    folder: Path, client: Client, lost: str
) -> None:
    with at(folder).open(NODE) as work:
        client.lost = {".record.json" if lost == "record" else work.output.parent.name}
        published = finish(work)
    assert not client.lost
    assert at(folder).get(NODE) == published


def test_a_rename_that_was_not_done_fails(folder: Path) -> None:
    with at(folder).open(NODE) as work:
        work.output.rmdir()
        with pytest.raises(OSError, match="No such file"):
            atomic.write_text(work.output / "a", "text")


def test_a_lease_whose_end_was_not_confirmed_leaves_nothing_behind(
    folder: Path, client: Client
) -> None:
    lease = Lease(folder / "node.lock")
    assert lease.try_acquire()
    client.lost = {"node.lock"}
    lease.release()
    assert not client.lost
    assert list(folder.iterdir()) == []
    with Lease(folder / "node.lock") as again:
        assert again.held()


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ETIMEDOUT])
def test_a_server_that_is_away_for_a_moment_costs_no_lease(
    folder: Path, client: Client, number: int
) -> None:
    with Lease(folder / "node.lock", heartbeat=0.1, grace=5.0) as lease:
        client.answers = {"node.lock": [number, number]}
        lease.check()
        assert client.answers == {"node.lock": []}
        assert lease.held()


def test_a_lease_that_nobody_can_read_is_not_relied_on(folder: Path, client: Client) -> None:
    with Lease(folder / "node.lock", heartbeat=0.1, grace=0.5) as lease:
        client.answers = {"node.lock": [errno.EIO] * 1000}
        with pytest.raises(LeaseLost, match="cannot be read"):
            lease.check()
        client.answers = {}


@pytest.mark.parametrize(
    ("name", "number"),
    [("record.json", errno.ESTALE), ("weights.bin", errno.ESTALE), ("weights.bin", errno.EIO)],
)
def test_a_result_is_not_set_aside_for_one_failed_look(
    folder: Path, client: Client, name: str, number: int
) -> None:
    published = put(folder)
    digests._known.clear()  # as another process, which reads it for the first time
    client.answers = {name: [number]}
    assert at(folder).get(NODE) == published
    assert client.answers == {name: []}
    assert not (folder / "store" / "quarantine").exists()


def test_a_result_that_another_machine_freed_this_moment_is_not_there(
    folder: Path, client: Client
) -> None:
    put(folder)
    client.answers = {"record.json": [errno.ESTALE] * 10}
    assert at(folder).get(NODE) is None
    assert not (folder / "store" / "quarantine").exists()


def test_a_file_that_is_open_elsewhere_does_not_keep_a_result_from_being_freed(
    folder: Path, client: Client
) -> None:
    for _ in range(2):
        put(folder)
        (entry(folder) / ".nfs0001").write_text("open elsewhere")
        store = at(folder)
        assert store.free(NODE, store.last_used(NODE))
        assert store.get(NODE) is None
    remembered = at(folder).recall(NODE)
    assert remembered is not None
    assert remembered.name == "finetune"
