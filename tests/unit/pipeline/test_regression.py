"""Seconds learnt from rows of named values."""

import math
import random
from collections.abc import Mapping

import numpy as np
import pytest

from stagetree.pipeline.regression import LogRegression

Row = Mapping[str, object]


def seconds(row: Row) -> float:
    """Return what a row takes: something fixed, and more for more epochs and longer inputs."""
    epochs, length = float(str(row["epochs"])), float(str(row["max_length"]))
    return 1.5 + epochs * (1 + length / 32) * (2 if row["schedule"] == "slow" else 1)


def rows(count: int, seed: int) -> list[Row]:
    """Return rows, most values of which matter."""
    draw = random.Random(seed)
    return [
        {
            "epochs": draw.choice([1, 2, 4, 8]),
            "max_length": draw.choice([32, 64, 128]),
            "learning_rate": 10 ** draw.uniform(-5, -3),
            "dropout": draw.choice([None, 0.0, 0.1]),
            "shift": draw.uniform(-1, 1),
            "schedule": draw.choice(["slow", "fast"]),
        }
        for _ in range(count)
    ]


def error(count: int) -> float:
    """Return the median error, in log seconds, of what is learnt from so many rows."""
    known, asked = rows(count, 0), rows(100, 1)
    mean, _ = LogRegression().fit(known, [seconds(row) for row in known]).predict(asked)
    return float(
        np.median([abs(math.log(m / seconds(r))) for m, r in zip(mean, asked, strict=True)])
    )


def test_one_row_and_two_say_what_was_expected_times_their_mean() -> None:
    model = LogRegression().fit([{"epochs": 1}], [10.0], expected=[1.0])
    assert model.predict([{"epochs": 3}], expected=[3.0])[0] == [30.0]
    two = LogRegression().fit([{"epochs": 1}, {"epochs": 2}], [10.0, 40.0], expected=[1, 2])
    assert two.predict([{"epochs": 3}], expected=[3.0])[0] == [45.0]


def test_more_rows_teach_it_what_matters() -> None:
    assert error(2) > 0.3
    assert error(12) < 0.2
    assert error(60) < 0.08


def test_four_of_five_lie_in_its_range() -> None:
    draw = random.Random(2)
    known, asked = rows(40, 3), rows(400, 4)
    taken = [seconds(row) * math.exp(draw.gauss(0, 0.1)) for row in known + asked]
    mean, deviation = LogRegression().fit(known, taken[:40]).predict(asked)
    away = np.abs(np.log(mean) - np.log(taken[40:]))
    assert 0.7 < (away < 1.2816 * deviation).mean() < 0.95


def test_what_was_never_seen_makes_it_less_certain() -> None:
    known = [{"epochs": 1 + place % 3, "size": 16, "kind": "a"} for place in range(12)]
    model = LogRegression().fit(known, [float(str(row["epochs"])) for row in known])
    asked = [
        {"epochs": 2, "size": 16, "kind": "a"},
        {"epochs": 2, "size": 64, "kind": "a"},
        {"epochs": 2, "size": 16, "kind": "b"},
        {"epochs": 50, "size": 16, "kind": "a"},
        {"epochs": 2, "kind": "a", "unheard": "of"},
    ]
    _, deviation = model.predict(asked)
    assert all(deviation[1:] > deviation[0])


def test_groups_have_levels_of_their_own_and_share_slopes() -> None:
    known = [{"epochs": epochs} for epochs in (1, 2, 4, 8)]
    slow = [100.0 * math.sqrt(float(row["epochs"])) for row in known]
    model = LogRegression().fit(
        [*known, {"epochs": 4}], [*slow, 2.0], groups=["slow"] * 4 + ["fast"]
    )
    mean, _ = model.predict([{"epochs": 1}, {"epochs": 4}], like=[4])
    assert mean[1] == pytest.approx(2.0, rel=1e-6)
    assert mean[0] == pytest.approx(1.0, rel=0.15)


def test_nothing_cannot_be_learnt_from() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        LogRegression().fit([], [])
