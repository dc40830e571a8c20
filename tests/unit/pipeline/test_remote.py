"""A store behind the store: what is there is had, what cannot be had is computed."""

from __future__ import annotations

import importlib.util
import json
import secrets
from pathlib import Path

import fsspec
import pytest

from stagetree.core.signature import digest
from stagetree.pipeline import transport
from stagetree.pipeline.record import Record
from stagetree.pipeline.remote import Remote
from stagetree.pipeline.store import Store
from stagetree.pipeline.transport import Transport, Unreachable, fault

NODE, OTHER = digest("node"), digest("other")


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return f"memory://{secrets.token_hex(8)}/prefix"
    return (tmp_path / "remote").as_uri()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAUSES", (0.0, 0.0))


def site(place: Path, url: str) -> Store:
    return Store(place, remote=Remote(Transport(url)))


def put(store: Store, text: str = "weights", node: str = NODE) -> Record:
    with store.open(node) as work:
        (work.output / "nested").mkdir()
        (work.output / "nested" / "vocab.txt").write_text("a b")
        (work.output / "model.bin").write_text(text)
        work.examples.write_bytes(b"examples")
        return work.publish(Record(node, "finetune", "finetune", 1, {}, [], "d", 1))


def test_a_published_result_is_had_at_another_site(url: str, tmp_path: Path) -> None:
    published = put(site(tmp_path / "one", url))
    two = site(tmp_path / "two", url)
    assert two.has(NODE)
    assert not two.here(NODE)
    assert two.get(NODE) is None
    assert two.recall(NODE) == published
    assert not (tmp_path / "two").exists()
    assert two.fetch(NODE) == published
    assert two.here(NODE)
    assert (two.model_dir(NODE) / "nested" / "vocab.txt").read_text() == "a b"
    assert (two.model_dir(NODE).parent / "examples.jsonl.gz").read_bytes() == b"examples"
    assert list((tmp_path / "two" / "partial").rglob("*.bin")) == []


def test_opening_a_node_fetches_it_and_there_is_nothing_to_do(url: str, tmp_path: Path) -> None:
    published = put(site(tmp_path / "one", url))
    with site(tmp_path / "two", url).open(NODE) as work:
        assert work.record == published


def test_of_two_that_publish_the_same_the_first_record_counts(url: str, tmp_path: Path) -> None:
    one, two = site(tmp_path / "one", url), Store(tmp_path / "two")
    first, second = put(one, "first"), put(two, "second")
    late = Remote(Transport(url))
    assert not late.push(NODE, two.model_dir(NODE).parent)
    three = site(tmp_path / "three", url)
    assert three.fetch(NODE) == first != second
    assert (three.model_dir(NODE) / "model.bin").read_text() == "first"


def test_two_that_upload_at_once_never_mix_their_files(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    first, second = put(one, "first"), put(two, "second")
    line = Transport(url)
    write = line.write

    def late(name: str, data: bytes) -> None:
        assert Remote(Transport(url)).push(NODE, two.model_dir(NODE).parent)
        write(name, data)

    monkeypatch.setattr(line, "write", late)
    Remote(line).push(NODE, one.model_dir(NODE).parent)
    assert site(tmp_path / "three", url).fetch(NODE) in (first, second)


@pytest.mark.parametrize("damage", ["size", "content", "missing"])
def test_a_damaged_result_is_not_used_and_replaced(
    url: str, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(site(tmp_path / "one", url))
    fs, path = fsspec.core.url_to_fs(url)
    (file,) = [name for name in fs.find(path) if name.endswith("model.bin")]
    if damage == "missing":
        fs.rm(file)
    else:
        fs.pipe_file(file, b"weighty" if damage == "content" else b"w")
    two = site(tmp_path / "two", url)
    assert two.fetch(NODE) is None
    assert "model.bin" in caplog.text
    assert not two.has(NODE)
    with two.open(NODE) as work:
        assert work.record is None
    published = put(two)
    assert site(tmp_path / "three", url).fetch(NODE) == published


@pytest.mark.parametrize(
    "text", ["", "{", "[]", json.dumps({"signature": NODE}), "\x00" * 20, "another's", "outside"]
)
def test_a_record_that_cannot_be_read_is_none(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = (tmp_path / "remote").as_uri()
    put(site(tmp_path / "one", url))
    record = tmp_path / "remote" / "records" / f"{NODE}.json"
    fields = json.loads(record.read_text())
    changed = {"another's": {"signature": OTHER}, "outside": {"model_dir": "../../x"}}
    if text in changed:
        text = json.dumps({**fields, **changed[text]})
    record.write_text(text)
    two = site(tmp_path / "two", url)
    assert two.fetch(NODE) is None
    assert "is not used" in caplog.text
    assert put(two) == two.get(NODE)
    assert site(tmp_path / "three", url).fetch(NODE) == two.get(NODE)


def test_an_upload_that_was_cut_short_goes_on_and_was_never_seen(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Transport(url)
    store = Store(tmp_path / "one", remote=Remote(line))
    sent: list[str] = []
    upload = line.upload

    def cut(source: Path, name: str) -> None:
        if sent:
            raise Unreachable("cut")
        sent.append(name)
        upload(source, name)

    monkeypatch.setattr(line, "upload", cut)
    published = put(store)
    assert not site(tmp_path / "two", url).has(NODE)
    again = Transport(url)

    def counted(source: Path, name: str) -> None:
        sent.append(name)
        upload(source, name)

    monkeypatch.setattr(again, "upload", counted)
    assert Remote(again).push(NODE, store.model_dir(NODE).parent)
    assert len(sent) == len(set(sent)) == 3
    assert site(tmp_path / "two", url).fetch(NODE) == published


def test_a_place_that_fails_is_tried_again_then_left_alone_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    line = Transport("memory://nowhere/prefix")
    asked: list[int] = []

    class Down:
        def info(self, path: str) -> None:
            asked.append(1)
            raise ConnectionError("no route to host")

    monkeypatch.setattr(line, "_filesystem", lambda: (Down(), "prefix"))
    store = Store(tmp_path, remote=Remote(line))
    for node in (NODE, OTHER):
        assert not store.has(node)
        assert store.fetch(node) is None
        published = put(store, node=node)
        store.offer(published)
        assert store.get(node) == published
    assert len(asked) == 3
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no route to host" in caplog.text


def test_one_listing_answers_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = (tmp_path / "remote").as_uri()
    published = put(site(tmp_path / "one", url))
    line = Transport(url)
    found = Remote(line)
    assert found.listed() == {NODE}
    monkeypatch.setattr(line, "exists", lambda name: pytest.fail("asked again"))
    assert (found.has(NODE), found.has(OTHER)) == (True, False)
    assert list(found.records([NODE, OTHER])) == [published]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("bucket/prefix", "expected a URL such as s3://bucket/prefix"),
        ("s4://bucket", "unknown protocol 's4'"),
        ("s3://", "expected a bucket or directory"),
        ("gs://bucket/prefix", "needs a package that is not installed"),
    ],
)
def test_what_is_no_address_is_refused(url: str, message: str) -> None:
    if url.startswith("gs") and importlib.util.find_spec("gcsfs"):
        pytest.skip("gcsfs is installed")
    assert message in fault(url)


def test_what_is_an_address_is_accepted_without_being_opened(tmp_path: Path) -> None:
    assert fault("memory://a/b") == fault((tmp_path / "none").as_uri()) == ""
    assert not (tmp_path / "none").exists()
