import numpy as np
import pytest

from stagetree.report.paired import paired
from stagetree.report.statistics import estimate
from stagetree.tasks.base import TASKS, Task
from stagetree.tasks.examples import Examples

GOLD = ["a", "b", "b", "a", "b", "a", "a", "b"] * 5


@pytest.fixture
def task() -> Task:
    kind = TASKS["classification"]
    return kind(kind.Config(kind="classification"))


def guesses(wrong: int) -> Examples:
    """Return answers of which the first few are wrong."""
    other = {"a": "b", "b": "a"}
    return Examples(GOLD, [other[gold] if at < wrong else gold for at, gold in enumerate(GOLD)])


def macro_f1(task: Task, examples: Examples) -> float:
    return float(task.from_tallies(task.tallies(examples).sum(axis=0)))


def test_runs_are_paired_by_example(task) -> None:
    kept = {"a": [guesses(4), guesses(6)], "b": [guesses(4), guesses(6)]}
    values = {name: [macro_f1(task, one) for one in seen] for name, seen in kept.items()}
    found = paired(task, "macro_f1", values, kept)
    assert found.examples == 40
    assert estimate(found.runs["a"]).of_examples > 0
    noise = found.runs["a"].minus(found.runs["b"]).resampled
    assert noise is not None
    assert not np.any(noise)  # the same answers: the same on any examples


@pytest.mark.parametrize(
    ("metric", "kept", "why"),
    [
        ("bytes", [guesses(1), guesses(2)], "bytes is not counted example by example"),
        ("macro_f1", [guesses(1), None], "do not keep what they predicted"),
        ("macro_f1", [guesses(1), Examples(GOLD[::-1], GOLD)], "on different examples"),
        ("macro_f1", [guesses(1), guesses(2)], "do not add up to macro_f1"),
    ],
)
def test_what_cannot_be_paired_is_compared_over_seeds_alone(task, metric, kept, why) -> None:
    found = paired(task, metric, {"a": [0.1, 0.2]}, {"a": kept})
    assert found.examples == 0
    assert found.note.startswith("over seeds alone: ")
    assert why in found.note
    assert estimate(found.runs["a"]).of_examples == 0
