import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagetree.core.errors import ConfigError, TrialFailed
from stagetree.search.constraints import describe, read, violations


def test_a_bound_is_a_share_of_itself_beyond_it_and_at_most_zero_within() -> None:
    bounds = {"bytes": {"min": None, "max": 20.0}, "f1": {"min": 0.5, "max": None}}
    assert violations(bounds, {"bytes": 30.0, "f1": 0.4}) == pytest.approx(
        {"bytes": 0.5, "f1": 0.2}
    )
    held = violations(bounds, {"bytes": 20.0, "f1": 0.9, "other": 1.0})
    assert all(value <= 0 for value in held.values())


def test_both_ends_of_a_range_and_a_bound_of_zero() -> None:
    assert violations({"x": {"min": -1.0, "max": 0.0}}, {"x": 2.0}) == {"x": 2.0}
    assert violations({"x": {"min": -1.0, "max": 0.0}}, {"x": -3.0}) == {"x": 2.0}
    assert violations({"x": {"min": -1.0, "max": 1.0}}, {"x": 0.0})["x"] < 0


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(value=NUMBERS, ends=st.tuples(NUMBERS, NUMBERS).map(sorted))
def test_a_violation_is_positive_exactly_outside_of_the_bounds(
    value: float, ends: list[float]
) -> None:
    low, high = ends
    found = violations({"x": {"min": low, "max": high}}, {"x": value})["x"]
    assert (found > 0) == (not low <= value <= high)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_cannot_be_checked_fails_the_trial(value: float) -> None:
    with pytest.raises(TrialFailed, match="cannot check the constraint on x"):
        violations({"x": {"max": 1.0}}, {"x": value})
    with pytest.raises(TrialFailed, match="Did you mean 'bytes'"):
        violations({"byts": {"max": 1.0}}, {"bytes": value})


def test_every_bound_that_is_none_is_refused() -> None:
    node = {
        "a": 5,
        "b": {"most": 1},
        "c": {"max": "5", "min": True},
        "d": {"min": None},
        "e": {"max": float("nan"), "min": float("-inf")},
        "f": {"min": 2, "max": 1},
        "good": {"max": 1},
    }
    with pytest.raises(ConfigError) as caught:
        read(node)
    assert [fault.path for fault in caught.value.faults] == [
        f"hydra.sweeper.constraints.{name}"
        for name in ("a", "b.most", "c.max", "c.min", "d", "e.max", "e.min", "f")
    ]
    assert read({"e": {"max": 1}}) == {"e": {"max": 1}}
    assert read(None) == {}


def test_bounds_are_described_for_the_fingerprint() -> None:
    assert describe({"x": {"min": 1, "max": 2}}) == {"x": ">= 1, <= 2"}
