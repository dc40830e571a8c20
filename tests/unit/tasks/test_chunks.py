from hypothesis import given
from hypothesis import strategies as st

from stagetree.tasks.chunks import cut

sentence = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from(["O", "B-X", "I-X"])), min_size=1, max_size=40
)


@given(sentence, st.integers(1, 20))
def test_ranges_cover_all_words_once_and_fit(words, room):
    pieces, tags = [count for count, _ in words], [tag for _, tag in words]
    ranges = cut(pieces, tags, room)
    assert [at for start, end in ranges for at in range(start, end)] == list(range(len(words)))
    for start, end in ranges:
        assert sum(pieces[start:end]) <= room or end == start + 1


@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.integers(4, 12))
def test_entities_that_fit_are_never_cut(lengths, room):
    tags = [tag for length in lengths for tag in ["B-X", *["I-X"] * (length - 1)]]
    for start, _ in cut([1] * len(tags), tags, room):
        assert tags[start] == "B-X"
