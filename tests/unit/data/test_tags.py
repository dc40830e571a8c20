import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagetree.data.tags import Scheme, TagError, to_iob2


@pytest.mark.parametrize(
    ("scheme", "tags", "expected"),
    [
        (Scheme.iob2, ["B-A", "I-A", "O", "B-A"], ["B-A", "I-A", "O", "B-A"]),
        (Scheme.iob1, ["I-A", "I-A", "B-A", "I-B"], ["B-A", "I-A", "B-A", "B-B"]),
        (Scheme.iob1, ["O", "I-A"], ["O", "B-A"]),
        (Scheme.io, ["A", "A", "B", "O", "I-C"], ["B-A", "I-A", "B-B", "O", "B-C"]),
        (Scheme.iob2, [], []),
    ],
)
def test_conversion(scheme, tags, expected):
    assert to_iob2(tags, scheme) == expected


@pytest.mark.parametrize(
    ("tags", "index", "message"),
    [
        (["O", "I-LOC"], 1, r"expected B-LOC to open.*got 'I-LOC' after 'O'.*data.scheme=iob1"),
        (["I-LOC"], 0, "at the start of a sentence"),
        (["B-PER", "I-LOC"], 1, "after 'B-PER'"),
        (["S-PER"], 0, "expected O, B-TYPE or I-TYPE, got 'S-PER'"),
        (["B-"], 0, "got 'B-'"),
        (["per"], 0, "got 'per'"),
    ],
)
def test_wrong_tags_say_where_and_what(tags, index, message):
    with pytest.raises(TagError, match=message) as caught:
        to_iob2(tags)
    assert caught.value.index == index


@given(st.lists(st.sampled_from(["O", "I-A", "B-A", "I-B", "B-B"])))
def test_converted_tags_are_valid_iob2(tags):
    converted = to_iob2(tags, Scheme.iob1)
    assert to_iob2(converted, Scheme.iob2) == converted
