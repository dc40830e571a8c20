"""A configuration's store: what stands behind it is checked first, and changes no result."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from stagetree.core.errors import ConfigError
from stagetree.pipeline.compose import compose
from stagetree.pipeline.needs import bring
from stagetree.pipeline.nodes import Pipeline
from stagetree.pipeline.opening import store_of
from stagetree.pipeline.record import Record
from stagetree.pipeline.remote import Remote
from stagetree.pipeline.store import Store
from stagetree.pipeline.transport import Transport

WORDS = ["model=tiny", "debug=short", "stage=[finetune,distill,quantize]"]


@pytest.mark.parametrize(
    ("word", "path", "message"),
    [
        ("store.remote=memry://a/b", "store.remote", "Did you mean 'memory'?"),
        ("store.remote=bucket", "store.remote", "expected a URL such as s3://bucket/prefix"),
        ("store.scratch_gb=0", "store.scratch_gb", "expected a positive number"),
    ],
)
def test_a_wrong_place_is_refused_before_anything_runs(in_project, word, path, message) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(in_project([*WORDS, word]))
    (fault,) = caught.value.faults
    assert fault.path == path
    assert message in fault.message


def test_a_protocol_that_is_not_installed_names_the_extra(in_project, monkeypatch) -> None:
    import fsspec

    def missing(protocol: str) -> None:
        raise ImportError(f"Install s3fs to access {protocol}")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    with pytest.raises(ConfigError, match=r'pip install "stagetree\[s3\]"'):
        compose(in_project([*WORDS, "store.remote=s3://bucket/a"]))


def test_where_results_are_is_part_of_no_signature(in_project, tmp_path: Path) -> None:
    plain = compose(in_project(WORDS))
    moved = ["store.remote=memory://a/b", f"paths.scratch={tmp_path}", "store.scratch_gb=1"]
    other = compose(in_project([*WORDS, *moved]))
    assert [node.signature for node in plain.nodes] == [node.signature for node in other.nodes]


def test_the_environment_names_them_too_and_nothing_is_opened(
    in_project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store_of(in_project(WORDS)).remote is None
    monkeypatch.setenv("STAGETREE_REMOTE", (tmp_path / "remote").as_uri())
    monkeypatch.setenv("STAGETREE_SCRATCH", str(tmp_path / "scratch"))
    store = store_of(in_project([*WORDS, f"paths.root={tmp_path}/runs"]))
    assert store.remote is not None
    assert store.remote.url == (tmp_path / "remote").as_uri()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def run(in_project) -> Pipeline:
    return compose(in_project(WORDS))


@pytest.fixture
def url() -> str:
    return f"memory://{secrets.token_hex(8)}/prefix"


def publish(place: Path, url: str, run: Pipeline, *names: str) -> None:
    """Compute stages at a site that shares its results."""
    store = Store(place, remote=Remote(Transport(url)))
    for node in run.nodes:
        if node.name in names:
            with store.open(node.signature) as work:
                (work.output / "model.bin").write_text(node.name)
                work.publish(
                    Record(node.signature, "finetune", node.name, 1, {}, list(node.inputs), "d", 1)
                )


def here(store: Store, run: Pipeline) -> list[str]:
    return [node.name for node in run.nodes if store.here(node.signature)]


@pytest.mark.parametrize(
    ("remote", "computed", "fetched", "told"),
    [
        ((), ["finetune", "distill", "quantize"], [], []),
        (("finetune",), ["distill", "quantize"], ["finetune"], []),
        (("finetune", "distill"), ["quantize"], ["distill"], ["finetune"]),
        (("finetune", "distill", "quantize"), [], ["quantize"], ["finetune", "distill"]),
    ],
)
def test_only_models_that_a_run_uses_are_fetched(
    run: Pipeline, url: str, tmp_path: Path, remote, computed, fetched, told
) -> None:
    publish(tmp_path / "one", url, run, *remote)
    store = Store(tmp_path / "two", remote=Remote(Transport(url)))
    brought = bring(run, store)
    names = {node.signature: node.name for node in run.nodes}
    assert sorted(names[key] for key in brought.computed) == sorted(computed)
    assert here(store, run) == fetched
    assert sorted(record.name for record in brought.told.values()) == sorted(told)


def test_what_turns_out_damaged_is_computed_from_inputs_that_are_fetched_then(
    run: Pipeline, url: str, tmp_path: Path
) -> None:
    publish(tmp_path / "one", url, run, "finetune", "distill", "quantize")
    line = Transport(url)
    fs, path = line._filesystem()
    last = run.nodes[-1].signature
    (file,) = [name for name in fs.find(path) if f"{last}/" in name]
    fs.pipe_file(file, b"nonsense")
    store = Store(tmp_path / "two", remote=Remote(line))
    brought = bring(run, store)
    assert brought.computed == {last}
    assert here(store, run) == ["distill"]
