"""Why: the fields that differ from the nearest stored result, and only those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stagetree.core.signature import digest
from stagetree.pipeline.record import Record
from stagetree.pipeline.store import Store
from stagetree.pipeline.why import explain

if TYPE_CHECKING:
    from pathlib import Path

WANTED: dict[str, Any] = {
    "kind": "finetune", "version": 1,
    "config": {"learning_rate": 1e-4, "epochs": 3, "freeze": {"until": 0.5}, "layers": [1, 2]},
    "inputs": ["a" * 64], "data": "d" * 64, "model": "tiny@1", "seed": 7, "numerics": "fp32",
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def put(store: Store, **changes: Any) -> str:
    fields = {**WANTED, **changes}
    numerics = fields.pop("numerics")
    signature = digest([fields, numerics])
    with store.open(signature) as work:
        (work.output / "w").write_text("w")
        work.publish(
            Record(signature=signature, name="n", environment={"numerics": numerics}, **fields)
        )
    return signature


def config(**changes: Any) -> dict[str, Any]:
    return {**WANTED["config"], **changes}


def test_the_differing_field_is_named_with_both_values(store: Store) -> None:
    put(store, config=config(learning_rate=3e-4))
    assert explain(store, WANTED) == ["config.learning_rate: stored 0.0003, wanted 0.0001"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"version": 2}, "version: stored 2, wanted 1"),
        ({"seed": 8}, "seed: stored 8, wanted 7"),
        ({"numerics": "bf16"}, "numerics: stored bf16, wanted fp32"),
        ({"data": "e" * 64}, "data: stored eeeeeeeeeeee, wanted dddddddddddd"),
        ({"inputs": ["b" * 64]}, "inputs[0]: stored bbbbbbbbbbbb, wanted aaaaaaaaaaaa"),
        ({"inputs": []}, "inputs[0]: stored (nothing), wanted aaaaaaaaaaaa"),
        ({"model": "big@2"}, "model: stored big@2, wanted tiny@1"),
        ({"config": config(layers=[1, 3])}, "config.layers[1]: stored 3, wanted 2"),
        ({"config": config(freeze={"until": 0.7})}, "config.freeze.until: stored 0.7, wanted 0.5"),
        ({"config": config(new=True)}, "config.new: stored True, wanted (nothing)"),
    ],
)
def test_every_part_of_the_identity_is_compared(
    store: Store, changes: dict[str, Any], line: str
) -> None:
    put(store, **changes)
    assert line in explain(store, WANTED)


def test_the_nearest_result_of_the_same_kind_is_compared(store: Store) -> None:
    put(store, config=config(learning_rate=3e-4, epochs=9), seed=1)
    put(store, seed=3)
    put(store, kind="distill")
    assert explain(store, WANTED) == ["seed: stored 3, wanted 7"]


def test_of_equally_near_results_the_newest_is_compared(store: Store) -> None:
    put(store, seed=1)
    put(store, seed=2)
    assert explain(store, WANTED) == ["seed: stored 2, wanted 7"]


def test_an_integral_float_does_not_differ_from_the_integer(store: Store) -> None:
    signature = put(store, config=config(epochs=3.0))
    assert explain(store, WANTED) == [f"nothing differs from the stored result {signature[:12]}"]


def test_a_kind_never_stored_is_said_to_be_so(store: Store) -> None:
    put(store, kind="distill")
    assert explain(store, WANTED) == ["no result of kind 'finetune' is stored"]
