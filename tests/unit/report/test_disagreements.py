import pytest

from stagetree.report.disagreements import comparable, disagreements, mcnemar
from stagetree.tasks.examples import Examples

GOLD = ["a", "b", "a", "b", "a"]
FIRST = Examples(GOLD, ["a", "b", "a", "a", "b"])
OTHER = Examples(GOLD, ["a", "a", "b", "b", "b"])


def test_examples_are_counted_by_who_is_right():
    found = disagreements(FIRST, OTHER, None, shown=0)
    counts = (found.both_right, found.first_only, found.second_only, found.both_wrong)
    assert counts == (1, 2, 1, 1)
    assert found.examples == 5
    assert found.p == 1.0
    assert not found.shown


def test_so_many_of_each_kind_are_shown_with_their_text():
    rows = [{"text": f"text {number}"} for number in range(5)]
    found = disagreements(FIRST, OTHER, rows, shown=1)
    assert [(item.index, item.text) for item in found.shown] == [(1, "text 1"), (3, "text 3")]
    assert (found.shown[0].gold, found.shown[0].first, found.shown[0].second) == ("b", "b", "a")


def test_entities_are_shown_by_their_words():
    gold = [["B-PERSON", "I-PERSON", "O"]]
    first, other = Examples(gold, gold), Examples(gold, [["B-CITY", "O", "O"]])
    (item,) = disagreements(first, other, [{"tokens": ["Ada", "King", "ran"]}], shown=3).shown
    assert item.text == "Ada King ran"
    assert item.gold == 'PERSON "Ada King"'
    assert item.second == 'CITY "Ada"'


def test_the_test_is_mcnemars():
    assert mcnemar(15, 5) == pytest.approx(0.04139, abs=1e-5)
    assert mcnemar(5, 15) == mcnemar(15, 5)


def test_results_with_other_questions_are_not_comparable():
    assert comparable(FIRST, OTHER)
    assert not comparable(FIRST, Examples(["a"], ["a"]))
