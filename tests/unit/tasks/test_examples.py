import gzip

import numpy as np
import pytest

from stagetree.core.errors import DataError
from stagetree.tasks.examples import Confusion, Examples
from stagetree.tasks.ner import NerConfig, NerTask


def test_what_is_written_is_read_again_and_the_bytes_are_the_same(tmp_path):
    examples = Examples([["O", "B-Ü"], ["O"]], [["O", "O"], ["O"]])
    for name in ("a.gz", "b.gz"):
        examples.write(tmp_path / name)
    assert Examples.read(tmp_path / "a.gz") == examples
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert examples.right() == [False, True]


@pytest.mark.parametrize("damage", ["not gzip", "cut", "no pairs", "no JSON"])
def test_a_damaged_file_is_said_to_be_one(tmp_path, damage):
    path = tmp_path / "examples.gz"
    Examples(["a"] * 100, ["b"] * 100).write(path)
    whole = path.read_bytes()
    content = {
        "not gzip": b"[1, 2]",
        "cut": whole[:20],
        "no pairs": gzip.compress(b"1\n"),
        "no JSON": gzip.compress(b"[\n"),
    }
    path.write_bytes(content[damage])
    with pytest.raises(DataError, match=r"examples\.gz: expected examples"):
        Examples.read(path)


def test_entities_are_confused_by_overlap():
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "O", "O"]]
    guess = [["B-PER", "O", "O", "B-PER"], ["O", "O", "B-LOC"]]
    found = NerTask(NerConfig()).confusion(Examples(gold, guess))
    assert found.labels == ["LOC", "PER", "none"]
    # One LOC is taken for PER, one is missed; PER is found, if not in full; one LOC is spurious.
    assert found.matrix.tolist() == [[0, 1, 1], [0, 1, 0], [1, 0, 0]]


def test_tallies_of_sentences_count_what_is_right_predicted_and_gold():
    gold = [["B-PER", "I-PER"], [], ["B-LOC", "O"]]
    guess = [["B-PER", "I-PER"], [], ["B-LOC", "B-LOC"]]
    task = NerTask(NerConfig())
    counts = task.tallies(Examples(gold, guess))
    assert counts.tolist() == [[1, 1, 1], [0, 0, 0], [1, 2, 1]]
    weights = np.array([[1, 1, 1], [0, 5, 1], [0, 1, 0]])
    np.testing.assert_allclose(task.from_tallies(weights @ counts), [4 / 5, 2 / 3, 0])


def test_nothing_at_all_has_no_tallies_and_no_confusion():
    task, none = NerTask(NerConfig()), Examples([], [])
    assert task.tallies(none).shape == (0, 3)
    assert task.confusion(none).labels == []


def test_matrices_side_by_side():
    both = Confusion.beside([Confusion.of([("a", "b")]), Confusion.of([("c", "c")])])
    assert both.labels == ["a", "b", "c"]
    assert both.matrix.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 1]]
