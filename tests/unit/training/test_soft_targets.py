import numpy as np
import pytest

from stagetree.core.errors import ModelError
from stagetree.training.answers import Answers
from stagetree.training.soft_targets import OneAfterAnother, SeveralTeachers, aligned


def answers(*counts):
    total = sum(counts)
    values = np.arange(total * 3, dtype=np.float32).reshape(total, 3)
    return Answers(values, np.array(counts))


def rows(targets):
    return [targets[index][:, 0].tolist() for index in range(len(targets))]


def test_rows_of_one_tokenizer_match_one_to_one():
    assert rows(aligned(answers(2, 1), np.array([2, 1]), 2, "t")) == [[0, 3], [6]]


def test_long_examples_cut_at_other_places_match_word_by_word():
    found = aligned(answers(2, 2, 1), np.array([4, 1]), 2, "t")
    assert rows(found) == [[0, 3, 6, 9], [12]]
    assert rows(aligned(answers(4, 1), np.array([2, 2, 1]), 2, "t")) == [[0, 3], [6, 9], [12]]


def test_what_a_student_does_not_read_is_left_out():
    assert rows(aligned(answers(3, 2), np.array([1, 2]), 2, "t")) == [[0], [9, 12]]
    assert rows(aligned(answers(3, 2), np.array([3, 2]), 2, "t")) == [[0, 3, 6], [9, 12]]


def test_a_teacher_that_reads_less_is_refused_even_if_the_sums_agree():
    with pytest.raises(ModelError, match="at least the 3 labelled positions of row 1"):
        aligned(answers(3, 2), np.array([2, 3]), 2, "old")
    with pytest.raises(ModelError, match=r"'old' to answer at the student's 3 .* but got 5"):
        aligned(answers(2, 2, 1), np.array([2, 1]), 2, "old")


def test_labels_are_chosen_and_put_in_order():
    found = aligned(answers(1, 1), np.array([1, 1]), 2, "t", columns=[2, 0])
    assert found[1].tolist() == [[5, 3]]


def test_several_teachers_and_several_sources_lie_beside_and_after_each_other():
    one = aligned(answers(2, 1), np.array([2, 1]), 2, "t")
    both = SeveralTeachers([one, one])
    assert (len(both), both[0].shape, both[1].shape) == (2, (2, 2, 3), (1, 2, 3))
    more = OneAfterAnother([one, one])
    assert rows(more) == rows(one) * 2
