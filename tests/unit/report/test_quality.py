from stagetree.report.quality import class_rows, matrix_rows, most_taken
from stagetree.tasks.examples import Confusion


def test_classes_come_before_averages_with_counts_whole() -> None:
    names, rows = class_rows(
        {
            "micro avg": {"f1": 0.7, "support": 9.0},
            "AGE": {"f1": 0.92, "support": 5.0},
            "DATE": {"f1": 0.5, "support": 4.0},
        }
    )
    assert names == ["f1", "support"]
    assert [row.label for row in rows] == ["AGE", "DATE", "micro avg"]
    assert list(rows[0].cells) == ["0.9200", "5"]
    assert rows[0].share == 0.92


def test_the_matrix_has_shares_of_its_rows() -> None:
    confusion = Confusion.of([("a", "a"), ("a", "b"), ("a", "a"), ("a", "a"), ("b", "b")])
    assert matrix_rows(confusion) == [("a", [(3, 0.75), (1, 0.25)]), ("b", [(0, 0.0), (1, 1.0)])]
    (taken,) = most_taken(confusion)
    assert (taken.gold, taken.predicted, taken.count, taken.share) == ("a", "b", 1, 0.25)


def test_of_many_labels_only_the_most_frequent_confusions_are_shown() -> None:
    pairs = [(f"l{n}", f"l{n + 1}") for n in range(40) for _ in range(n + 1)]
    confusion = Confusion.of(pairs)
    assert matrix_rows(confusion) == []
    assert [taken.count for taken in most_taken(confusion)] == list(range(40, 30, -1))
