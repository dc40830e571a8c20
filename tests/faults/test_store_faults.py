"""Stores whose workers are killed and paused, whose files rot, whose disk is full or read-only."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from stagetree.core.signature import digest
from stagetree.pipeline.record import Record
from stagetree.pipeline.store import Store

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.faults
NODE = digest("node")

PRELUDE = f"""
import os, sys, time
from pathlib import Path
from stagetree.core.atomic import append_line
from stagetree.pipeline.record import Record
from stagetree.pipeline.store import Store
NODE = {NODE!r}
root = Path(sys.argv[1])
store = Store(root, heartbeat=0.1, grace=1.0)
RECORD = Record(NODE, "finetune", "finetune", 1, {{}}, [], "d", 1)
"""

WORKER = (
    PRELUDE
    + """
with store.open(NODE) as work:
    if work.record is None:
        append_line(root.parent / "log", str(os.getpid()))
        work.append_curve({"fraction": 0.5})
        (work.scratch / "checkpoint").write_text("half")
        (work.output / "model.bin").write_text(sys.argv[2] * 1_000_000)
        print("computing", flush=True)
        if sys.argv[3] == "wait":
            sys.stdin.readline()
        else:
            time.sleep(float(sys.argv[3]))
        work.publish(RECORD)
print("done", flush=True)
"""
)

FILL = (
    PRELUDE
    + """
size = int(sys.argv[2])
with store.open(NODE) as work:
    (work.scratch / "checkpoint").write_text("half")
    with (work.output / "model.bin").open("wb", buffering=0) as file:
        for _ in range(size // 1000):
            file.write(b"x" * 1000)
    work.publish(RECORD)
"""
)

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", heartbeat=0.1, grace=1.0)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    return line or process.communicate()[1]


def put(store: Store, text: str = "weights") -> Record:
    with store.open(NODE) as work:
        (work.output / "nested").mkdir()
        (work.output / "nested" / "vocab.txt").write_text("a")
        (work.output / "model.bin").write_text(text)
        return work.publish(Record(NODE, "finetune", "finetune", 1, {}, [], "d", 1))


def seen_afresh(start: Start, store: Store) -> str:
    """What a process that has not read the files yet finds."""
    code = PRELUDE + "found = store.get(NODE)\nprint('nothing' if found is None else 'found')"
    output, errors = start(code, store.root).communicate()
    return output.strip() + errors


def test_a_killed_worker_is_replaced_at_once_and_its_scratch_is_kept(start, store) -> None:
    patient = Store(store.root, heartbeat=2, grace=600)
    worker = start(WORKER, store.root, "first", "wait")
    assert said(worker) == "computing"
    worker.kill()
    before = time.monotonic()
    with patient.open(NODE) as work:
        assert time.monotonic() - before < 60  # a tenth of the grace, on however busy a machine
        assert work.record is None
        assert (work.scratch / "checkpoint").read_text() == "half"
        assert work.read_curve() == [{"fraction": 0.5}]
        assert list(work.output.iterdir()) == []
        assert sorted(path.name for path in work.scratch.parent.iterdir()) == sorted(
            ["scratch", work.output.parent.name]
        )
    assert patient.get(NODE) is None


def test_a_worker_killed_at_any_moment_leaves_a_whole_result_or_none(start, store) -> None:
    for pause in (0.0, 0.002, 0.005, 0.01, 0.02):
        worker = start(WORKER, store.root, "xyz", "0")
        assert said(worker) == "computing"
        time.sleep(pause)
        worker.kill()
        worker.wait()
        outcome = seen_afresh(start, store)
        if (store.root / NODE[:2] / NODE).exists():
            assert outcome == "found"
            assert (store.model_dir(NODE) / "model.bin").stat().st_size == 3_000_000
            store.remove(NODE)
        else:
            assert outcome == "nothing"
        assert not (store.root / "quarantine").exists()


def test_a_paused_worker_that_wakes_up_cannot_overwrite(start, store) -> None:
    worker = start(WORKER, store.root, "late", "wait")
    assert said(worker) == "computing"
    worker.send_signal(signal.SIGSTOP)
    published = put(store, "in time")
    before = {
        path: path.read_bytes() for path in store.model_dir(NODE).rglob("*") if path.is_file()
    }
    worker.send_signal(signal.SIGCONT)
    _, errors = worker.communicate("go on\n")
    assert worker.returncode == 1
    assert "LeaseLost" in errors.splitlines()[-1]
    assert {path: path.read_bytes() for path in before} == before
    assert store.get(NODE) == published
    assert seen_afresh(start, store) == "found"
    assert not (store.root / "partial" / NODE).exists()


def test_workers_that_want_the_same_node_compute_it_once(start, store) -> None:
    workers = [start(WORKER, store.root, "same", "0.3") for _ in range(5)]
    ends = [worker.communicate(timeout=240) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 5, ends
    assert len((store.root.parent / "log").read_text().split()) == 1
    assert store.get(NODE) is not None
    assert list((store.root / "locks").iterdir()) == []


def _truncate(entry: Path) -> None:
    (entry / "model" / "model.bin").write_text("wei")


def _flip(entry: Path) -> None:
    path = entry / "model" / "model.bin"
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)


def _lose(entry: Path) -> None:
    (entry / "model" / "nested" / "vocab.txt").unlink()


def _scribble(entry: Path) -> None:
    (entry / "record.json").write_text('{"signature": ')


def _swap(entry: Path) -> None:
    text = (entry / "record.json").read_text().replace(NODE, digest("other"))
    (entry / "record.json").write_text(text)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (_truncate, "model.bin was stored with 7 bytes but has 3"),
        (_flip, "model.bin was stored with sha256"),
        (_lose, "nested/vocab.txt is missing"),
        (_scribble, "expected a JSON object"),
        (_swap, "got another's"),
    ],
)
@pytest.mark.parametrize("afresh", [True, False])
def test_a_damaged_result_is_set_aside_and_computed_again(
    start, store, harm: Callable[[Path], None], reason: str, afresh: bool
) -> None:
    put(store)
    harm(store.root / NODE[:2] / NODE)
    if afresh:
        assert seen_afresh(start, store).startswith("nothing")
    else:
        assert store.get(NODE) is None
    (aside,) = (store.root / "quarantine").iterdir()
    assert aside.name == f"{NODE}-1"
    assert reason in (aside / "reason.txt").read_text()
    assert (aside / "model").is_dir()
    again = put(store)
    assert store.get(NODE) == again
    assert seen_afresh(start, store) == "found"


def test_damage_done_while_waiting_is_found_under_the_lease(store) -> None:
    put(store)
    _truncate(store.root / NODE[:2] / NODE)
    with store.open(NODE) as work:
        assert work.record is None
    assert len(list((store.root / "quarantine").iterdir())) == 1


def _private_mounts() -> tuple[str, ...]:
    """The command that runs another with mounts nobody else sees."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare command to mount a small disk with")
    probe = ("unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /mnt")
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not permit private mounts")
    return ("unshare", "-m", "sh", "-c")


def test_a_full_disk_is_named_and_nothing_is_half_published(start, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        f'mount -t tmpfs -o size=2m tmpfs {disk}; "$@" 5000000; code=$?; '
        f"cd {disk}/store; find . -type f; exit $code"
    )
    worker = start(FILL, disk / "store", before=(*_private_mounts(), script, "sh"))
    output, errors = worker.communicate()
    assert worker.returncode == 1
    last = errors.splitlines()[-1]
    assert "StoreError: no space left" in last
    assert str(disk / "store") in last
    assert "bytes are free" in last
    assert "paths.root=DIR" in last
    assert output.split() == [f"./partial/{NODE}/scratch/checkpoint"]


def test_a_disk_that_fills_while_publishing_keeps_the_scratch(start, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    code = FILL.replace(
        "    work.publish(RECORD)",
        "    filler = open(root.parent / 'filler', 'wb', buffering=0)\n"
        "    try:\n        while True: filler.write(b'x' * 4096)\n"
        "    except OSError: pass\n    work.publish(RECORD)",
    )
    script = (
        f'mount -t tmpfs -o size=2m tmpfs {disk}; "$@" 100000; code=$?; '
        f"cd {disk}/store; find . -type f; exit $code"
    )
    worker = start(code, disk / "store", before=(*_private_mounts(), script, "sh"))
    output, errors = worker.communicate()
    assert worker.returncode == 1
    assert "StoreError: no space left" in errors.splitlines()[-1]
    assert output.split() == [f"./partial/{NODE}/scratch/checkpoint"]


def test_a_file_size_limit_is_a_full_disk(start, store) -> None:
    limit = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
    )
    _, errors = start(limit + FILL, store.root, 100_000).communicate()
    assert "StoreError: no space left" in errors.splitlines()[-1]
    assert store.get(NODE) is None
    assert (store.root / "partial" / NODE / "scratch" / "checkpoint").read_text() == "half"
    put(store)


def test_from_a_read_only_store_results_are_read_and_open_says_what_to_do(start, store) -> None:
    put(store)
    code = (
        PRELUDE
        + "print(store.get(NODE) is not None, len(list(store.records())), flush=True)\n"
        + "with store.open('0' * 64): pass"
    )
    script = f'mount --bind {store.root} {store.root}; mount -o remount,ro,bind {store.root}; "$@"'
    worker = start(code, store.root, before=(*_private_mounts(), script, "sh"))
    output, errors = worker.communicate()
    assert output == "True 1\n"
    last = errors.splitlines()[-1]
    assert f"StoreError: store at {store.root} is read-only" in last
    assert "paths.root=DIR" in last


def test_damage_in_a_read_only_store_is_not_a_result(start, store) -> None:
    put(store)
    _truncate(store.root / NODE[:2] / NODE)
    code = PRELUDE + "print(store.get(NODE))"
    script = f'mount --bind {store.root} {store.root}; mount -o remount,ro,bind {store.root}; "$@"'
    output, errors = start(
        code, store.root, before=(*_private_mounts(), script, "sh")
    ).communicate()
    assert output == "None\n", errors
    assert "is damaged" in errors
