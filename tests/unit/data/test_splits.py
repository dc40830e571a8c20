from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagetree.data.splits import shuffled, stratified

SHARES = (0.8, 0.1, 0.1)


@given(st.lists(st.sampled_from("abc"), max_size=200), st.integers(0, 5))
def test_every_row_is_in_exactly_one_split(groups, seed):
    split = stratified(groups, SHARES, seed)
    assert sorted(split.train + split.validation + split.test) == list(range(len(groups)))


def test_groups_are_divided_by_the_same_shares():
    groups = ["a"] * 700 + ["b"] * 300
    split = stratified(groups, SHARES, 13)
    assert Counter(groups[row] for row in split.validation) == {"a": 70, "b": 30}
    assert Counter(groups[row] for row in split.test) == {"a": 70, "b": 30}


@pytest.mark.parametrize("size", [1, 2, 3])
def test_small_groups_together_still_fill_every_split(size):
    groups = [index // size for index in range(60)]
    split = stratified(groups, SHARES, 13)
    counts = (len(split.train), len(split.validation), len(split.test))
    assert counts == pytest.approx((48, 6, 6), abs=2)


def test_a_share_of_zero_gets_nothing():
    split = stratified(list("abcabcabc"), (0.5, 0.5, 0.0), 1)
    assert split.test == []


def test_seed_alone_decides():
    groups = list(range(50))
    assert stratified(groups, SHARES, 1) == stratified(groups, SHARES, 1)
    assert stratified(groups, SHARES, 1) != stratified(groups, SHARES, 2)
    assert shuffled(10, "a") == shuffled(10, "a")


def test_shuffle_is_the_same_for_ever():
    assert shuffled(8, "13/train") == [3, 5, 7, 4, 1, 6, 0, 2]
