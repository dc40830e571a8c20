"""The store: what was published is found, whole, and nothing else is."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from stagetree.core.errors import StoreError, TrialPruned
from stagetree.core.lease import LeaseLost
from stagetree.core.signature import digest
from stagetree.pipeline.record import Record
from stagetree.pipeline.store import Store, Work
from stagetree.tasks.examples import Examples

NODE = digest("node")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", heartbeat=0.1, grace=1.0)


def record(signature: str = NODE, **fields: object) -> Record:
    base: dict[str, object] = {
        "kind": "finetune", "name": "finetune", "version": 1, "config": {"epochs": 1}, "inputs": [],
        "data": "d", "seed": 1, "metrics": {"f1": 0.5},
    }  # fmt: skip
    return Record(signature=signature, **{**base, **fields})  # type: ignore[arg-type]


def fill(work: Work, text: str = "weights") -> None:
    (work.output / "nested").mkdir()
    (work.output / "nested" / "vocab.txt").write_text("a\nb\n")
    (work.output / "model.safetensors").write_text(text)


def put(store: Store, signature: str = NODE, **fields: object) -> Record:
    with store.open(signature) as work:
        fill(work)
        return work.publish(record(signature, **fields))


def test_what_is_published_is_found_with_its_files(store: Store) -> None:
    published = put(store)
    found = Store(store.root).get(NODE)
    assert found == published
    assert found.metrics == {"f1": 0.5}
    assert sorted(found.files) == ["model.safetensors", "nested/vocab.txt"]
    assert found.files["nested/vocab.txt"].bytes == 4
    assert found.created
    assert (store.model_dir(NODE) / "model.safetensors").read_text() == "weights"
    assert store.size(NODE) > found.bytes > 0
    assert not (store.root / "partial" / NODE).exists()
    assert list((store.root / "locks").iterdir()) == []


def test_what_was_predicted_is_found_beside_the_record(store: Store) -> None:
    examples = Examples(["a", "b"], ["a", "a"])
    with store.open(NODE) as work:
        fill(work)
        examples.write(work.examples)
        work.publish(record())
    assert store.examples(NODE) == examples
    assert store.size(NODE) > store.get(NODE).bytes


def test_predictions_that_are_missing_or_damaged_harm_nothing(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    put(store)
    assert store.examples(NODE) is None
    assert not caplog.records
    (store.model_dir(NODE).parent / "examples.jsonl.gz").write_bytes(b"rubbish")
    assert store.examples(NODE) is None
    assert "examples are left out" in caplog.text
    assert store.get(NODE) is not None


def test_nothing_is_written_by_looking(store: Store) -> None:
    assert store.get(NODE) is None
    assert list(store.records()) == []
    assert store.size(NODE) == 0
    assert not store.root.exists()


def test_a_published_node_has_nothing_to_do(store: Store) -> None:
    published = put(store)
    with store.open(NODE) as work:
        assert work.record == published
        with pytest.raises(StoreError, match="published already"):
            work.publish(record())


@pytest.mark.parametrize("error", [TrialPruned("cut"), KeyboardInterrupt(), ValueError("bug")])
def test_a_failed_attempt_keeps_its_scratch_and_drops_its_output(
    store: Store, error: BaseException
) -> None:
    def attempt() -> None:
        with store.open(NODE) as work:
            fill(work)
            (work.scratch / "checkpoint").write_text("half")
            work.append_curve({"fraction": 0.5, "metrics": {"f1": 0.1}})
            raise error

    with pytest.raises(type(error)):
        attempt()
    assert [path.name for path in (store.root / "partial" / NODE).iterdir()] == ["scratch"]
    assert store.get(NODE) is None
    with store.open(NODE) as work:
        assert (work.scratch / "checkpoint").read_text() == "half"
        assert work.read_curve() == [{"fraction": 0.5, "metrics": {"f1": 0.1}}]
        assert list(work.output.iterdir()) == []


def test_a_torn_line_of_the_curve_spoils_only_itself(store: Store) -> None:
    with store.open(NODE) as work:
        assert work.read_curve() == []
        work.append_curve({"fraction": 0.25})
        with (work.scratch / "curve.jsonl").open("ab") as file:
            file.write(b'{"fraction": 0.5, "m\xc3')
        assert work.read_curve() == [{"fraction": 0.25}]
        work.append_curve({"fraction": 0.75})
        assert work.read_curve() == [{"fraction": 0.25}, {"fraction": 0.75}]
        with pytest.raises(ValueError, match="JSON compliant"):
            work.append_curve({"fraction": float("nan")})


def test_an_empty_output_or_anothers_record_is_refused(store: Store) -> None:
    with store.open(NODE) as work:
        with pytest.raises(StoreError, match="expected the stage to fill"):
            work.publish(record())
        fill(work)
        with pytest.raises(StoreError, match="expected the record of"):
            work.publish(record(digest("other")))
        work.publish(record())


def test_a_waiter_is_told_and_gets_the_result(store: Store) -> None:
    waits: list[float] = []
    started = threading.Event()

    def compute() -> None:
        with Store(store.root).open(NODE) as work:
            started.set()
            time.sleep(1.5)
            fill(work)
            work.publish(record())

    thread = threading.Thread(target=compute)
    thread.start()
    started.wait()
    with store.open(NODE, waiting=waits.append) as work:
        assert work.record is not None
    thread.join()
    assert waits
    assert waits == sorted(waits)


def test_a_waiter_may_give_up(store: Store) -> None:
    def give_up(seconds: float) -> None:
        raise TimeoutError(f"after {seconds > 0}")

    with store.open(NODE), pytest.raises(TimeoutError), store.open(NODE, waiting=give_up):
        pass


def test_a_node_that_was_taken_over_cannot_be_published(store: Store) -> None:
    lock = store.root / "locks" / f"{NODE}.lock"
    with store.open(NODE) as work:
        fill(work, "late")
        lock.unlink()
        first = put(store, metrics={"f1": 0.9})
        with pytest.raises(LeaseLost):
            work.append_curve({"fraction": 1.0})
        with pytest.raises(LeaseLost):
            work.publish(record())
    assert store.get(NODE) == first
    assert (store.model_dir(NODE) / "model.safetensors").read_text() == "weights"


def test_writing_to_an_area_that_a_successor_removed_says_so(store: Store) -> None:
    def attempt() -> None:
        with store.open(NODE) as work:
            (store.root / "locks" / f"{NODE}.lock").unlink()
            with store.open(NODE):
                pass
            (work.output / "model.safetensors").write_text("late")

    with pytest.raises(LeaseLost):
        attempt()


def test_an_error_of_the_block_that_is_not_ours_passes(store: Store) -> None:
    with pytest.raises(FileNotFoundError), store.open(NODE):
        Path("/nonexistent/file").read_text()


def test_a_directory_without_record_is_not_a_result_and_is_replaced(store: Store) -> None:
    put(store)
    (store.root / NODE[:2] / NODE / "record.json").unlink()
    assert store.get(NODE) is None
    assert list(store.records()) == []
    again = put(store)
    assert store.get(NODE) == again
    (aside,) = (store.root / "quarantine").iterdir()
    assert "no record.json" in (aside / "reason.txt").read_text()


def test_find_wants_a_unique_beginning(store: Store) -> None:
    base = NODE[:40]
    one, two = base + "0" * 24, base + "1" * 24
    put(store, one)
    put(store, two)
    assert store.find(one[:41]) == one
    assert store.find(two.upper()) == two
    with pytest.raises(StoreError, match="begins 2 of them") as caught:
        store.find(base[:3])
    assert "Give more digits" in str(caught.value)
    for prefix in ("ffff" if not base.startswith("f") else "0000", "", "../..", "*"):
        with pytest.raises(StoreError, match="expected the first digits"):
            store.find(prefix)


@pytest.mark.parametrize("signature", ["", "abc", "../" + "a" * 61, "A" * 64, "a" * 65])
def test_only_signatures_name_directories(store: Store, signature: str) -> None:
    with pytest.raises(StoreError, match="64 hexadecimal digits"):
        store.get(signature)


def test_a_removed_result_is_gone_and_its_neighbour_is_not(store: Store) -> None:
    other = digest("other")
    put(store)
    put(store, other)
    store.remove(NODE)
    store.remove(NODE)
    assert store.get(NODE) is None
    assert [item.signature for item in store.records()] == [other]
    assert not (store.root / "partial" / NODE).exists()


def test_records_of_some_results_are_those_that_are_there(store: Store) -> None:
    put(store)
    put(store, digest("other"))
    wanted = [digest("missing"), digest("other")]
    assert [item.signature for item in store.records(wanted)] == [digest("other")]


def test_a_malformed_record_is_left_out_of_the_list(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    put(store)
    put(store, digest("other"))
    (store.root / NODE[:2] / NODE / "record.json").write_text("{")
    assert [item.signature for item in store.records()] == [digest("other")]
    assert "record.json" in caplog.text


def test_clean_partial_keeps_what_is_young_or_in_use(store: Store) -> None:
    old, young, used = digest("old"), digest("young"), digest("used")
    for signature in (old, young):
        with store.open(signature) as work:
            (work.scratch / "checkpoint").write_text("x" * 1000)
    stray = store.root / "partial" / young / "dead" / "model"
    stray.mkdir(parents=True)
    (stray / "weights").write_text("y" * 500)
    past = time.time() - 30 * 24 * 3600
    for path in (store.root / "partial" / old).rglob("*"):
        os.utime(path, (past, past))
    os.utime(store.root / "partial" / old / "scratch", (past, past))
    with store.open(used) as work:
        (work.output / "weights").write_text("z")
        assert store.clean_partial() == 1500
        assert (work.output / "weights").exists()
    assert not (store.root / "partial" / old).exists()
    assert not stray.exists()
    assert (store.root / "partial" / young / "scratch" / "checkpoint").exists()
    assert store.clean_partial(older_than=-1) == 1000


def test_thousands_of_results_are_streamed(store: Store) -> None:
    template = put(store).to_json()
    for number in range(2000):
        signature = digest(number)
        entry = store.root / signature[:2] / signature
        entry.mkdir(parents=True)
        (entry / "record.json").write_text(json.dumps({**template, "signature": signature}))
    start = time.perf_counter()
    stream = store.records()
    next(stream)
    assert time.perf_counter() - start < 1
    assert sum(1 for _ in stream) == 2000
    assert store.find(digest(7)[:16]) == digest(7)
