from stagetree.search.condition import Condition, alike, same


def test_a_condition_holds_at_its_points_only() -> None:
    condition = Condition(("stage", "flag"), (("a", True), ("b", False)))
    assert condition.holds({"stage": "a", "flag": True, "other": 1})
    assert not condition.holds({"stage": "a", "flag": False})
    assert not condition.holds({"stage": "b", "flag": 0})
    assert not condition.holds({"flag": True})


def test_equal_values_of_different_types_differ_and_rounding_does_not() -> None:
    assert not same(1, True)
    assert same(float("nan"), float("nan"))
    assert alike(0.1 + 0.2, 0.3)
    assert not alike(1, 1.0)
