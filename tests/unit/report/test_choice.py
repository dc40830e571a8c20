from itertools import combinations

import numpy as np
import pytest

from stagetree.report.choice import Wording, choice
from stagetree.report.statistics import Runs, compare, estimate

BASE = np.array([0.800, 0.804, 0.797, 0.801, 0.799])
OTHER = np.array([0.001, -0.001, 0.002, 0.0, -0.002])


def judged(*, maximize: bool = True, baseline: str = "default", **runs: np.ndarray):
    scores = {name.replace("_", " "): Runs(values) for name, values in runs.items()}
    told = compare(scores, list(combinations(scores, 2)), maximize=maximize)
    means = {name: estimate(found) for name, found in scores.items()}
    wording = Wording("f1", maximize=maximize, points=True)
    return *choice(means, told, baseline, maximize=maximize), [wording.line(one) for one in told]


def test_the_best_of_those_that_beat_the_default_is_shipped() -> None:
    best, said, lines = judged(default=BASE, trial_1=BASE + OTHER + 0.02, trial_2=BASE - 0.02)
    assert best == "trial 1"
    assert said == "Ship trial 1: it beats the default and every other candidate."
    assert lines[0].startswith("trial 1 beats the default by 2.0 f1 points [1.8, 2.2], p ")
    assert lines[1].startswith("the default beats trial 2 by 2.0 f1 points [2.0, 2.0], p ")


def test_candidates_that_cannot_be_told_apart_are_named() -> None:
    best, said, lines = judged(
        default=BASE, trial_1=BASE + 0.021 + OTHER, trial_2=BASE + 0.02 - OTHER
    )
    assert best == "trial 1"
    assert "It cannot be told apart from trial 2" in said
    assert lines[2].startswith("trial 1 and trial 2 cannot be told apart: 0.10 f1 points [-0.")


def test_without_a_winner_the_default_stays() -> None:
    best, said, _ = judged(default=BASE, trial_1=BASE + OTHER * 3)
    assert (best, said) == ("default", "Keep the default: no candidate beats it.")


def test_a_default_that_failed_leaves_the_best_or_none() -> None:
    best, said, _ = judged(trial_1=BASE + OTHER + 0.02, trial_2=BASE)
    assert (best, "the default failed" in said) == ("trial 1", True)
    best, said, _ = judged(trial_1=BASE, trial_2=BASE + OTHER)
    assert best is None
    assert "the default failed, and trial 1 and trial 2 cannot be told apart" in said


def test_less_can_be_better() -> None:
    best, _, lines = judged(maximize=False, default=BASE, trial_1=BASE + OTHER - 0.02)
    assert best == "trial 1"
    assert lines[0].startswith("trial 1 beats the default by 2.0 f1 points [1.8, 2.2]")


@pytest.mark.parametrize("value", [12.0, 0.0123])
def test_what_is_no_share_is_said_in_its_own_unit(value: float) -> None:
    runs = {"default": Runs(BASE * 0), "trial 1": Runs(BASE * 0 + value)}
    (told,) = compare(runs, [("default", "trial 1")], maximize=False)
    line = Wording("latency_ms", maximize=False, points=False).line(told)
    shown = {12.0: "12", 0.0123: "0.0123"}[value]
    assert line.startswith(f"the default beats trial 1 by {shown} latency_ms [{shown}, {shown}]")
