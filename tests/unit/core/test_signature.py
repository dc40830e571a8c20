"""Signatures: fixed for ever where nothing changed, different where something did."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagetree.core.signature import canonical_json, digest, result_fields, signature

relaxed = settings(deadline=None, max_examples=60)  # a busy machine is slow, not wrong
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    leaves | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
BASE = {
    "kind": "finetune", "version": 1,
    "config": {"learning_rate": 3e-5, "epochs": 3, "freeze": None},
    "inputs": ["a" * 64], "data": "b" * 64, "seed": 7,
}  # fmt: skip


class Color(enum.Enum):
    RED = "crimson"


@dataclass
class Optimizer:
    learning_rate: float = 1e-4
    threads: int = field(default=1, metadata={"affects_result": False})


@dataclass
class Config:
    epochs: int = 3
    optimizer: Optimizer = field(default_factory=Optimizer)
    steps: list[Optimizer] = field(default_factory=list)
    dropout: float | None = field(default=None, metadata={"neutral": None})
    verbose: bool = field(default=False, metadata={"affects_result": False})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
        (
            {"b": 1e-4, "a": [2.0, None, True, "é"]},
            "405895709e01dc2e608d217759d75634507f3114e2088b5aa89f59eb4f0def49",
        ),
        (
            [1e22, -0.0, 0.1 + 0.2, 10**30],
            "5096537e2da21be2bd17fb65713962f8b54482beb7e8a48807231e8e228becf4",
        ),
    ],
)
def test_digest_is_golden(value: object, expected: str) -> None:
    assert digest(value) == expected


def test_signature_is_golden() -> None:
    assert signature(**BASE) == "c19af48b950571676b3a19cfd7fc15993d74f411bd2a1ffdf35eb1b007e5be9c"


def test_signature_of_a_typed_config_is_golden() -> None:
    config = result_fields(Config(epochs=2, steps=[Optimizer(0.5)]))
    assert (
        signature(**{**BASE, "config": config})
        == "22036f1e1599994d2c8416b3de43016c41b6074ec169e09de91ab33a9fca9d42"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "distill"), ("version", 2), ("config", {}), ("inputs", []), ("data", "c"),
        ("seed", 8),
        ("inputs", ["a" * 64, "a" * 64]),
        ("config", {"learning_rate": 3e-5, "epochs": 3}),
        ("config", {"learning_rate": 3.0000000000000004e-5, "epochs": 3, "freeze": None}),
    ],
)  # fmt: skip
def test_each_part_changes_the_signature(name: str, value: object) -> None:
    assert signature(**{**BASE, name: value}) != signature(**BASE)


def test_order_of_inputs_matters() -> None:
    one, two = "a" * 64, "b" * 64
    first = signature(**{**BASE, "inputs": [one, two]})
    assert first != signature(**{**BASE, "inputs": [two, one]})


@relaxed
@given(st.dictionaries(st.text(max_size=5), values, max_size=6), st.randoms(use_true_random=False))
def test_order_of_keys_does_not_matter(mapping: dict[str, object], random) -> None:
    items = list(mapping.items())
    random.shuffle(items)
    assert digest(dict(items)) == digest(mapping)


@relaxed
@given(st.integers(min_value=-(2**53), max_value=2**53))
def test_integral_float_equals_integer(number: int) -> None:
    assert digest({"n": float(number)}) == digest({"n": number})


@relaxed
@given(values)
def test_canonical_json_is_pure_ascii_and_repeatable(value: object) -> None:
    assert canonical_json(value).isascii()
    assert canonical_json(value) == canonical_json(value)


@relaxed
@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_unequal_numbers_have_unequal_digests(one: float, two: float) -> None:
    assert (digest(one) == digest(two)) == (one == two)


def test_true_is_not_one() -> None:
    assert digest(True) != digest(1)


def test_enum_counts_by_name() -> None:
    assert canonical_json(Color.RED) == '"RED"'


def test_tuple_equals_list() -> None:
    assert digest((1, (2,))) == digest([1, [2]])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_not_finite_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(value)


@pytest.mark.parametrize("value", [{1, 2}, object(), {"a": len}])
def test_value_without_json_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="expected a JSON value"):
        canonical_json(value)


def test_fields_that_cannot_change_the_result_are_left_out_at_every_depth() -> None:
    config = Config(optimizer=Optimizer(threads=8), steps=[Optimizer(threads=4)], verbose=True)
    assert result_fields(config) == {
        "epochs": 3, "optimizer": {"learning_rate": 1e-4}, "steps": [{"learning_rate": 1e-4}],
    }  # fmt: skip


def test_a_new_option_at_its_neutral_value_keeps_old_names() -> None:
    assert "dropout" not in result_fields(Config())
    assert result_fields(Config(dropout=0.1))["dropout"] == 0.1


@pytest.mark.parametrize("value", [Config, {"epochs": 3}, None])
def test_only_a_dataclass_instance_has_result_fields(value: object) -> None:
    with pytest.raises(TypeError, match="dataclass instance"):
        result_fields(value)
