from __future__ import annotations

import threading
from pathlib import Path

import pytest

from stagetree.pipeline.compose import compose
from stagetree.pipeline.shared import Shared
from stagetree.pipeline.store import Store

FIELDS = {"split": "train", "max_length": 128}


@pytest.fixture
def pipeline(in_project):
    return compose(in_project(["stage=distill", "stages.distill.temperature=4"]))


@pytest.fixture
def sharing(tmp_path, pipeline):
    def make(store=None, pipeline=pipeline, waiting=lambda seconds: None):
        store = store or Store(tmp_path / "store")
        return Shared(store, pipeline, pipeline.nodes[-1], waiting)

    return make


def writer(times: list[Path]):
    def make(directory: Path) -> None:
        times.append(directory)
        (directory / "answers.txt").write_text("42")

    return make


def test_it_is_made_once_and_read_ever_after(sharing, in_project, tmp_path) -> None:
    made: list[Path] = []
    place = sharing()("answers", 1, FIELDS, ["teacher"], writer(made))
    assert (place / "answers.txt").read_text() == "42"
    other = compose(in_project(["stage=distill", "stages.distill.alpha=0.9"]))
    assert sharing(pipeline=other)("answers", 1, FIELDS, ["teacher"], writer(made)) == place
    assert len(made) == 1
    [record] = Store(tmp_path / "store").records()
    assert (record.kind, record.name, record.shared, record.metrics) == ("answers", "", True, {})
    assert list(record.inputs) == [other.nodes[0].signature]


def test_what_decides_it_tells_it_apart(sharing, in_project) -> None:
    made: list[Path] = []
    other = compose(in_project(["stage=distill", "stages.finetune.learning_rate=1e-5"]))
    sharing()("answers", 1, FIELDS, ["teacher"], writer(made))
    sharing()("answers", 2, FIELDS, ["teacher"], writer(made))
    sharing()("answers", 1, {**FIELDS, "max_length": 64}, ["teacher"], writer(made))
    sharing(pipeline=other)("answers", 1, FIELDS, ["teacher"], writer(made))
    assert len(made) == 4


def test_a_half_made_one_is_never_seen_and_a_damaged_one_made_again(sharing, tmp_path) -> None:
    def fail(directory: Path) -> None:
        (directory / "answers.txt").write_text("4")
        raise RuntimeError("no power")

    with pytest.raises(RuntimeError, match="no power"):
        sharing()("answers", 1, FIELDS, ["teacher"], fail)
    assert list(Store(tmp_path / "store").records()) == []
    made: list[Path] = []
    place = sharing()("answers", 1, FIELDS, ["teacher"], writer(made))
    (place / "answers.txt").write_text("43")
    assert sharing()("answers", 1, FIELDS, ["teacher"], writer(made)) == place
    assert (place / "answers.txt").read_text() == "42"
    assert len(made) == 2


def test_two_workers_at_once_make_it_once(sharing, tmp_path) -> None:
    made: list[Path] = []
    begun, waited = threading.Event(), threading.Event()

    def slow(directory: Path) -> None:
        begun.set()
        assert waited.wait(30)
        writer(made)(directory)

    store = Store(tmp_path / "store")
    first = threading.Thread(target=sharing(store), args=("answers", 1, FIELDS, ["teacher"], slow))
    first.start()
    assert begun.wait(30)
    second = sharing(Store(tmp_path / "store"), waiting=lambda seconds: waited.set())
    place = second("answers", 1, FIELDS, ["teacher"], writer(made))
    first.join()
    assert len(made) == 1
    assert (place / "answers.txt").read_text() == "42"
