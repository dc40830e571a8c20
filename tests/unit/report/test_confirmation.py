from itertools import combinations
from typing import Any

import numpy as np

from stagetree.report.confirmation import comparison_json, confirmation_block, estimate_json
from stagetree.report.statistics import Runs, compare, estimate

VALUES = {"default": [0.80, 0.81, 0.79], "trial 3": [0.85, 0.87, 0.84]}


def recorded(**more: Any) -> dict[str, Any]:
    runs = {name: Runs(np.array(values)) for name, values in VALUES.items()}
    told = compare(runs, list(combinations(runs, 2)), maximize=True)
    candidates = [
        {"name": name, "study_value": None, "params": {}, "failed": {}, "values": values,
         "others": {"bytes": {"mean": 12.0, "sd": 0.0}}, **estimate_json(estimate(runs[name]))}
        for name, values in VALUES.items()
    ]  # fmt: skip
    candidates[1] |= {"study_value": 0.88, "params": {"finetune.epochs": 3}}
    return {
        "study": "s", "metric": "f1", "direction": "maximize", "seeds": [1, 2, 3], "examples": 48,
        "note": "", "candidates": candidates, "same": {"trial 0": "default"}, "test": None,
        "comparisons": [comparison_json(one) for one in told], "verdict": ["Ship it.", "It wins."],
        **more,
    }  # fmt: skip


def test_the_block_says_who_scored_what_and_who_wins() -> None:
    text = confirmation_block(recorded())
    assert "study s: f1, maximize; seeds 1, 2, 3; 48 validation examples" in text
    assert "trial 3  finetune.epochs=3" in text
    assert "trial 0  the same as the default" in text
    assert "Ship it.\n\n  It wins." in text
    row = next(line for line in text.splitlines() if line.startswith("trial 3") and "±" in line)
    assert row.split()[:5] == ["trial", "3", "0.8800", "0.8533", "±"]
    assert "test split: not read" in text


def test_a_failure_is_shown_with_its_reason() -> None:
    found = recorded()
    found["candidates"][0] |= {"failed": {"2": "loss is nan"}}
    text = confirmation_block(found)
    assert "failed with seed 2: loss is nan" in text


def test_test_scores_stand_beside_the_others() -> None:
    scores = [{"name": "trial 3", "mean": 0.9, "sd": 0.01, "interval": [0.88, 0.92]},
              {"name": "default", "mean": 0.8, "sd": 0.01, "interval": [0.78, 0.82]}]  # fmt: skip
    versus = [
        {"first": "trial 3", "second": "default", "difference": 0.1, "interval": [0.05, 0.15]}
    ]
    test = {"status": "read", "metric": "f1", "examples": 60, "time": "2026-01-01T00:00:00Z",
            "earlier": 1, "candidates": scores, "comparisons": versus}  # fmt: skip
    text = confirmation_block(recorded(test=test))
    assert "0.9000 ± 0.0100  [0.8800, 0.9200]" in text
    assert "test split: f1 over 60 examples" in text
    assert "trial 3 - default: +0.1000 [0.0500, 0.1500]" in text
    assert "read 1 times before, for others" in text
