"""Records: read back as written, and refused with a reason when they are not whole."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from stagetree.core.errors import StoreError
from stagetree.pipeline.record import Record, StoredFile

RECORD = Record(
    signature="a" * 64, kind="finetune", name="teacher", version=2,
    config={"learning_rate": 3e-5, "layers": [1, 2], "freeze": {"epochs": None}},
    inputs=["b" * 64], data="c" * 64, model="tiny@1", seed=7, metrics={"f1": 0.5},
    per_class={"PER": {"f1": 0.25, "support": 4}},
    curve=[{"fraction": 0.5, "metrics": {"f1": 0.4}, "seconds": 1.5}],
    seconds=12.5, created="2026-01-02T03:04:05+00:00",
    environment={"host": "node1", "threads": 1, "commit": None, "versions": {"torch": "2.13"}},
    files={"model.safetensors": StoredFile(10, "d" * 64)},
)  # fmt: skip


def written(**changes: object) -> dict[str, object]:
    return {**json.loads(json.dumps(RECORD.to_json(), allow_nan=False)), **changes}


def test_a_record_is_read_back_as_written() -> None:
    assert Record.from_json(written()) == RECORD


def test_numbers_of_numpy_are_plain_and_what_is_not_finite_is_nan() -> None:
    metrics = {"f1": np.float32(0.5), "n": np.int64(3), "bad": math.nan, "far": float("inf")}
    record = Record.from_json(
        json.loads(json.dumps(Record("a", "k", "n", 1, {}, [], "d", 1, metrics=metrics).to_json()))
    )
    assert record.metrics["f1"] == 0.5
    assert record.metrics["n"] == 3
    assert math.isnan(record.metrics["bad"])
    assert math.isnan(record.metrics["far"])


def test_bytes_are_those_of_the_files() -> None:
    assert RECORD.bytes == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "2"}, "expected version to be int but got '2'"),
        ({"seed": True}, "expected seed to be int but got True"),
        ({"kind": None}, "expected kind to be str but got None"),
        ({"config": []}, "expected config to be"),
        ({"inputs": "abc"}, "expected inputs to be"),
        ({"extra": 1}, "unknown are ['extra']"),
        ({"metrics": {"f1": "high"}}, "metrics.f1: expected a number but got 'high'"),
        ({"per_class": {"PER": 3}}, "per_class.PER: expected numbers by name"),
        ({"curve": [{"fraction": 1}]}, "expected fraction and metrics"),
        ({"files": {"w": {"bytes": 1}}}, "expected bytes and sha256 of w"),
        ({"files": {"../w": {"bytes": 1, "sha256": ""}}}, "inside the model directory"),
        ({"files": {"/w": {"bytes": 1, "sha256": ""}}}, "inside the model directory"),
    ],
)
def test_a_malformed_record_is_refused_with_the_reason(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(StoreError) as caught:
        Record.from_json(written(**changes), "x/record.json")
    assert message in str(caught.value)
    assert str(caught.value).startswith("x/record.json")


def test_a_missing_field_is_named() -> None:
    whole = written()
    del whole["data"]
    with pytest.raises(StoreError, match=r"missing are \['data'\]"):
        Record.from_json(whole)


@pytest.mark.parametrize("value", [[], None, "text"])
def test_only_an_object_is_a_record(value: object) -> None:
    with pytest.raises(StoreError, match="expected a JSON object"):
        Record.from_json(value)
