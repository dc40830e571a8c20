"""Two sites, each with a store of its own, and results between them on a real S3 server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stagetree.core.signature import digest
from stagetree.pipeline.record import Record
from stagetree.pipeline.remote import Remote
from stagetree.pipeline.store import Store
from stagetree.pipeline.transport import Transport

if TYPE_CHECKING:
    from conftest import Bucket

NODE = digest("node")
RUN = ("model=tiny", "debug=short", "stage=distill", "tracker=none", "progress=false")

PUBLISH = """
import sys
from pathlib import Path
from stagetree.pipeline.record import Record
from stagetree.pipeline.remote import Remote
from stagetree.pipeline.store import Store
from stagetree.pipeline.transport import Transport
root, url, node, files = sys.argv[1:]
store = Store(Path(root), remote=Remote(Transport(url)))
with store.open(node) as work:
    for number in range(int(files)):
        (work.output / f"part{number:03}.bin").write_bytes(bytes([number % 251]) * 100_000)
    work.publish(Record(node, "finetune", "finetune", 1, {}, [], "d", 1))
print("published", flush=True)
"""


def site(folder: Path, bucket: Bucket) -> Store:
    return Store(folder / "store", remote=Remote(Transport(bucket.url)))


def put(store: Store, text: str = "weights") -> Record:
    with store.open(NODE) as work:
        (work.output / "model.bin").write_text(text)
        return work.publish(Record(NODE, "finetune", "finetune", 1, {}, [], "d", 1))


def test_what_one_site_computed_is_reused_at_another(
    bucket: Bucket, command_at, tmp_path: Path
) -> None:
    there = {**bucket.environment, "STAGETREE_REMOTE": bucket.url}
    one, two = command_at(tmp_path / "one"), command_at(tmp_path / "two")
    done = one.run(*RUN, **there)
    assert done.returncode == 0, done.stderr
    assert " reused" not in done.stdout
    rows = one.json("store", "ls", "--all", "--remote", bucket.url)
    assert {row["where"] for row in rows} == {"here and remote"}
    scores = {row["signature"]: row["metrics"] for row in rows}
    planned = two.json("plan", f"store.remote={bucket.url}", *RUN)
    assert (planned["stage_executions"], planned["reused"]) == (0, 2)
    assert not two.root.exists()
    again = two.run(*RUN, STAGETREE_SCRATCH=str(tmp_path / "local"), **there)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count(" reused") == 2
    rows = two.json("store", "ls", "--all", "--remote", bucket.url)
    assert {row["signature"]: row["metrics"] for row in rows} == scores
    places = {row["kind"]: row["where"] for row in rows}
    assert places == {"finetune": "remote", "answers": "remote", "distill": "here and remote"}
    fetched = two.json("store", "pull", "--remote", bucket.url)
    assert (fetched["fetched"], fetched["there"]) == (2, 1)
    assert two.json("store", "push", "--remote", bucket.url)["sent"] == 0
    for row in one.json("store", "ls", "--all"):
        for file in Path(row["model_dir"]).rglob("*"):
            copy = two.root / file.relative_to(one.root)
            assert copy.is_dir() or copy.read_bytes() == file.read_bytes()
    local = tmp_path / "disk"
    hotter = (*RUN, "stages.distill.temperature=3")
    assert one.run(*hotter).returncode == 0
    assert two.run(*hotter, STAGETREE_SCRATCH=str(local)).returncode == 0
    assert len(list(local.glob("*/copies/*/model.safetensors"))) == 2  # finetune read, distill made
    made = {row["signature"]: Path(row["model_dir"]) for row in two.json("store", "ls")}
    for row in one.json("store", "ls"):
        weights = Path(row["model_dir"]) / "model.safetensors"
        assert weights.read_bytes() == (made[row["signature"]] / weights.name).read_bytes()


def test_an_upload_that_is_killed_is_never_seen_and_is_finished_later(
    bucket: Bucket, command_at, tmp_path: Path
) -> None:
    root = tmp_path / "one" / "store"
    process = subprocess.Popen(
        [sys.executable, "-c", PUBLISH, str(root), bucket.url, NODE, "120"], env=os.environ
    )
    end = time.monotonic() + 120
    while len(bucket.keys("results/")) < 3:
        assert time.monotonic() < end
        time.sleep(0.005)
    process.kill()
    process.wait()
    sent = bucket.keys("results/")
    assert 3 <= len(sent) < 120
    assert bucket.keys("records/") == []
    other = site(tmp_path / "two", bucket)
    assert not other.has(NODE)
    assert other.fetch(NODE) is None
    assert Store(root).get(NODE) is not None
    done = command_at(tmp_path / "one").json("store", "push", "--remote", bucket.url)
    assert done["sent"] == 1
    fetched = site(tmp_path / "two", bucket).fetch(NODE)
    assert fetched == Store(root).get(NODE)
    assert len(bucket.keys("results/")) == 120


def test_a_damaged_object_is_noticed_not_used_and_replaced(
    bucket: Bucket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(site(tmp_path / "one", bucket))
    (key,) = bucket.keys("results/")
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"weighty")
    two = site(tmp_path / "two", bucket)
    assert two.has(NODE)
    with two.open(NODE) as work:
        assert work.record is None
    assert "model.bin was stored with sha256" in caplog.text
    assert not two.has(NODE)
    put(two)
    assert site(tmp_path / "three", bucket).fetch(NODE) == two.get(NODE)


def test_a_server_that_is_away_costs_one_warning_and_no_result(
    bucket: Bucket, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    store = site(tmp_path / "one", bucket)
    published = put(store)
    assert store.get(NODE) == published
    assert not store.has(digest("another"))
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert "stagetree store push" in caplog.text
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.environment["AWS_ENDPOINT_URL"])
    again = site(tmp_path / "one", bucket)
    again.offer(published)  # as the next run that reuses it
    assert site(tmp_path / "two", bucket).fetch(NODE) == published


def test_a_bucket_that_is_not_there_is_a_server_that_refuses(
    bucket: Bucket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path, remote=Remote(Transport("s3://nobody-has-this/prefix")))
    assert store.get(NODE) is None
    assert put(store) == store.get(NODE)
    assert "cannot be used" in caplog.text
