from __future__ import annotations

import json
import subprocess
import sys

import pytest

from stagetree.training.limits import FILE, Limit, Limits, shape

NEEDS = {"device": "a GPU", "batch_size": 16, "max_length": 128}


def test_nothing_is_known_and_nothing_written_at_first(tmp_path):
    limits = Limits(tmp_path / FILE, NEEDS)
    assert limits.read() == Limit()
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_is_read_by_equal_needs_only(tmp_path):
    path = tmp_path / "not there yet" / FILE
    Limits(path, NEEDS).lower("micro_batch_size", 4)
    Limits(path, NEEDS).fail()
    assert Limits(path, dict(reversed(NEEDS.items()))).read() == Limit(4, 0, 1)
    assert Limits(path, {**NEEDS, "max_length": 64}).read() == Limit()


def test_sizes_only_fall_and_failures_end_with_a_success(tmp_path):
    limits = Limits(tmp_path / FILE, NEEDS)
    for size in (8, 2, 4):
        limits.lower("eval_batch_size", size)
    limits.fail()
    limits.fail()
    assert limits.read() == Limit(eval_batch_size=2, failures=2)
    limits.succeed()
    assert limits.read() == Limit(eval_batch_size=2)


def test_a_person_can_read_what_a_limit_is_about(tmp_path):
    Limits(tmp_path / FILE, NEEDS).lower("micro_batch_size", 4)
    [entry] = json.loads((tmp_path / FILE).read_text()).values()
    assert entry["needs"] == NEEDS
    assert entry["micro_batch_size"] == 4


def test_deleting_the_file_forgets(tmp_path):
    limits = Limits(tmp_path / FILE, NEEDS)
    limits.fail()
    limits.path.unlink()
    assert limits.read() == Limit()


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}', "\x00"])
def test_a_damaged_file_is_nothing_known_and_is_replaced(tmp_path, content):
    limits = Limits(tmp_path / FILE, NEEDS)
    limits.path.write_text(content)
    assert limits.read() == Limit()
    limits.lower("micro_batch_size", 4)
    assert limits.read() == Limit(4)


def test_a_damaged_limit_is_nothing_known(tmp_path):
    limits = Limits(tmp_path / FILE, NEEDS)
    limits.lower("micro_batch_size", 4)
    limits.path.write_text(limits.path.read_text().replace(": 4", ': "four"'))
    assert limits.read() == Limit()


def test_no_room_to_write_is_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    Limits(tmp_path / "file" / FILE, NEEDS).lower("micro_batch_size", 4)
    assert "cannot keep the memory limit" in caplog.text


def test_workers_at_the_same_time_lose_nothing(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from stagetree.training.limits import Limits\n"
        f"path, needs = Path({str(tmp_path / FILE)!r}), {NEEDS!r}\n"
        "for number in range(10):\n"
        "    Limits(path, needs).fail()\n"
        "    Limits(path, {'worker': sys.argv[1]}).lower('micro_batch_size', 10 - number)\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(number)]) for number in range(4)]
    assert [worker.wait(timeout=120) for worker in workers] == [0] * 4
    assert Limits(tmp_path / FILE, NEEDS).read().failures == 40
    for number in range(4):
        assert Limits(tmp_path / FILE, {"worker": str(number)}).read() == Limit(1)


def test_models_of_one_shape_are_alike(tmp_path):
    config = {
        "hidden_size": 64,
        "hidden_dropout_prob": 0.1,
        "_name_or_path": "here",
        "id2label": {"0": "O"},
    }

    def shape_of(**changes):
        (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
        return shape(tmp_path)

    same = shape_of()
    assert shape_of(hidden_dropout_prob=0.2, _name_or_path="there", id2label={"0": "X"}) == same
    assert shape_of(hidden_size=128) != same
    assert shape_of(hidden_dropout_prob=0.0) != same
    (tmp_path / "config.json").unlink()
    assert shape(tmp_path) == {}
